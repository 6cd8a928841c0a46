"""A small training run for tests: vectors in memory, a network with dropout and batch normalization, a real task.

``python training_scene.py FOLDER`` runs it alone, slowly, so that a test can kill it; with ``plain`` or ``deep`` after
it, at full speed a network without any randomness of its own, and with fields of the config after that, as
``sharded=true``. ``stop=7`` lets it be interrupted before step 7.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.data.dataset import Dataset, Source
from tonggan.decoders import TARGET, LinearHeadConfig
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.modalities.base import Modality
from tonggan.models import FusedModel
from tonggan.tasks.classify import Multiclass, MulticlassConfig
from tonggan.tokens import Arrays, Tokens
from tonggan.training import TrainingConfig, TrainingResult, train
from tonggan.training.pace import Pace
from tonggan.training.stepper import Stepper
from tonggan.training.supervised import Supervised, loaders

SEED = 3
CONFIG = TrainingConfig(epochs=4, batch_size=16, precision="fp32", learning_rate=0.01)


class Vectors(Modality[Config]):
    """Numbers as they are, varied by noise."""

    kind = "vectors"

    def collate(self, items: Sequence[np.ndarray]) -> Arrays:
        return Arrays.whole(torch.from_numpy(np.stack(items)))

    def vary(self, arrays: Arrays, generator: torch.Generator, **_: Any) -> Arrays:
        return Arrays(arrays.values + 0.1 * torch.randn(arrays.values.shape, generator=generator), arrays.mask)


@dataclass(frozen=True)
class MemorySource(Source):
    """Values by row number, read by a modality."""

    modality: Modality[Any]
    values: Sequence[Any] | np.ndarray

    def items(self, rows: np.ndarray) -> Sequence[Any]:
        return [self.values[row] for row in rows]


class AsToken(nn.Module):
    """Vectors ``[B, D]`` as one token each."""

    def forward(self, arrays: Arrays) -> Tokens:
        return Tokens(arrays.values.unsqueeze(1), arrays.mask.unsqueeze(1))


class Only(nn.Module):
    """The fusion of a single input."""

    def forward(self, tokens: Mapping[str, Tokens]) -> Tokens:
        (part,) = tokens.values()
        return part


class Network(FusedModel):
    """``layers`` over the input ``x``, as the head of a model that has nothing else to learn."""

    def __init__(self, layers: nn.Module) -> None:
        head = LinearHeadConfig().build(8, answer=fitted().answer)
        head.norm, head.layers = nn.Identity(), layers
        super().__init__({"x": AsToken()}, fusion=Only(), head=head)

    @property
    def layers(self) -> nn.Module:
        return self.head.layers


class Net(Network):
    """Two layers."""

    pause = 0.0

    def __init__(self) -> None:
        super().__init__(
            nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3))
        )

    def encode(self, inputs: Mapping[str, Arrays]) -> dict[str, Tokens]:
        time.sleep(self.pause)
        return super().encode(inputs)


class Plain(Network):
    """One layer."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 3))


class Blocks(nn.Module):
    """``[B, 8]`` to ``[B, 3]`` by a transformer over one token."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 32), nn.Linear(32, 3)
        self.transformer = Transformer(32, config=TransformerConfig(num_layers=2, num_heads=2, dropout=0))

    def forward(self, values: Tensor) -> Tensor:
        tokens = self.first(values).unsqueeze(1)
        output: Tensor = self.last(self.transformer(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool)).squeeze(1))
        return output


class Deep(Network):
    """A transformer."""

    def __init__(self) -> None:
        super().__init__(Blocks())


def fitted(names: Sequence[str] = ("0", "1", "2")) -> Multiclass:
    """The task, which has seen ``names``."""
    task = MulticlassConfig().build()
    task.fit(names)
    return task


def scene(*, rows: int = 240):
    """Model, task, and the training and validation part: the class is the greatest of the first three numbers."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(rows, 8)).astype(np.float32)
    names = values[:, :3].argmax(axis=1).astype(str).tolist()
    cut = rows * 2 // 3
    task = fitted(names[:cut])
    sources = {"x": MemorySource(Vectors(Config()), values)}
    whole = Dataset(sources, np.arange(rows), {TARGET: MemorySource(task.target, names)})
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


def run_still(kind: str, folder: Path, *fields: str) -> tuple[nn.Module, TrainingResult]:
    """Train the network of ``kind``, which has no randomness of its own, with ``name=value`` of the config."""
    _, task, *parts = scene()
    torch.manual_seed(SEED)
    model = {"plain": Plain, "deep": Deep}[kind]()
    config = TrainingConfig.model_validate({**CONFIG.to_dict(), **dict(field.split("=") for field in fields)})
    return model, train_on(model, task, *parts, config=config, folder=folder)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, *words = sys.argv[1:]
    if words:
        if os.environ.get("RANK") == "1":  # whose clock never tells it how long steps take
            Pace.is_known = lambda pace, *, soon: False  # noqa: ARG005
        stops = [int(word.removeprefix("stop=")) for word in words if word.startswith("stop=")]
        for number in stops:
            before_step(pytest.MonkeyPatch(), number, lambda: os.kill(os.getpid(), signal.SIGINT))
        run_still(words[0], Path(folder), *(word for word in words[1:] if not word.startswith("stop=")))
    else:
        Net.pause = 0.02
        run(Path(folder), config=CONFIG.model_copy(update={"checkpoint_every": 0.05}))
