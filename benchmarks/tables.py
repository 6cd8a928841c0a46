"""``tonggan.fit`` on small tables beside AutoGluon, histogram boosting and a linear model, each within the same time.

Each contender has a process of its own, one after the other, in an order that turns from round to round. ``--part
valid`` measures on a fifth of the training part, to choose by; ``--part test`` once at the end.

Run: python benchmarks/tables.py FOLDER [--part test] [--seconds 60] [--rounds 1] [--tables mpg penguins]
     [--autogluon PYTHON], the Python of an environment with autogluon.tabular[lightgbm,catboost,xgboost]
FOLDER holds NAME.train.csv and NAME.test.csv. The error is the share of wrong classes or the root of the mean squared
error. A ratio of shares counts half a wrong row more for both, so that it is defined where one of them is perfect.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas

TARGETS = {"titanic": "survived", "penguins": "species", "diamonds": "price", "mpg": "mpg", "taxis": "fare"}
CLASSES = {"titanic", "penguins"}
SEED = 0

TONGGAN = """
import sys, tonggan, pandas
train, held, target, seconds, folder, said = sys.argv[1:]
predictor = tonggan.fit(train, target=target, time_limit=float(seconds), out=folder, progress=False)
pandas.Series(predictor.predict(held)).to_csv(said, index=False)
"""
AUTOGLUON = """
import sys, pandas
from autogluon.tabular import TabularPredictor
train, held, target, seconds, folder, said = sys.argv[1:]
predictor = TabularPredictor(label=target, path=folder, verbosity=0).fit(train, time_limit=float(seconds))
predictor.predict(pandas.read_csv(held)).to_csv(said, index=False)
"""
PLAIN = """
import sys, pandas
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
name, form, train, held, target, seconds, folder, said = sys.argv[1:]
train, held = pandas.read_csv(train), pandas.read_csv(held)
inputs = train.drop(columns=target)
numbers = list(inputs.select_dtypes("number").columns)
names = [column for column in inputs.columns if column not in numbers]
if name == "boosting":
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    made = make_column_transformer(("passthrough", numbers), (codes, names))
    family = HistGradientBoostingClassifier if form == "classes" else HistGradientBoostingRegressor
    last = family(random_state=0)
else:
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    made = make_column_transformer((scaled, numbers), (OneHotEncoder(handle_unknown="ignore"), names))
    last = LogisticRegression(max_iter=2000) if form == "classes" else Ridge()
model = make_pipeline(made, last).fit(inputs, train[target])
pandas.Series(model.predict(held.drop(columns=target))).to_csv(said, index=False)
"""


def predictions(contender: str, table: str, parts: tuple[Path, Path], *, seconds: float, autogluon: str) -> tuple:
    """What the contender says of the held part, and the seconds that it took from start to end of its process."""
    python = autogluon if contender == "autogluon" else sys.executable
    form = "classes" if table in CLASSES else "numbers"
    code = {"tonggan": [TONGGAN], "autogluon": [AUTOGLUON]}.get(contender, [PLAIN, contender, form])
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said.csv"
        command = [python, "-c", *code, *parts, TARGETS[table], str(seconds), f"{folder}/run", said]
        started = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        return pandas.read_csv(said).iloc[:, 0], time.monotonic() - started


def error_of(table: str, said: pandas.Series, held: Path) -> tuple[float, int]:
    """The error, and how many rows it is of."""
    truth = pandas.read_csv(held)[TARGETS[table]]
    if table in CLASSES:
        return float((said.astype(str) != truth.astype(str)).mean()), len(truth)
    return float(((said - truth) ** 2).mean() ** 0.5), len(truth)


def ratio(table: str, ours: float, theirs: float, rows: int) -> float:
    """Our error beside theirs."""
    half = 0.5 / rows if table in CLASSES else 0.0
    return (ours + half) / (theirs + half)


def split(table: str, source: Path, part: str, folder: Path) -> tuple[Path, Path]:
    """Files to learn from and to measure on."""
    train = source / f"{table}.train.csv"
    if part == "test":
        return train, source / f"{table}.test.csv"
    rows = pandas.read_csv(train)
    held = rows.sample(frac=0.2, random_state=SEED)
    files = folder / f"{table}.train.csv", folder / f"{table}.valid.csv"
    rows.drop(held.index).to_csv(files[0], index=False)
    held.to_csv(files[1], index=False)
    return files


def main() -> None:
    """Print the table row by row, then the geometric mean of our ratios to each of the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=("valid", "test"), default="valid")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tables", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--autogluon", default="")
    given = parser.parse_args()
    contenders = ["tonggan", *(["autogluon"] if given.autogluon else []), "boosting", "linear"]
    ratios: dict[str, list[float]] = {name: [] for name in contenders[1:]}
    print("| table | round | " + " | ".join(f"{name}: error, s" for name in contenders) + " |")
    print("| --- " * (len(contenders) + 2) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for table in given.tables:
            parts = split(table, given.folder, given.part, Path(folder))
            for turn in range(given.rounds):
                found = {}
                for place in range(len(contenders)):
                    name = contenders[(place + turn) % len(contenders)]
                    said, took = predictions(name, table, parts, seconds=given.seconds, autogluon=given.autogluon)
                    found[name] = (*error_of(table, said, parts[1]), took)
                cells = [f"{found[name][0]:.4g}, {found[name][2]:.0f}" for name in contenders]
                print(f"| {table} | {turn} | " + " | ".join(cells) + " |", flush=True)
                ours, rows, _ = found["tonggan"]
                for name, others in ratios.items():
                    others.append(ratio(table, ours, found[name][0], rows))
    for name, found in ratios.items():
        mean = math.exp(sum(map(math.log, found)) / len(found))
        print(json.dumps({"beside": name, "geometric_mean": round(mean, 3), "largest": round(max(found), 3)}))


if __name__ == "__main__":
    main()
