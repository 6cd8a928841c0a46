"""A Gaussian process: a smooth function of cells and vectors, and how far it reaches is learned for each column.

On a few hundred rows this is often the best of all that is fitted to numbers: it bends where the rows say so and is a
linear model elsewhere (Rasmussen & Williams 2006).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tonggan.floor.base import CannotFitError, Examples, Floats, Goal, Member, MemberConfig, Stored
from tonggan.floor.design import Design
from tonggan.floor.features import Features, Reading
from tonggan.floor.linear_fit import descend, link, wanted
from tonggan.floor.rows import sample, with_hidden_copies
from tonggan.wording import Words

_MOST_ROWS = 1_500
_LEARNED_FROM = 500  # rows, hidden copies among them, that say how far each column reaches
_MOST_CELLS, _MOST_NUMBERS = 300, 2_000  # columns of cells, and of the vectors of an input
_COPIES = 100
_CALIBRATION_PENALTY = 1.0
_LEAST_NOISE = 1e-3
_AT_ONCE = 4_000_000  # elements of a kernel matrix
_SPREAD = 3**0.5  # of the logarithm of a reach


class GaussianProcessConfig(MemberConfig):
    """A Gaussian process on the cells and on the vectors of each input; classes and labels as ones and zeros."""

    cost: ClassVar[int] = 5
    kind: Literal["gaussian_process"] = "gaussian_process"
    steps: int = Field(default=40, ge=1)
    """Maximum number of optimizer steps for the length scales of the columns."""
    words: ClassVar[Words] = Words("Gaussian process", "高斯过程")

    def fit(self, examples: Examples, goal: Goal, *, seed: int, seconds: float) -> Member:
        deadline = time.monotonic() + 0.6 * seconds
        examples = sample(examples, _MOST_ROWS, seed=seed)
        examples, _ = with_hidden_copies(examples, seed=seed, least=min(_COPIES, len(examples)))
        designs = _designs(examples, goal)
        blocks = [torch.from_numpy(design.matrix(_part(examples.features, name))) for name, design in designs.items()]
        aims = torch.from_numpy(wanted(examples.targets, goal))
        middle = (aims * torch.from_numpy(examples.weights)[:, None]).mean(0)
        kernel = _Kernel.initial([block.shape[1] for block in blocks], has_cells=next(iter(designs)) == "")
        noise = 1 / torch.from_numpy(examples.weights)
        some = torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(len(aims))[:_LEARNED_FROM]))
        kernel.learn(
            [block[some] for block in blocks], (aims - middle)[some], noise[some], steps=self.steps, deadline=deadline
        )
        with torch.no_grad():
            matrix = kernel.matrix(blocks, blocks) + torch.diag(kernel.noise() * noise)
            factor = torch.linalg.cholesky(matrix)
            duals = torch.cholesky_solve(aims - middle, factor)
            left_out = aims - duals / torch.cholesky_inverse(factor).diagonal()[:, None]
        calibration = np.concatenate([np.eye(goal.size), np.zeros((1, goal.size))])
        if goal.form != "numbers":
            calibration = descend(
                left_out.numpy(), aims.numpy(), examples.weights, goal,
                penalty=_CALIBRATION_PENALTY, start=calibration, tolerance=1e-8,
            )  # fmt: skip
        arrays = {
            **{f"rows.{number}": block.numpy() for number, block in enumerate(blocks)},
            **{f"kernel.{name}": each.numpy() for name, each in kernel.values.items()},
            "duals": duals.numpy(),
            "middle": middle.numpy(),
            "calibration": calibration,
        }
        return GaussianProcessMember(designs, arrays, goal)

    def load(self, stored: Stored, goal: Goal) -> Member:
        designs = {}
        for number, plain in enumerate(stored.plain["designs"]):
            prefix = f"{number}."
            own = {name.removeprefix(prefix): a for name, a in stored.arrays.items() if name.startswith(prefix)}
            designs[plain["name"]] = Design.load(plain["design"], own)
        return GaussianProcessMember(designs, stored.arrays, goal)


class GaussianProcessMember(Member):
    """The mean of a Gaussian process, given rows.

    Args:
        designs: how the cells, and the vectors of each input, become matrices; by the input's name, of cells "".
        arrays: ``rows.0`` and so on, the rows by design; ``kernel.NAME``; ``duals`` and ``middle``; ``calibration``.
        goal: what is predicted.
    """

    def __init__(self, designs: Mapping[str, Design], arrays: Mapping[str, NDArray[Any]], goal: Goal) -> None:
        self.designs, self.arrays, self.goal = designs, arrays, goal
        held = {name: torch.from_numpy(arrays[f"kernel.{name}"]) for name in ("reach", "size", "linear", "noise")}
        self._rows = [torch.from_numpy(arrays[f"rows.{number}"]) for number in range(len(designs))]
        self._kernel = _Kernel([rows.shape[1] for rows in self._rows], held, has_cells=next(iter(designs)) == "")

    def predict(self, features: Features) -> Floats:
        blocks = [torch.from_numpy(design.matrix(_part(features, name))) for name, design in self.designs.items()]
        step = max(1, _AT_ONCE // len(self._rows[0]))
        duals, middle = torch.from_numpy(self.arrays["duals"]), torch.from_numpy(self.arrays["middle"])
        scores = [
            self._kernel.matrix([block[start : start + step] for block in blocks], self._rows) @ duals + middle
            for start in range(0, len(blocks[0]), step)
        ]
        found = torch.cat(scores).numpy() if scores else np.zeros((0, self.goal.size))
        calibration = self.arrays["calibration"]
        return link(found @ calibration[:-1] + calibration[-1], self.goal)

    def store(self) -> Stored:
        plain, arrays = [], {name: a for name, a in self.arrays.items() if not name[0].isdigit()}
        for number, (name, design) in enumerate(self.designs.items()):
            stored = design.store()
            plain.append({"name": name, "design": stored.plain})
            arrays |= {f"{number}.{key}": array for key, array in stored.arrays.items()}
        return Stored({"designs": plain}, arrays)


class _Kernel:
    """How alike rows are: smooth (Matérn 5/2) in each block of columns, and linear in the cells besides.

    The cells, the first block where there are any, have a reach for each column, other blocks one for all.

    Args:
        widths: columns of each block.
        values: logarithms, float64: ``reach`` ``[cell columns + other blocks]``, ``size`` ``[blocks]``, ``linear``
            and ``noise`` ``[]``.
        has_cells: whether the first block holds the cells.
    """

    def __init__(self, widths: Sequence[int], values: dict[str, Tensor], *, has_cells: bool) -> None:
        self.widths, self.values, self._has_cells = widths, values, has_cells

    @staticmethod
    def initial(widths: Sequence[int], *, has_cells: bool) -> _Kernel:
        """Where learning begins: the middle of what is likely beforehand."""
        values = {
            "reach": _Kernel._likely(widths, has_cells),
            "size": torch.full((len(widths),), -math.log(len(widths)), dtype=torch.float64),
            "linear": torch.tensor(-1.0 - math.log(widths[0]), dtype=torch.float64),
            "noise": torch.tensor(-1.5, dtype=torch.float64),
        }
        return _Kernel(widths, values, has_cells=has_cells)

    @staticmethod
    def _likely(widths: Sequence[int], has_cells: bool) -> Tensor:
        """Logarithms of reaches that grow with the number of columns, as distances do (Hvarfner et al. 2024)."""
        each = [
            torch.full((width if has_cells and number == 0 else 1,), 0.5 * math.log(width), dtype=torch.float64)
            for number, width in enumerate(widths)
        ]
        return torch.cat(each) + 2**0.5 / 2

    def noise(self) -> Tensor:
        """Variance of a row of weight 1."""
        return self.values["noise"].exp() + _LEAST_NOISE

    def matrix(self, rows: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
        """``[N, M]`` of ``rows`` and ``others`` by block."""
        reach, size = self.values["reach"].exp(), self.values["size"].exp()
        total = torch.zeros(len(rows[0]), len(others[0]), dtype=torch.float64)
        start = 0
        for number, (one, other) in enumerate(zip(rows, others, strict=True)):
            end = start + (self.widths[0] if self._has_cells and number == 0 else 1)
            total = total + size[number] * _matern(one / reach[start:end], other / reach[start:end])
            start = end
        if self._has_cells:
            total = total + self.values["linear"].exp() * (rows[0] @ others[0].T)
        return total

    def learn(self, blocks: Sequence[Tensor], aims: Tensor, noise: Tensor, *, steps: int, deadline: float) -> None:
        """Find the likeliest values, given the rows and what is likely beforehand."""
        start = {name: value.clone() for name, value in self.values.items()}
        for value in self.values.values():
            value.requires_grad_()
        optimizer = torch.optim.LBFGS(
            self.values.values(), max_iter=steps, history_size=10, line_search_fn="strong_wolfe", tolerance_change=1e-4
        )

        def closure() -> float:
            optimizer.zero_grad()
            if time.monotonic() > deadline:
                raise _LateError
            matrix = self.matrix(blocks, blocks) + torch.diag(self.noise() * noise)
            factor, failed = torch.linalg.cholesky_ex(matrix)
            if failed:
                return math.inf
            fit = 0.5 * (aims * torch.cholesky_solve(aims, factor)).sum() / aims.shape[1]
            loss = fit + factor.diagonal().log().sum()
            loss = loss + 0.5 * ((self.values["reach"] - start["reach"]) / _SPREAD).square().sum()
            for name in ("size", "linear", "noise"):
                loss = loss + 0.5 * ((self.values[name] - start[name]) / 2).square().sum()
            torch.autograd.backward(loss)
            return float(loss.detach())

        with suppress(_LateError):
            optimizer.step(closure)  # type: ignore[no-untyped-call]
        self.values = {
            name: torch.where(value.isfinite(), value, start[name]).detach() for name, value in self.values.items()
        }


class _LateError(Exception):
    """The time is up."""


def _matern(one: Tensor, other: Tensor) -> Tensor:
    squares = one.square().sum(1)[:, None] + other.square().sum(1) - 2 * one @ other.T
    distances = (5 * squares.clamp(min=1e-12)).sqrt()
    return (1 + distances + distances.square() / 3) * (-distances).exp()


def _part(features: Features, name: str) -> dict[str, Reading]:
    """The cells of all inputs, or the vectors of one."""
    if name:
        return {name: replace(features[name], cells=None, texts=None)}
    return {key: replace(reading, vectors=None, texts=None) for key, reading in features.items()}


def _designs(examples: Examples, goal: Goal) -> dict[str, Design]:
    names = [""] * any(each.cells is not None for each in examples.features.values())
    names += [name for name, reading in examples.features.items() if reading.vectors is not None]
    designs = {}
    for name in names:
        part = Examples(_part(examples.features, name), examples.targets, examples.weights)
        with suppress(CannotFitError):
            designs[name] = Design.fit(part, "dense", goal, most_columns=_MOST_NUMBERS if name else _MOST_CELLS)
    return designs or {"": Design.fit(examples, "dense", goal)}  # which says what is missing
