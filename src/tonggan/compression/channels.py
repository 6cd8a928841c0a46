"""Which channels, hidden units and attention heads of a network can be taken out, and what goes with each.

The network is run once, and every function that it calls is seen with its tensors. Each place of an axis that a
convolution or a linear layer makes is a unit; what adds tensors up, as a residual connection does, joins their units;
what is not known here keeps the units that reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tonggan.evaluation.predict import evaluating
from tonggan.models import FusedModel
from tonggan.tokens import Batch, Prediction

_Units = NDArray[np.int64]


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
    units: _Units
    makes: bool = False
    is_norm: bool = False


class _Union:
    """Sets of numbers that are joined."""

    def __init__(self) -> None:
        self.parents: list[int] = []

    def new(self, count: int) -> _Units:
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
        self._axes: dict[int, dict[int, _Units]] = {}
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
        for tensor in _tensors(tensors):
            for units in self._axes.get(id(tensor), {}).values():
                self.hold(units)

    def hold(self, units: _Units) -> None:
        """None of ``units`` is to be taken out."""
        self._kept.update(units.tolist())

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        result = func(*args, **given)
        rule = _RULES.get(func)
        if rule is None or not rule(self, result, args, given):
            name = getattr(func, "__name__", "")
            if name not in _SILENT:
                self.keep([*args, *given.values()])
        return result

    def axes(self, tensor: Any) -> dict[int, _Units]:
        """The units of each axis of ``tensor`` that has some."""
        return self._axes.get(id(tensor), {}) if isinstance(tensor, Tensor) else {}

    def give(self, tensor: Tensor, axes: Mapping[int, _Units]) -> bool:
        """``tensor`` has these units; False where an axis has another length."""
        if any(tensor.shape[axis] != len(units) for axis, units in axes.items()):
            return False
        self._held.append(tensor)
        self._axes[id(tensor)] = dict(axes)
        return True

    def read(self, parameter: Any, axis: int, units: _Units, *, makes: bool = False, is_norm: bool = False) -> bool:
        """``parameter`` has ``units`` along ``axis``; one that does not learn keeps them."""
        if parameter is None:
            return True
        if id(parameter) not in self.learns:
            self.hold(units)
            return id(parameter) in self.names
        self.uses.append(Use(self.names[id(parameter)], axis, units, makes, is_norm))
        return True

    def new(self, count: int) -> _Units:
        """So many new units."""
        return self._union.new(count)

    def join(self, one: _Units, other: _Units) -> _Units:
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


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


_Rule = Callable[[ChannelGraph, Any, Sequence[Any], Mapping[str, Any]], bool]
# Ask for something about a tensor, and compute nothing of its units.
_SILENT = {"__get__", "size", "dim", "numel", "all", "any", "is_floating_point", "stride", "__len__", "masked_fill_"}

_FLATTENED = ((1, "start_dim", 0), (2, "end_dim", -1))


def _argument(args: Sequence[Any], given: Mapping[str, Any], place: int, name: str, default: Any = None) -> Any:
    return args[place] if len(args) > place else given.get(name, default)


def _convolution(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    values, weight = args[0], args[1]
    bias, groups = _argument(args, given, 2, "bias"), _argument(args, given, 6, "groups", 1)
    units = graph.axes(values).get(1)
    if id(weight) not in graph.names:
        return False
    if groups == 1:
        if units is not None:
            graph.read(weight, 1, units)
        made = graph.new(weight.shape[0])
        graph.read(weight, 0, made, makes=True)
    elif groups == weight.shape[0] == values.shape[1] and units is not None:
        made = units  # each channel by itself
        graph.read(weight, 0, made)
    else:
        return False
    graph.read(bias, 0, made)
    return graph.give(result, {1: made})


def _linear(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    values, weight, bias = args[0], args[1], _argument(args, given, 2, "bias")
    if id(weight) not in graph.names:
        return False
    units = graph.axes(values).get(values.dim() - 1)
    if units is not None:
        graph.read(weight, 1, units)
    made = graph.new(weight.shape[0])
    graph.read(weight, 0, made, makes=True)
    graph.read(bias, 0, made)
    return graph.give(result, {result.dim() - 1: made})


def _batch_norm(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    units = graph.axes(args[0]).get(1)
    if units is None:
        return True
    for place, name in ((3, "weight"), (4, "bias")):
        if not graph.read(_argument(args, given, place, name), 0, units, is_norm=True):
            return False
    return graph.give(result, {1: units})


def _same(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    """What is computed of each place by itself."""
    del given
    axes = graph.axes(args[0])
    others = [other for other in _tensors(args[1:]) if graph.axes(other)]
    if result.dim() != args[0].dim() or others:
        return False
    return graph.give(result, axes)


def _both(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    """Two tensors, or a tensor and a number, place by place."""
    del given
    axes: dict[int, _Units] = {}
    sides = [side for side in args[:2] if isinstance(side, Tensor)]
    for axis in range(result.dim()):
        for side in sides:
            own = axis - result.dim() + side.dim()
            if own < 0 or side.shape[own] == 1 != result.shape[axis]:
                continue
            units = graph.axes(side).get(own)
            if units is not None:
                axes[axis] = graph.join(axes[axis], units) if axis in axes else units
    for axis, units in axes.items():
        place = axis - result.dim()
        meets = [side for side in sides if side.dim() >= -place and side.shape[place] > 1]
        if any(side.dim() + place not in graph.axes(side) for side in meets):
            graph.hold(units)  # what meets them there has no units to go with them
    return graph.give(result, axes)


def _transpose(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    values = args[0]
    one, other = (_argument(args, given, place, name) % values.dim() for place, name in ((1, "dim0"), (2, "dim1")))
    moved = {one: other, other: one}
    return graph.give(result, {moved.get(axis, axis): units for axis, units in graph.axes(values).items()})


def _flatten(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    values = args[0]
    start, end = (_argument(args, given, place, name, default) % values.dim() for place, name, default in _FLATTENED)
    axes: dict[int, _Units] = {}
    for axis, units in graph.axes(values).items():
        if axis < start:
            axes[axis] = units
        elif axis > end:
            axes[axis - end + start] = units
        else:
            shape = [len(units) if place == axis else 1 for place in range(start, end + 1)]
            if start in axes:
                return False
            axes[start] = np.broadcast_to(units.reshape(shape), values.shape[start : end + 1]).reshape(-1).copy()
    return graph.give(result, axes)


def _unflatten(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    """The units of each head are one."""
    del given
    values, axis = args[0], args[1] % args[0].dim()
    more = result.dim() - values.dim()
    axes = {other + more * (other > axis): units for other, units in graph.axes(values).items()}
    if axis in axes:
        parts = axes[axis].reshape(result.shape[axis], -1)
        for column in range(1, parts.shape[1]):
            graph.join(parts[:, 0], parts[:, column])
        axes[axis] = parts[:, 0].copy()
    return graph.give(result, axes)


def _unsqueeze(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    place = _argument(args, given, 1, "dim") % result.dim()
    return graph.give(result, {axis + (axis >= place): units for axis, units in graph.axes(args[0]).items()})


def _reduce(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    values, reduced = args[0], _argument(args, given, 1, "dim")
    if reduced is None:
        return False
    gone = {axis % values.dim() for axis in (reduced if isinstance(reduced, list | tuple) else [reduced])}
    if gone & set(graph.axes(values)):
        return False
    if result.dim() == values.dim():
        return graph.give(result, graph.axes(values))
    return graph.give(
        result, {axis - sum(each < axis for each in gone): units for axis, units in graph.axes(values).items()}
    )


def _index_add(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    return args[1] not in graph.axes(args[0]) and _both(graph, result, (args[0], args[3]), given)


def _chunk(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    axis = _argument(args, given, 2, "dim", 0) % args[0].dim()
    start = 0
    for part in result:
        axes = dict(graph.axes(args[0]))
        if axis in axes:
            axes[axis] = axes[axis][start : start + part.shape[axis]]
        start += part.shape[axis]
        if not graph.give(part, axes):
            return False
    return True


def _cat(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    parts, axis = args[0], _argument(args, given, 1, "dim", 0) % result.dim()
    found = [graph.axes(part) for part in parts]
    axes: dict[int, _Units] = {}
    for place in {place for each in found for place in each}:
        if any(place not in each for each in found):
            return False
        units = [each[place] for each in found]
        axes[place] = np.concatenate(units) if place == axis else reduce(graph.join, units)
    return graph.give(result, axes)


def _slices(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    """Slices that leave the number of axes as it is."""
    del given
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    if not all(isinstance(each, slice) for each in index):
        return False
    wanted = dict(enumerate(index))
    axes = {axis: units[wanted.get(axis, slice(None))] for axis, units in graph.axes(args[0]).items()}
    return graph.give(result, axes)


def _attention(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    """Heads of queries, keys and values ``[B, H, L, E]`` go together."""
    del given
    units = [graph.axes(part) for part in args[:3]]
    if any(set(each) != {1} for each in units):
        return False
    return graph.give(result, {1: reduce(graph.join, [each[1] for each in units])})


def _known(rule: _Rule, *functions: Any) -> dict[Any, _Rule]:
    return dict.fromkeys(functions, rule)


_RULES: dict[Any, _Rule] = {
    **_known(_convolution, torch.conv1d, torch.conv2d, torch.conv3d, F.conv1d, F.conv2d, F.conv3d),
    **_known(_linear, F.linear),
    **_known(_batch_norm, F.batch_norm),
    **_known(
        _same, F.relu, F.gelu, F.silu, F.dropout, torch.relu, torch.sigmoid, torch.tanh, F.max_pool2d, F.avg_pool2d,
        F.max_pool1d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, Tensor.contiguous, Tensor.float, Tensor.to,
        Tensor.type, Tensor.masked_fill, torch.max_pool2d, Tensor.relu, Tensor.sigmoid, Tensor.tanh, F.sigmoid, F.tanh,
        Tensor.index_select,
    ),
    **_known(
        _both, torch.add, torch.mul, torch.sub, Tensor.add, Tensor.mul, Tensor.sub, Tensor.__add__, Tensor.__mul__,
        Tensor.__sub__, Tensor.__radd__, Tensor.__rmul__, Tensor.div, Tensor.__truediv__, torch.div,
    ),
    **_known(_transpose, torch.transpose, Tensor.transpose), **_known(_flatten, torch.flatten, Tensor.flatten),
    **_known(_unflatten, torch.unflatten, Tensor.unflatten), **_known(_index_add, Tensor.index_add),
    **_known(_unsqueeze, torch.unsqueeze, Tensor.unsqueeze),
    **_known(_reduce, torch.mean, Tensor.mean, torch.sum, Tensor.sum, Tensor.amax, torch.amax),
    **_known(_chunk, torch.chunk, Tensor.chunk), **_known(_cat, torch.cat), **_known(_slices, Tensor.__getitem__),
    **_known(_attention, F.scaled_dot_product_attention),
}  # fmt: skip
