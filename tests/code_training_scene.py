"""A small corpus of real code, and a tiny model with control tokens that nothing uses."""

from __future__ import annotations

import shutil
from pathlib import Path

from pretrained_scene import pretrained_folder
from tonggan.codelm.corpus.build import build_corpus
from tonggan.codelm.corpus.corpus import Corpus

SOURCE = Path(__file__).parents[1] / "src" / "tonggan"
FILES = ("layers/activation.py", "layers/mlp.py", "layers/rotary.py", "layers/precision.py", "layers/positions.py")
UNUSED = ("<before>", "<after>", "<between>")


def base_folder(folder: Path) -> Path:
    """A tiny model over bytes, whose vocabulary has three spare control tokens."""
    return pretrained_folder(folder, unused=UNUSED)


def small_corpus(folder: Path, *, base: Path) -> Corpus:
    """Some short files of this library, in the vocabulary of ``base``."""
    for name in FILES:
        (folder / "repository" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / name, folder / "repository" / name)
    build_corpus([folder / "repository"], folder / "corpus", tokenizer_of=str(base))
    return Corpus.open(folder / "corpus")
