"""Which channels, hidden units and attention heads of a network can be taken out, and what goes with each.

The network is run once, and every function that it calls is seen with its tensors. Each place of an axis that a
convolution or a linear layer makes is a unit; what adds tensors up, as a residual connection does, joins their units;
what is not known here keeps the units that reach it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tonggan.compression.channel_rules import RULES, SILENT, Units, tensors_of
from tonggan.evaluation.predict import evaluating
from tonggan.models import FusedModel
from tonggan.tokens import Batch, Prediction


@dataclass(frozen=True)
class Use:
    """An axis of a parameter whose places are units.

    Attributes:
        name: of the parameter.
        axis: of it.
        units: int64, one for each place.
        makes: whether the units come from here, as the outputs of a layer do.
        is_norm: whether the parameter scales or shifts each unit by itself.
    """

    name: str
    axis: int
    units: Units
    makes: bool = False
    is_norm: bool = False


class _Union:
    """Sets of numbers that are joined."""

    def __init__(self) -> None:
        self.parents: list[int] = []

    def new(self, count: int) -> Units:
        first = len(self.parents)
        self.parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def find(self, number: int) -> int:
        while self.parents[number] != number:
            self.parents[number] = self.parents[self.parents[number]]
            number = self.parents[number]
        return number

    def join(self, one: int, other: int) -> None:
        first, second = self.find(one), self.find(other)
        self.parents[max(first, second)] = min(first, second)


class ChannelGraph(TorchFunctionMode):
    """Sees the functions that ``model`` calls while it is entered, in evaluation mode and without gradients.

    Attributes:
        uses: of every parameter that has units.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.names = {id(parameter): name for name, parameter in model.named_parameters()}
        self.learns = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        self.uses: list[Use] = []
        self._union = _Union()
        self._kept: set[int] = set()
        self._axes: dict[int, dict[int, Units]] = {}
        self._held: list[Tensor] = []  # a tensor that is freed would hand its id on

    def groups(self) -> list[list[int]]:
        """The units that can be taken out, by their first number: those of one layer, or of layers that depend on
        one another, together.
        """
        fixed = {self._union.find(unit) for unit in self._kept}
        layers = _Union()
        layer_of: dict[int, int] = {}
        for use in self.uses:
            if use.makes:
                (layer,) = layers.new(1).tolist()
                for unit in map(self._union.find, use.units.tolist()):
                    layers.join(layer_of.setdefault(unit, layer), layer)
        found: dict[int, list[int]] = {}
        for unit, layer in layer_of.items():
            if unit not in fixed:
                found.setdefault(layers.find(layer), []).append(unit)
        return [sorted(units) for units in found.values()]

    def resolved(self) -> list[Use]:
        """``uses`` with each unit by the first number of those that are one with it."""
        return [replace(use, units=np.array([*map(self._union.find, use.units.tolist())])) for use in self.uses]

    def keep(self, tensors: Iterable[Any]) -> None:
        """No unit of ``tensors`` is to be taken out."""
        for tensor in tensors_of(tensors):
            for units in self._axes.get(id(tensor), {}).values():
                self.hold(units)

    def hold(self, units: Units) -> None:
        """None of ``units`` is to be taken out."""
        self._kept.update(units.tolist())

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        result = func(*args, **given)
        rule = RULES.get(func)
        if rule is None or not rule(self, result, args, given):
            name = getattr(func, "__name__", "")
            if name not in SILENT:
                self.keep([*args, *given.values()])
        return result

    # What the rules use.

    def axes(self, tensor: Any) -> dict[int, Units]:
        """The units of each axis of ``tensor`` that has some."""
        return self._axes.get(id(tensor), {}) if isinstance(tensor, Tensor) else {}

    def give(self, tensor: Tensor, axes: Mapping[int, Units]) -> bool:
        """``tensor`` has these units; False where an axis has another length."""
        if any(tensor.shape[axis] != len(units) for axis, units in axes.items()):
            return False
        self._held.append(tensor)
        self._axes[id(tensor)] = dict(axes)
        return True

    def read(self, parameter: Any, axis: int, units: Units, *, makes: bool = False, is_norm: bool = False) -> bool:
        """``parameter`` has ``units`` along ``axis``; one that does not learn keeps them."""
        if parameter is None:
            return True
        if id(parameter) not in self.learns:
            self.hold(units)
            return id(parameter) in self.names
        self.uses.append(Use(self.names[id(parameter)], axis, units, makes, is_norm))
        return True

    def new(self, count: int) -> Units:
        """So many new units."""
        return self._union.new(count)

    def join(self, one: Units, other: Units) -> Units:
        """Units of two tensors that meet, place by place."""
        for first, second in zip(one.tolist(), other.tolist(), strict=True):
            self._union.join(first, second)
        return one


def channels_of(model: FusedModel, batch: Batch) -> ChannelGraph:
    """What of ``model`` depends on what, seen in a pass over the rows of ``batch`` that have all inputs."""
    graph = ChannelGraph(model)
    whole = torch.stack([batch.inputs[name].expand().present for name in model.names]).all(dim=0)
    rows = whole.nonzero().squeeze(1) if whole.any() else torch.arange(len(batch))
    with evaluating(model), graph:
        prediction: Prediction = model(batch.take(rows).inputs)
    graph.keep(prediction.outputs.values())
    return graph
