"""A small real run for tests: numbers and texts of which both are needed, fitted by ``tonggan.fit``.

``python run_scene.py OUT STEP`` runs it alone up to training step STEP (counted over all models of the run), or up to
the work with the label STEP, says so, and waits there to be killed; with ``overwrite`` behind it replaces a run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import tonggan
from tonggan.models import FusedModel
from tonggan.progress import Progress
from tonggan.tokens import Tokens

STEPS = 36
SETTINGS = (
    "floor=null",
    "columns.note.kind=text",
    "model.dim=32",
    "model.encoders={note: {kind: text_transformer, num_layers: 0}, table: {kind: table}}",
    "training.epochs=4",
    "training.batch_size=16",
)
EAGER = "training.checkpoint_every=0"  # so that a run that is killed is taken up where it was
HERE = "waiting"


def table(rows: int = 160, *, seed: int = 0) -> pa.Table:
    """``size`` and ``weight`` are numbers, ``note`` a text; ``answer`` says whether one fits the other."""
    random = np.random.default_rng(seed)
    size, weight = random.normal(size=(2, rows))
    words = np.array(["red", "green", "blue", "small", "large", "round"])
    notes = [" ".join(words[random.integers(len(words), size=4)]) for _ in range(rows)]
    answers = [["no", "yes"][int((number > 0) ^ ("red" in note))] for number, note in zip(size, notes, strict=True)]
    return pa.table({"size": size, "weight": weight, "note": notes, "answer": answers})


def fit(out: Path, *, settings: Iterable[str] = (), data: Any = None, **options: Any) -> tonggan.Predictor:
    """Fit the scene's table, or ``data`` with the same columns."""
    return tonggan.fit(
        table() if data is None else data, target="answer", out=out, settings=[*SETTINGS, *settings], **options
    )


class StopAt(Progress):
    """Waits for ever as soon as work with a label begins."""

    def __init__(self, label: str) -> None:
        self.label = label

    def track(self, items: Iterable[Any], *, label: str, **_: Any) -> Iterator[Any]:
        if label == self.label:
            wait()
        yield from items


def wait() -> None:
    sys.stdout.write(HERE + "\n")
    sys.stdout.flush()
    time.sleep(600)


def stop_at_step(step: int) -> None:
    encode, done = FusedModel.encode, [0]

    def counted(self: FusedModel, inputs: Any) -> dict[str, Tokens]:
        done[0] += self.training
        if done[0] > step:
            wait()
        return encode(self, inputs)

    FusedModel.encode = counted


if __name__ == "__main__":
    torch.set_num_threads(1)
    out, place = Path(sys.argv[1]), sys.argv[2]
    if place.isdigit():
        stop_at_step(int(place))
    fit(out, settings=[EAGER], progress=StopAt(place), overwrite="overwrite" in sys.argv)
