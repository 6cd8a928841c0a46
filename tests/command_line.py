"""The command line for tests: called in this process or started in another, on small generated data."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

import forked
from tonggan.cli.app import main

SMALL = (
    *("--set", "floor=null"),
    *("--set", "training.epochs=1"),
    *("--set", "training.batch_size=16"),
    *("--set", "model.dim=16"),
    *("--set", "audit_alone=false"),
)
# The default way, with few members, beside a network.
ENSEMBLE = (
    *SMALL[2:],
    *("--set", "floor.members={linear: {kind: linear}, boosted_trees: {kind: boosted_trees}}"),
    *("--set", "floor.folds=2"),
    *("--set", "floor.weights.image=null"),
)


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object that is all of stdout."""
        assert len(self.out.splitlines()) == 1
        return json.loads(self.out)


def tonggan(*arguments: str | Path) -> Outcome:
    """Run ``tonggan`` with ``arguments`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    return Outcome(int(code or 0), out.getvalue(), err.getvalue())


def started(*arguments: str | Path) -> forked.Process:
    """``tonggan`` with ``arguments`` in a process of its own."""
    return forked.Process([sys.executable, "-m", "tonggan", *map(str, arguments)], stderr=forked.PIPE)


def assert_named(outcome: Outcome, *texts: str, code: int = 1) -> None:
    """A named error: the exit code, what was got, expected and can be done, no traceback, nothing on stdout."""
    assert outcome.code == code, outcome.err
    assert "Error: " in outcome.err
    for part in ("  got:      ", "  expected: ", "  remedy:   ", *texts):
        assert part in outcome.err, outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


def make_rows(folder: Path, count: int = 64) -> list[dict[str, Any]]:
    """Rows with a picture, a recording, a text and a number, of which the picture tells the label."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    words = np.array(["the", "one", "very", "bright", "dark", "picture", "of", "something", "round", "near", "big"])
    rows = []
    for row in range(count):
        label = ["cat", "dog"][row % 2]
        pixels = random.integers(0, 80, (16, 16, 3)) + (np.array([160, 0, 0]) if label == "cat" else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{row}.png")
        soundfile.write(folder / f"{row}.wav", random.normal(scale=0.1, size=800).astype(np.float32), 8000)
        text = " ".join([*words[random.integers(len(words), size=5)], str(row)])
        age = round(float(random.normal(40, 10)), 1)
        rows.append({"image": f"{row}.png", "sound": f"{row}.wav", "text": text, "age": age, "label": label})
    return rows


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], *columns: str) -> Path:
    """The ``columns`` of ``rows`` (all by default) as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
