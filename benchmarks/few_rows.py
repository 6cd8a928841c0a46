"""How far few rows go: a network from random weights, the floor, and a plain alternative, on the same drawings.

    python benchmarks/few_rows.py                       # 50, 200 and 600 rows of the set 'few_pictures'
    python benchmarks/few_rows.py --rows 50 200         # these
    python benchmarks/few_rows.py --ways floor          # one of scratch, floor, plain

Fewer rows are the first of a permutation with seed 0 in each group, so that 50 are among the 200. The plain alternative
is logistic regression on the vectors of the same frozen encoders, its penalty chosen by cross-validation. The test part
is the same 840 rows for all, and is measured once.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tonggan
from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.data.public.writing import stratified_parts
from tonggan.models.image_embedder import ImageEmbedder
from tonggan.models.text_embedder import TextEmbedder
from tonggan.progress import Progress

TARGET = "group"
RESAMPLES = 2_000
ROWS = (50, 200, 600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", type=int, default=ROWS)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    arguments = parser.parse_args()
    tables = find_set("few_pictures").get(cache=cache_folder(), progress=Progress())
    folder = tables["train"].parent
    train, test = (whole_paths(pyarrow.csv.read_csv(tables[split]), folder) for split in ("train", "test"))
    truth = np.array(test[TARGET].to_pylist())
    print("| rows | way | accuracy | 95 % interval | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for count in arguments.rows:
        for way in arguments.ways:
            started = time.monotonic()
            right = WAYS[way](fewer(train, count), test) == truth
            seconds = time.monotonic() - started
            low, high = interval(right)
            print(f"| {count} | {way} | {right.mean():.4f} | {low:.4f} – {high:.4f} | {seconds:.0f} |", flush=True)


def whole_paths(table: pa.Table, folder: Path) -> pa.Table:
    """The table with its drawings named from the root."""
    paths = [str(folder / path) for path in table["drawing"].to_pylist()]
    return table.set_column(table.column_names.index("drawing"), "drawing", pa.array(paths))


def fewer(train: pa.Table, count: int) -> pa.Table:
    """So many rows of it, each group in its share."""
    if count >= len(train):
        return train
    share = count / len(train)
    parts = stratified_parts(train[TARGET].to_pylist(), fractions={"kept": share, "rest": 1 - share})
    return train.take(parts["kept"])


def interval(right: NDArray[np.bool_]) -> tuple[float, float]:
    """The 95 % interval of the mean, by resampling rows."""
    random = np.random.default_rng(0)
    means = [right[random.integers(0, len(right), len(right))].mean() for _ in range(RESAMPLES)]
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def scratch(train: pa.Table, test: pa.Table) -> NDArray[Any]:
    """The network of the recipe's defaults alone, from random weights."""
    return fitted(train, test, ["floor=null"])


def floor(train: pa.Table, test: pa.Table) -> NDArray[Any]:
    """What the recipe is."""
    return fitted(train, test, [])


def fitted(train: pa.Table, test: pa.Table, settings: Sequence[str]) -> NDArray[Any]:
    """What a run answers for the rows of ``test``."""
    with tempfile.TemporaryDirectory() as folder:
        model = tonggan.fit(
            train,
            target=TARGET,
            recipe="few_pictures",
            out=Path(folder) / "run",
            settings=["audit_alone=false", *settings],
            progress=False,
        )
        answers = model.predict_table(test.drop_columns([TARGET])).to_pylist()
    return np.array([row["prediction"] for row in answers])


def plain(train: pa.Table, test: pa.Table) -> NDArray[Any]:
    """Frozen encoders and logistic regression, of scikit-learn alone."""
    pictures, texts = ImageEmbedder.load("efficientnet_lite0"), TextEmbedder.load("e5", precision="fp32")

    def vectors(table: pa.Table) -> NDArray[np.float32]:
        drawings = [cv2.imread(path)[:, :, ::-1].transpose(2, 0, 1) for path in table["drawing"].to_pylist()]
        names = [texts.embed(table[column].to_pylist()) for column in ("english", "chinese")]
        return np.hstack([pictures.embed([np.ascontiguousarray(drawing) for drawing in drawings]), *names])

    classifier = LogisticRegressionCV(Cs=np.logspace(-5, 0, 6), cv=3, max_iter=500)
    model = make_pipeline(StandardScaler(), classifier).fit(vectors(train), train[TARGET].to_pylist())
    found: NDArray[Any] = model.predict(vectors(test))
    return found


WAYS = {"scratch": scratch, "floor": floor, "plain": plain}

if __name__ == "__main__":
    main()
