"""A small training run for tests: vectors in memory, a network with dropout and batch normalization, a real task.

``python training_scene.py FOLDER`` runs it alone, slowly, so that a test can kill it; with ``plain`` after it, at full
speed a network without any randomness of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.data.dataset import Dataset, Source
from tonggan.modalities.base import Modality
from tonggan.tasks.classify import MulticlassConfig
from tonggan.tokens import Arrays
from tonggan.training import TrainingConfig, TrainingResult, train
from tonggan.training.stepper import Stepper
from tonggan.training.supervised import Supervised, loaders

SEED = 3
CONFIG = TrainingConfig(epochs=4, batch_size=16, precision="fp32", learning_rate=0.01)


class Vectors(Modality[Config]):
    """Numbers as they are, varied by noise."""

    kind = "vectors"

    def collate(self, items: Sequence[np.ndarray]) -> Arrays:
        values = torch.from_numpy(np.stack(items))
        return Arrays(values, torch.ones(len(items), dtype=torch.bool))

    def augment(self, arrays: Arrays, generator: torch.Generator) -> Arrays:
        return Arrays(arrays.values + 0.1 * torch.randn(arrays.values.shape, generator=generator), arrays.mask)


class VectorSource(Source):
    """Vectors by row number."""

    def __init__(self, values: np.ndarray) -> None:
        self.modality = Vectors(Config())
        self.values = values

    def items(self, rows: np.ndarray) -> Sequence[np.ndarray]:
        return list(self.values[rows])


class Net(nn.Module):
    """Two layers over the input ``x``."""

    pause = 0.0

    def __init__(self, *, width: int = 8, num_outputs: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, num_outputs)
        )

    def forward(self, inputs: Mapping[str, Arrays]) -> Tensor:
        time.sleep(self.pause)
        return self.layers(inputs["x"].values)


class Plain(nn.Module):
    """One layer over the input ``x``."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 3)

    def forward(self, inputs: Mapping[str, Arrays]) -> Tensor:
        return self.linear(inputs["x"].values)


def scene(*, rows: int = 240):
    """Model, task, and the training and validation part: the class is the greatest of the first three numbers."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(rows, 8)).astype(np.float32)
    names = values[:, :3].argmax(axis=1).astype(str).tolist()
    cut = rows * 2 // 3
    task = MulticlassConfig().build()
    task.fit(names[:cut])
    whole = Dataset({"x": VectorSource(values)}, np.arange(rows), task.encode(names))
    torch.manual_seed(SEED)
    return Net(), task, whole.take(np.arange(cut)), whole.take(np.arange(cut, rows))


def run(folder: Path, *, config: TrainingConfig = CONFIG, model=None, **options) -> tuple[nn.Module, TrainingResult]:
    """Train the scene, or ``model`` in it."""
    fresh, task, *parts = scene()
    model = model or fresh
    return model, train_on(model, task, *parts, config=config, folder=folder, **options)


def train_on(model: nn.Module, task, train_part: Dataset, valid_part: Dataset, *, config, folder, **options):
    """Train ``model`` on parts of the scene."""
    learned, valid = loaders(train_part, valid_part, config=config, seed=SEED)
    return train(Supervised(model, task), learned, valid=valid, config=config, folder=folder, seed=SEED, **options)


def before_step(patch: Any, number: int, act: Callable[[], Any]) -> None:
    """Let every training ``act`` before its step ``number``, from 0."""
    step = Stepper.step

    def act_and_step(self: Stepper, at: int, *arguments: Any, **options: Any) -> Tensor:
        if at == number:
            act()
        return step(self, at, *arguments, **options)

    patch.setattr(Stepper, "step", act_and_step)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[2:] == ["plain"]:
        _, task, *parts = scene()
        torch.manual_seed(SEED)
        train_on(Plain(), task, *parts, config=CONFIG, folder=Path(sys.argv[1]))
    else:
        Net.pause = 0.02
        run(Path(sys.argv[1]), config=CONFIG.model_copy(update={"checkpoint_every": 0.05}))
