"""MovieLens-100K (Harper & Konstan 2015): 100,000 ratings of films, with times, of 943 people in seven months.

The tables come in the package ``recbole``, which is not imported. GroupLens allows research and asks for a citation.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public.writing import write_csv
from tonggan.progress import Progress
from tonggan.weights.packaged import PackagedWeights

COLUMNS = {
    "interactions": ("user_id", "item_id", "rating", "timestamp"),
    "items": ("item_id", "title", "year", "genres"),
    "users": ("user_id", "age", "gender", "occupation", "zip_code"),
}
_FOLDER = "dataset_example/ml-100k/ml-100k"
_FILES = {"interactions": f"{_FOLDER}.inter", "items": f"{_FOLDER}.item", "users": f"{_FOLDER}.user"}
PACKAGE = PackagedWeights(
    "data set 'movielens_100k'",
    package="recbole",
    version="1.2.1",
    module="recbole",
    files={
        _FILES["interactions"]: "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
        _FILES["items"]: "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
        _FILES["users"]: "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
    },
)


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``interactions.csv``, ``items.csv`` and ``users.csv``; the genres of a film are separated by commas.

    Raises:
        MissingExtraError: the package is not installed.
        DataError: a file is another one.
    """
    source = PACKAGE.folder()
    tables = {}
    for name, columns in COLUMNS.items():
        with (source / _FILES[name]).open(encoding="utf-8", newline="") as file:
            _, *lines = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = [dict(zip(columns, line, strict=True)) for line in lines]
        for row in rows:
            if "genres" in row:
                row["genres"] = ", ".join(row["genres"].split())
            if "timestamp" in row:
                row["timestamp"] = str(int(float(row["timestamp"])))
        tables[name] = write_csv(folder / f"{name}.csv", rows, columns=columns)
    return tables
