"""What each function does to the channels, hidden units and attention heads of the tensors that it is given.

A rule has the graph, the result of the function and its arguments; it gives the result its units, and says False where
it cannot tell, which keeps the units of all arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from tonggan.compression.channels import ChannelGraph

Units = NDArray[np.int64]
_Rule = Callable[["ChannelGraph", Any, Sequence[Any], Mapping[str, Any]], bool]
# Ask for something about a tensor, and compute nothing of its units.
SILENT = {"__get__", "size", "dim", "numel", "all", "any", "is_floating_point", "stride", "__len__", "masked_fill_"}
_FLATTENED = ((1, "start_dim", 0), (2, "end_dim", -1))


def tensors_of(values: Iterable[Any]) -> Iterable[Tensor]:
    """The tensors among ``values``, and in lists of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_of(value)


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
    others = [other for other in tensors_of(args[1:]) if graph.axes(other)]
    if result.dim() != args[0].dim() or others:
        return False
    return graph.give(result, axes)


def _both(graph: ChannelGraph, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    """Two tensors, or a tensor and a number, place by place."""
    del given
    axes: dict[int, Units] = {}
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
    axes: dict[int, Units] = {}
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
    """As two tensors that are added, of which one has some of the other's places along an axis without units."""
    values, axis, _, added = args
    return axis not in graph.axes(values) and _both(graph, result, (values, added), given)


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
    axes: dict[int, Units] = {}
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


RULES: dict[Any, _Rule] = {
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
