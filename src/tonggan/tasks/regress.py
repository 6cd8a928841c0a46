"""Numbers for each row, one or several.

Inside, targets and outputs are standardized by the training part's mean and deviation, so that targets of any scale
train alike; ``decode`` and ``measure`` speak in the units of the data. A wild target, one of few that lie many times as
far out as any other, takes no part in either, and counts for less the farther out it is: two mistyped prices must not
ruin a model.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import FiniteFloat, TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from tonggan.cells import cell_number
from tonggan.config import Config
from tonggan.data.target_checks import Checked, TargetColumn, check_numbers
from tonggan.decoders.answers import TARGET, Vector
from tonggan.errors import DataError
from tonggan.modalities.scales import WILD_TARGET_SHARE, spread_of, wild_distance
from tonggan.tasks.base import CellTarget, Task, TaskConfig
from tonggan.tasks.figures import Chart, Section
from tonggan.tasks.measure import Floats, Measure, Reducer
from tonggan.tokens import Arrays, Prediction
from tonggan.wording import Words

_FARTHEST = 1e30  # which float32 still holds
_MAX_POINTS = 1_000  # of a scatter
_EXACT = 1e-12  # Of a spread; what is smaller comes from rounding.


class RegressConfig(TaskConfig):
    """One or several numbers."""

    predicts_numbers: ClassVar[bool] = True
    form: ClassVar[Literal["numbers"]] = "numbers"
    kind: Literal["regression"] = "regression"
    loss: Literal["mse", "huber"] = "mse"
    """'huber' counts errors beyond one standard deviation linearly, so that outliers weigh less (Huber 1964)."""

    def check(self, column: TargetColumn) -> Checked:
        return check_numbers(column)

    def build(self) -> Regress:
        return Regress(self)


class Regress(Task):
    """One or several numbers.

    A value is a number, a sequence of numbers, or a mapping from target name to number; every row alike. Targets are
    float32 [B, T], standardized.
    """

    kind: str = "regression"
    # Unlike RMSE, R² weighs several targets the same whatever their units.
    score_name = "r2"
    words = Words("regression", "回归")
    constant_words = Words("always the mean", "总是预测均值")
    config: RegressConfig

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.mean: NDArray[np.float64] = np.zeros(0)
        self.deviation: NDArray[np.float64] = np.ones(0)
        # [2, T], standardized: beyond them a target is wild.
        self.limits = torch.tensor([[-math.inf], [math.inf]])

    @property
    def answer(self) -> Vector:
        return Vector(len(self.labels), self.row_losses)

    @property
    def target(self) -> CellTarget:
        return CellTarget(self.config, self._standardized)

    def fit(self, values: Iterable[Any]) -> None:
        numbers = array("d")
        bad = []
        for row, value in enumerate(values):
            if not self.labels:
                self.labels = _names(value)
            parsed = self._parse(value)
            numbers.extend(parsed)
            if not np.isfinite(parsed).all():
                bad.append(row)
        self._reject_bad(bad)
        if not numbers:
            raise DataError(
                "regression target", got="no values", expected="numbers in the training part", remedy="Add rows"
            )
        table = np.frombuffer(numbers).reshape(-1, len(self.labels))
        for name, low, high in zip(self.labels, table.min(axis=0), table.max(axis=0), strict=True):
            if low == high:
                raise DataError(
                    f"regression target '{name}'",
                    got=f"{low:g} in every row",
                    expected="numbers that differ",
                    remedy="Choose another target column",
                )
        scales = np.array([_scale(column) for column in table.T])
        self.mean, self.deviation = scales[:, 0], scales[:, 1]
        limits = (scales[:, 2:].T - self.mean) / self.deviation
        self.limits = torch.from_numpy(limits.clip(-_FARTHEST, _FARTHEST)).float()

    def _parse(self, value: Any) -> list[float]:
        """The numbers of one row in the order of ``labels``, NaN where one is missing or is no number."""
        if isinstance(value, Mapping):
            return [cell_number(value.get(name)) for name in self.labels]
        parts = list(value) if _is_sequence(value) else [value]
        return [cell_number(part) for part in parts] if len(parts) == len(self.labels) else [np.nan] * len(self.labels)

    def _reject_bad(self, rows: Sequence[int]) -> None:
        count = len(self.labels)
        self._reject_rows(
            rows,
            problem="no finite number" if count == 1 else f"not {count} finite numbers",
            expected="a number in every row" if count == 1 else f"{count} numbers in every row",
            remedy="Fill in the target or remove these rows",
        )

    def _standardized(self, values: Sequence[Any]) -> Arrays:
        """[B, T] float32."""
        numbers = np.array([self._parse(value) for value in values], dtype=np.float64).reshape(-1, len(self.labels))
        self._reject_bad(np.flatnonzero(~np.isfinite(numbers).all(axis=1)).tolist())
        standardized = (numbers - self.mean) / self.deviation
        return Arrays.whole(torch.from_numpy(standardized.clip(-_FARTHEST, _FARTHEST)).float())

    def units(self, outputs: Tensor) -> NDArray[np.float64]:
        """[B, T]: standardized outputs or targets in the units of the data."""
        return outputs.double().numpy() * self.deviation + self.mean

    def graph_output(self, prediction: Prediction) -> tuple[str, Tensor]:
        """The numbers in their units."""
        numbers = prediction["outputs"].double() * torch.from_numpy(self.deviation) + torch.from_numpy(self.mean)
        return "values", numbers

    def row_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """[B]: the mean over the targets; a wild one counts as one at the limit, and the less the farther out it is."""
        loss = F.mse_loss if self.config.loss == "mse" else F.huber_loss
        low, high = self.limits.to(target.device)
        limited = target.clamp(low, high)
        weight = torch.where(limited == target, 1.0, limited / target)
        return (weight * loss(outputs.float(), limited, reduction="none")).mean(dim=1)

    def _is_tame(self, target: Tensor) -> Tensor:
        """[B] bool: rows of ``target`` [B, T] without a wild one."""
        low, high = self.limits.to(target.device)
        tame: Tensor = ((target >= low) & (target <= high)).all(dim=1)
        return tame

    def decode(self, prediction: Prediction) -> list[Any]:
        """A float for each row, or a dict by target name where there are several."""
        rows = self.units(prediction["outputs"]).tolist()
        return [row[0] if len(self.labels) == 1 else dict(zip(self.labels, row, strict=True)) for row in rows]

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> NumberMeasure:
        outputs, target = prediction["outputs"], targets[TARGET].values
        rows = {
            "predicted": self.units(outputs),
            "truth": self.units(target),
            "tame": self._is_tame(target).numpy(),
            "loss": self.row_losses(outputs, target).double().numpy(),
        }
        return NumberMeasure(rows, self.score_name, self.greater_is_better, labels=self.labels)

    def constant(self, num_rows: int) -> Prediction:
        return Prediction({"outputs": torch.zeros(num_rows, len(self.labels))})

    def describe(self, prediction: Prediction) -> list[str]:
        return self._written(prediction["outputs"])

    def describe_targets(self, targets: Mapping[str, Arrays]) -> list[str]:
        return self._written(targets[TARGET].values)

    def _written(self, standardized: Tensor) -> list[str]:
        if len(self.labels) == 1:
            return [f"{number:.4g}" for (number,) in self.units(standardized)]
        return [
            ", ".join(f"{name} {number:.4g}" for name, number in zip(self.labels, row, strict=True))
            for row in self.units(standardized)
        ]

    def state(self) -> dict[str, Any]:
        scales = {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}
        return super().state() | scales | {"limits": self.limits.tolist()}

    @classmethod
    def load(cls, config: Config, state: dict[str, Any]) -> Self:
        task = super().load(config, state)
        scale = TypeAdapter(list[FiniteFloat])
        task.mean, task.deviation = (np.array(scale.validate_python(state[name])) for name in ("mean", "deviation"))
        if not len(task.mean) == len(task.deviation) == len(task.labels) or not (task.deviation > 0).all():
            raise ValueError("a mean and a deviation above 0 are needed for each target")
        if "limits" in state:  # bundles of Tonggan 0.1 have none
            limits = [scale.validate_python(part) for part in TypeAdapter(list[Any]).validate_python(state["limits"])]
            if [len(part) for part in limits] != [len(task.labels)] * 2:
                raise ValueError("two limits are needed for each target")
            task.limits = torch.tensor(limits)
        return task


@dataclass(frozen=True, eq=False)
class NumberMeasure(Measure):
    """Errors of numbers, in their units; of several targets the mean.

    Rows have ``predicted`` and ``truth`` ``[N, T]``, ``tame [N]``, whether no target of the row is wild, and ``loss
    [N]``.

    Attributes:
        labels: names of the T targets.
    """

    labels: Sequence[str]

    worst_title = Words("The largest errors", "误差最大的样本")
    worst_note = Words("Inputs as the model gets them.", "输入按模型实际接收的样子显示。")

    def make_reducers(self) -> Sequence[Reducer]:
        truth = self.rows["truth"]
        error = self.rows["predicted"] - truth
        sizes, squares = np.abs(error), error**2
        determination = _determination(truth, error)

        def errors(counts: Floats) -> list[float]:
            weights = counts / max(1.0, counts.sum())
            return [(weights @ sizes).mean(), np.sqrt(weights @ squares).mean()]

        return [Reducer(["mae", "rmse"], errors), Reducer(["r2"], lambda counts: [determination(counts)])]

    @cached_property
    def _tame(self) -> NumberMeasure:
        return self.take(np.flatnonzero(self.rows["tame"]))

    def score(self, counts: Floats | None = None) -> float:
        """R² of the rows without a wild target; 0 for fewer than two."""
        if self.rows["tame"].all():
            return super().score(counts)
        return self._tame.score(None if counts is None else counts[self.rows["tame"]])

    def badness(self) -> Floats:
        """The loss."""
        losses: Floats = self.rows["loss"]
        return losses

    def differs(self, other: Self) -> NDArray[np.bool_]:
        different: NDArray[np.bool_] = (self.rows["predicted"] != other.rows["predicted"]).any(axis=1)
        return different

    def sections(self) -> list[Section]:
        shown = np.linspace(0, len(self) - 1, min(_MAX_POINTS, len(self))).astype(int)
        truth, predicted = self.rows["truth"][shown], self.rows["predicted"][shown]
        charts = [
            Chart(
                Words("True", "真实值"),
                Words("Predicted", "预测值"),
                dots=list(zip(truth[:, place].tolist(), predicted[:, place].tolist(), strict=True)),
                diagonal=True,
                caption=Words(name, name),
            )
            for place, name in enumerate(self.labels)
        ]
        note = Words("A perfect model's points lie on the dashed line.", "完美模型的点都落在虚线上。")
        return [Section(Words("Predicted against true", "预测值与真实值"), note, charts)]


def _determination(truth: Floats, error: Floats) -> Callable[[Floats], float]:
    """R² by the counts of the rows of both ``[N, T]``; that of targets that are all the same is 0, or 1 without error.

    It is undefined for fewer than two rows, and for a draw of rows of which a target is the same in all.
    """
    if not len(truth):
        return lambda _counts: math.nan
    varies = truth.min(axis=0) < truth.max(axis=0)
    centered = truth - truth.mean(axis=0)  # else little would be left of the spread of large numbers
    error_squares, squares = error**2, centered**2
    negligible = np.where(varies, _EXACT * squares.mean(axis=0), np.inf)

    def reduce(counts: Floats) -> float:
        if counts.sum() < 2:
            return math.nan
        weights = counts / counts.sum()
        squared = weights @ error_squares
        spread = weights @ squares - (weights @ centered) ** 2
        same = spread <= negligible
        if (same & varies).any():
            return math.nan
        return float(np.where(same, squared == 0, 1 - squared / np.where(same, 1, spread)).mean())

    return reduce


def _scale(numbers: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Mean and deviation of the numbers that are not wild, and the limits beyond which one is."""
    spread = spread_of(numbers)
    distances = spread.distances(numbers)
    limit = wild_distance(distances, spread, total=len(numbers), share=WILD_TARGET_SHARE)
    tame = numbers[distances <= limit]
    return float(tame.mean()), float(tame.std()), spread.center - limit, spread.center + limit


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str)


def _names(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [str(name) for name in value]
    return [str(number) for number in range(1, len(value) + 1)] if _is_sequence(value) else ["value"]
