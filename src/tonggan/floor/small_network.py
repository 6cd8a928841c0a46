"""A few small networks on the dense design, trained side by side, whose predictions are averaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from torch.optim.adamw import adamw

from tonggan.floor.base import CannotFitError, Examples, Floats, Goal, Member, MemberConfig, Stored
from tonggan.floor.design import Design
from tonggan.floor.features import Features
from tonggan.floor.linear_fit import link, wanted
from tonggan.floor.rows import deal, sample, with_hidden_copies
from tonggan.wording import Words

_MOST_ROWS = 100_000
_MOST_COLUMNS = 2_000
_BINS = 8
_PATIENCE = 16  # epochs without a lower loss
_LEAST_SECONDS = 0.5
_AT_ONCE = 4_096  # rows that are predicted together
_NAMES = ("weight0", "bias0", "weight1", "bias1", "weight2", "bias2")


class NetworkConfig(MemberConfig):
    """Networks of two hidden layers, each from random weights of its own."""

    cost: ClassVar[int] = 5
    kind: Literal["network"] = "network"
    networks: int = Field(default=4, ge=1, le=64)
    """Number of models to average."""
    width: int = Field(default=96, ge=1, le=4096)
    """Width of each hidden layer."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability of hidden activations in training."""
    learning_rate: float = Field(default=1.5e-3, gt=0)
    """Of the AdamW optimizer."""
    weight_decay: float = Field(default=0.03, ge=0)
    """Of the AdamW optimizer."""
    epochs: int = Field(default=150, ge=1)
    """Maximum number of epochs; held-out rows decide when to stop."""
    words: ClassVar[Words] = Words("small network", "小型神经网络")

    def fit(self, examples: Examples, goal: Goal, *, seed: int, seconds: float) -> Member:
        deadline = time.monotonic() + 0.85 * seconds
        if seconds < _LEAST_SECONDS:
            raise CannotFitError(
                "small network",
                got=f"{seconds:.2g} s",
                expected=f"at least {_LEAST_SECONDS:g} s",
                remedy="Raise the time limit",
            )
        examples = sample(examples, _MOST_ROWS, seed=seed)
        apart = deal(examples.targets, 6, seed=seed) == 0
        examples, origins = with_hidden_copies(examples, seed=seed)
        design = Design.fit(examples, "dense", goal, bins=_BINS, most_columns=_MOST_COLUMNS)
        rows = torch.from_numpy(design.matrix(examples.features)).float()
        aims = torch.from_numpy(wanted(examples.targets, goal)).float()
        weights = torch.from_numpy(examples.weights).float()
        held = torch.from_numpy(apart[origins])
        trained = _train(self, goal, (rows, aims, weights), held, seed=seed, deadline=deadline)
        return NetworkMember(design, [trained[name].numpy() for name in _NAMES], goal)

    def load(self, stored: Stored, goal: Goal) -> Member:
        layers = [stored.arrays[name] for name in _NAMES]
        return NetworkMember(Design.load(stored.plain["design"], stored.arrays), layers, goal)


class NetworkMember(Member):
    """The mean of networks on a dense design.

    Args:
        design: how rows become a matrix.
        layers: weights ``[M, in, out]`` and biases ``[M, 1, out]`` of M networks, layer after layer.
        goal: what is predicted.
    """

    def __init__(self, design: Design, layers: Sequence[NDArray[np.float32]], goal: Goal) -> None:
        self.design, self.layers, self.goal = design, layers, goal

    def predict(self, features: Features) -> Floats:
        rows = torch.from_numpy(self.design.matrix(features))
        layers = {name: torch.from_numpy(layer).double() for name, layer in zip(_NAMES, self.layers, strict=True)}
        parts = []
        for start in range(0, len(rows), _AT_ONCE):
            scores = _scores(layers, rows[start : start + _AT_ONCE]).numpy()
            parts.append(np.mean([link(each, self.goal) for each in scores], axis=0))
        return np.concatenate(parts) if parts else np.zeros((0, self.goal.size))

    def store(self) -> Stored:
        design = self.design.store()
        return Stored({"design": design.plain}, {**design.arrays, **dict(zip(_NAMES, self.layers, strict=True))})


