"""Functions that all count alike, from which a small detector learns within seconds what is wrong in others of them."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tonggan.codelm.review.learned.functions import Function
from tonggan.codelm.review.learned.training import DetectorTrainingConfig, TrainedDetector, train_detector

SMALL = DetectorTrainingConfig.model_validate(
    {
        "network": {"dim": 32, "num_layers": 2, "num_heads": 2},
        "vocabulary": 200,
        "tokens_at_once": 600,
        "epochs": 5,
        "learning_rate": 8e-3,
        "time_limit": None,
    }
)
_NAMES = ["rows", "words", "users", "files", "prices", "pages", "keys", "nodes"]


def counting_functions(number: int) -> list[Function]:
    """``number`` functions of sixty files under different names."""
    drawn = Random(0)
    found = []
    for row in range(number):
        name, place = drawn.choice(_NAMES), row % 60
        text = (
            f"def count_{name}({name}, first, last):\n    count_{place} = 0\n    for each in {name}:\n"
            f"        if first <= each < last:\n            count_{place} += 1\n    return count_{place}\n"
        )
        found.append(Function(text, f"count_{name}", f"package/{place}.py", 1, ""))
    return found


def train_counting(folder: Path) -> TrainedDetector:
    """A detector that has learned from 400 of them; ``folder`` holds its checkpoints meanwhile."""
    return train_detector(counting_functions(400), folder=folder, config=SMALL)
