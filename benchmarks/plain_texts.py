"""Plain alternatives on the sets of texts: counts of words or characters, or a frozen encoder, and logistic regression.

    python benchmarks/plain_texts.py                     # all sets, on the split that the recipes have
    python benchmarks/plain_texts.py thucnews            # one
    python benchmarks/plain_texts.py --runs runs/recipes # beside finished runs of the recipes, on the same rows

The penalty is chosen by the validation part, the test part is measured once. The last column is the gain of the run
over that alternative, with its 95 % interval over the rows of the test part, resampled in pairs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import tonggan
from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.models.text_embedder import TextEmbedder
from tonggan.progress import Progress

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
RESAMPLES = 2_000

Parts = Mapping[str, Sequence[Mapping[str, Any]]]
Matrices = Mapping[str, Any]


@dataclass(frozen=True)
class Texts:
    """A set: its columns of texts, its target, and which rows count."""

    name: str
    recipe: str
    columns: tuple[str, ...]
    target: str
    is_chinese: bool
    only: tuple[str, ...] = ()


SETS = (
    Texts("thucnews", "thucnews", ("headline",), "class", is_chinese=True),
    Texts("chinese_reviews", "chinese_reviews", ("review",), "polarity", is_chinese=True),
    Texts(
        "ag_news",
        "sports_or_tech_floor",
        ("title", "description"),
        "class",
        is_chinese=False,
        only=("Sports", "Sci/Tech"),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes to compare with; all by default")
    parser.add_argument("--runs", type=Path, help="folder of finished runs by the names of their recipes")
    arguments = parser.parse_args()
    print("| set | what | accuracy | 95 % interval | seconds | gain of the recipe's run |")
    print("| --- | --- | --- | --- | --- | --- |")
    for texts in SETS:
        if not arguments.names or texts.recipe in arguments.names:
            compare(texts, arguments.runs)


def compare(texts: Texts, runs: Path | None) -> None:
    """Print a line for each alternative, and for the run."""
    parts = read(texts)
    truth = np.array([row[texts.target] for row in parts["test"]])
    right = None
    if runs is not None:
        model = tonggan.load(runs / texts.recipe)
        inputs = {name: [row[name] for row in parts["test"]] for name in texts.columns}
        started = time.monotonic()
        answers = model.predict_table(pyarrow.table(inputs)).to_pylist()
        right = np.array([row["prediction"] for row in answers]) == truth
        tell(texts.recipe, "recipe", right, time.monotonic() - started, None)
    for name, make in alternatives(texts).items():
        started = time.monotonic()
        found = answer(make(parts), parts, texts.target) == truth
        tell(texts.recipe, name, found, time.monotonic() - started, right)


def tell(recipe: str, name: str, right: NDArray[np.bool_], seconds: float, run: NDArray[np.bool_] | None) -> None:
    """One line of the table."""
    low, high = interval(right)
    gain = ""
    if run is not None:
        less, more = interval(run.astype(float) - right)
        gain = f"{100 * (run.mean() - right.mean()):+.1f} points ({100 * less:+.1f} to {100 * more:+.1f})"
    print(f"| {recipe} | {name} | {right.mean():.4f} | {low:.4f} – {high:.4f} | {seconds:.0f} | {gain} |", flush=True)


def interval(values: NDArray[Any]) -> tuple[float, float]:
    """The 95 % interval of the mean, by resampling rows."""
    random = np.random.default_rng(0)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def read(texts: Texts) -> Parts:
    """The rows of train, valid and test."""
    tables = find_set(texts.name).get(cache=cache_folder(), progress=Progress())
    kept = {split: pyarrow.csv.read_csv(path).to_pylist() for split, path in tables.items()}
    return {
        split: [row for row in rows if not texts.only or row[texts.target] in texts.only]
        for split, rows in kept.items()
    }


def alternatives(texts: Texts) -> dict[str, Callable[[Parts], Matrices]]:
    """By name, what makes matrices of the texts."""
    characters = {"analyzer": "char", "ngram_range": (1, 3)}
    if not texts.is_chinese:
        characters = {"analyzer": "char_wb", "ngram_range": (2, 5)}
    words = {"tokenizer": cut, "token_pattern": None} if texts.is_chinese else {}
    return {
        "TF-IDF of words": lambda parts: counted(parts, texts, {"ngram_range": (1, 2), **words}),
        "TF-IDF of characters": lambda parts: counted(parts, texts, characters),
        "frozen E5": lambda parts: embedded(parts, texts),
    }


def cut(text: str) -> list[str]:
    """Chinese words."""
    import jieba

    return [word for word in jieba.lcut(text) if not word.isspace()]


def counted(parts: Parts, texts: Texts, settings: Mapping[str, Any]) -> Matrices:
    """Weighted counts of the runs that two texts of the training part have, a block for each column."""
    blocks: dict[str, list[Any]] = {split: [] for split in parts}
    for column in texts.columns:
        counter = TfidfVectorizer(sublinear_tf=True, min_df=2, **settings)
        counter.fit([row[column] for row in parts["train"]])
        for split, rows in parts.items():
            blocks[split].append(counter.transform([row[column] for row in rows]))
    return {split: sparse.hstack(found).tocsr() for split, found in blocks.items()}


def embedded(parts: Parts, texts: Texts) -> Matrices:
    """Vectors of the frozen encoder, standardized by the training part."""
    encoder = TextEmbedder.load("e5", precision="fp32")
    found = {
        split: np.hstack([encoder.embed([row[column] for row in rows]) for column in texts.columns])
        for split, rows in parts.items()
    }
    scaler = StandardScaler().fit(found["train"])
    return {split: scaler.transform(matrix) for split, matrix in found.items()}


def answer(matrices: Matrices, parts: Parts, target: str) -> NDArray[Any]:
    """What logistic regression answers for the test part, of the penalty that serves the validation part best."""
    labels = {split: np.array([row[target] for row in rows]) for split, rows in parts.items()}
    scale = 1.0 if sparse.issparse(matrices["train"]) else 1e-3
    models = [
        LogisticRegression(C=scale * penalty, max_iter=500).fit(matrices["train"], labels["train"])
        for penalty in PENALTIES
    ]
    best = max(models, key=lambda model: float((model.predict(matrices["valid"]) == labels["valid"]).mean()))
    return best.predict(matrices["test"])


if __name__ == "__main__":
    main()