def _train(
    config: NetworkConfig,
    goal: Goal,
    data: tuple[Tensor, Tensor, Tensor],
    apart: Tensor,
    *,
    seed: int,
    deadline: float,
) -> Mapping[str, Tensor]:
    """The weights of the epoch that served the rows ``apart`` best; the last without such rows."""
    generator = torch.Generator().manual_seed(seed)
    rows, aims, weights = (part[~apart] for part in data)
    shown = tuple(part[apart] for part in data)
    layers = _initial(config, rows.shape[1], aims, goal, generator)
    step = _descent(config, list(layers.values()))
    size = min(max(len(rows) // 10, 32), 512)
    best, least, since = layers, np.inf, 0
    for _ in range(config.epochs):
        for batch in torch.tensor_split(torch.randperm(len(rows), generator=generator), -(-len(rows) // size)):
            if time.monotonic() > deadline:
                break
            scores = _scores(layers, rows[batch], dropout=config.dropout, generator=generator)
            loss = (_losses(scores, aims[batch], goal) * weights[batch]).mean(1).sum()
            step(torch.autograd.grad(loss, list(layers.values())))
        if len(shown[0]):
            with torch.no_grad():
                reached = float((_mean_loss(_scores(layers, shown[0]), shown[1], goal) * shown[2]).mean())
            since += 1
            if reached < least:
                least, since = reached, 0
                best = {name: layer.detach().clone() for name, layer in layers.items()}
        if since >= _PATIENCE or time.monotonic() > deadline:
            break
    return {name: layer.detach() for name, layer in best.items()}


def _descent(config: NetworkConfig, layers: list[Tensor]) -> Callable[[Sequence[Tensor]], None]:
    """AdamW's steps by gradients of ``layers``; ``torch.optim.AdamW`` would first load PyTorch's compiler."""
    means, squares = ([torch.zeros_like(layer) for layer in layers] for _ in range(2))
    counts = [torch.zeros(()) for _ in layers]

    @torch.no_grad()
    def step(gradients: Sequence[Tensor]) -> None:
        adamw(
            layers, list(gradients), means, squares, [], counts, fused=True, amsgrad=False, beta1=0.9, beta2=0.999,
            lr=config.learning_rate, weight_decay=config.weight_decay, eps=1e-8, maximize=False,
        )  # fmt: skip

    return step


def _initial(
    config: NetworkConfig, inputs: int, aims: Tensor, goal: Goal, generator: torch.Generator
) -> dict[str, Tensor]:
    layers = {}
    widths = [inputs, config.width, config.width, goal.size]
    for index, (wide, out) in enumerate(pairwise(widths)):
        scale = (2 / wide) ** 0.5 if index < 2 else 0.1 / wide**0.5
        layers[f"weight{index}"] = torch.randn(config.networks, wide, out, generator=generator) * scale
        layers[f"bias{index}"] = torch.zeros(config.networks, 1, out)
    middle = aims.mean(0)
    if goal.form != "numbers":
        middle = middle.clamp(1e-3, 1 - 1e-3)
        middle = middle.log() if goal.form == "classes" else middle.logit()
    layers["bias2"] += middle
    return {name: layer.requires_grad_() for name, layer in layers.items()}


def _scores(
    layers: Mapping[str, Tensor], rows: Tensor, *, dropout: float = 0.0, generator: torch.Generator | None = None
) -> Tensor:
    """``[M, N, size]``."""
    hidden = rows.expand(len(layers["weight0"]), *rows.shape)
    for index in range(2):
        hidden = torch.baddbmm(layers[f"bias{index}"], hidden, layers[f"weight{index}"]).relu()
        if dropout:
            kept = torch.rand(hidden.shape, generator=generator) >= dropout
            hidden = hidden * kept / (1 - dropout)
    return torch.baddbmm(layers["bias2"], hidden, layers["weight2"])


def _losses(scores: Tensor, aims: Tensor, goal: Goal) -> Tensor:
    """``[M, N]``."""
    if goal.form == "numbers":
        return functional.smooth_l1_loss(scores, aims.expand_as(scores), reduction="none").sum(-1)
    if goal.form == "labels":
        return functional.binary_cross_entropy_with_logits(scores, aims.expand_as(scores), reduction="none").sum(-1)
    return -(scores.log_softmax(-1) * aims).sum(-1)


def _mean_loss(scores: Tensor, aims: Tensor, goal: Goal) -> Tensor:
    """``[N]``, of the mean of the networks."""
    if goal.form == "numbers":
        return (scores.mean(0) - aims).square().sum(-1)
    if goal.form == "labels":
        return functional.binary_cross_entropy(scores.sigmoid().mean(0), aims, reduction="none").sum(-1)
    return -((scores.softmax(-1).mean(0) + 1e-9).log() * aims).sum(-1)
