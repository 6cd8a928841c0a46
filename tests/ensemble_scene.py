"""A small run of members for tests: a number and a text of which both are needed, and a text that says nothing.

``python ensemble_scene.py OUT LABEL`` runs it up to the work with that label, says so, and waits there to be killed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import tonggan
from run_scene import StopAt

QUICK_MEMBERS = {  # of a preset, the same ones after fewer steps
    "boosted_trees": {"kind": "boosted_trees", "learning_rate": 0.3, "leaves": 8},
    "boosted_trees_random": {"kind": "boosted_trees", "random_thresholds": True, "learning_rate": 0.3, "leaves": 8},
    "extra_trees": {"kind": "extra_trees", "trees": 20},
    "random_forest": {"kind": "random_forest", "trees": 20},
    "small_network": {"kind": "network", "networks": 1, "epochs": 10},
    "gaussian_process": {"kind": "gaussian_process", "steps": 3},
}
# Whatever weights are installed, no frozen encoder is read.
SETTINGS = (
    "columns.note.kind=text",
    "columns.noise.kind=text",
    "floor.weights={note: null, noise: null}",
    "floor.members={linear: {kind: linear}, counts: {kind: tfidf}, trees: {kind: boosted_trees}}",
    "floor.folds=3",
)
# A network that pays, as it alone reads the texts.
NETWORK = (
    "floor.members={trees: {kind: boosted_trees}}",
    "floor.network=true",
    "model.dim=16",
    "model.encoders.note={kind: text_transformer, num_layers: 0}",
    "model.encoders.noise={kind: text_transformer, num_layers: 0}",
    "training={epochs: 12, batch_size: 16, learning_rate: 0.02, precision: fp32}",
)
PATIENCE = 10  # rounds of boosted trees without a lower loss
WORDS = np.array(["red", "green", "blue", "small", "large", "round", "old", "new"])


def frame(rows: int = 240, *, seed: int = 0) -> pd.DataFrame:
    """``size`` and the word ``red`` of ``note`` each shift the odds of ``answer``; ``place`` is a category."""
    random = np.random.default_rng(seed)
    size = random.normal(size=rows)
    notes, noise = ([" ".join(random.choice(WORDS, 4)) for _ in range(rows)] for _ in range(2))
    odds = 4 * size + np.array([3.0 if "red" in note else -3.0 for note in notes])
    found = {"size": size, "place": random.choice(["north", "south", "west"], rows), "note": notes, "noise": noise}
    return pd.DataFrame({**found, "answer": np.where(odds > 0, "yes", "no")})


def fit(out: Path, *, settings: Sequence[str] = (), data: Any = None, **options: Any) -> tonggan.Predictor:
    """Fit the scene's table, or ``data`` with the same columns."""
    return tonggan.fit(
        frame() if data is None else data, target="answer", out=out, settings=[*SETTINGS, *settings], **options
    )


if __name__ == "__main__":
    fit(Path(sys.argv[1]), settings=NETWORK, progress=StopAt(sys.argv[2]))
