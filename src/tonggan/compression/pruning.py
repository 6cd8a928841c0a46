"""Structured pruning: the channels, hidden units and heads that matter least are taken out of a network.

What matters is told by the gradient (Molchanov et al. 2019): how much the loss would change without a unit, to first
order, over some batches of the training part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tonggan.compression.channels import ChannelGraph, Use
from tonggan.errors import ConfigError
from tonggan.layers.attention import Attention
from tonggan.models import FusedModel
from tonggan.models.state import learned_state
from tonggan.tokens import Batch

# Kernels compute so many channels at once: of that many and more, a multiple is kept.
_AT_ONCE = 8


def prune(
    model: FusedModel,
    graph: ChannelGraph,
    batches: Iterable[Batch],
    *,
    share: float,
    losses: Callable[[Batch], Mapping[str, Tensor]],
) -> int:
    """Take ``share`` of each layer's channels, hidden units and heads out of ``model``, in place.

    Args:
        model: trained.
        graph: what of it depends on what.
        batches: some of the training part.
        share: above 0 and below 1.
        losses: of a batch by the model, as an Objective gives them.

    Returns:
        How many units were taken out.

    Raises:
        ConfigError: there is nothing that can be taken out.
    """
    was_training = model.training
    model.eval()
    uses, groups = graph.resolved(), graph.groups()
    scores = _importance(model, uses, batches, losses=losses) if groups else {}
    gone: set[int] = set()
    for units in groups:
        number = _kept(len(units), share)
        ranked = sorted(units, key=lambda unit: scores.get(unit, 0.0), reverse=True)
        gone.update(ranked[number:])
    if not gone:
        raise ConfigError(
            "compress --prune",
            got="no layer to make narrower in " + ", ".join(type(each).__name__ for each in model.encoders),
            expected="convolutions, or a transformer, whose outputs no norm joins",
            remedy="Use --quantize int8, or --distill STUDENT",
        )
    _take_out(model, uses, gone)
    model.train(was_training)
    return len(gone)


def _kept(count: int, share: float) -> int:
    number = count * (1 - share)
    if count >= 2 * _AT_ONCE:
        return min(count, max(_AT_ONCE, _AT_ONCE * round(number / _AT_ONCE)))
    return min(count, max(1, round(number)))


def _importance(
    model: FusedModel,
    uses: Sequence[Use],
    batches: Iterable[Batch],
    *,
    losses: Callable[[Batch], Mapping[str, Tensor]],
) -> dict[int, float]:
    """By unit, the mean square of the change of the loss without it; of norms where a unit has one, else of weights."""
    parameters = dict(model.named_parameters())
    normed = {unit for use in uses if use.is_norm for unit in use.units.tolist()}
    scores: dict[int, float] = {}
    for batch in batches:
        model.zero_grad(set_to_none=True)
        with torch.enable_grad():
            torch.autograd.backward(list(losses(batch).values()))
        changes: dict[int, float] = {}
        for use in uses:
            parameter = parameters[use.name]
            if parameter.grad is None or not (use.makes or use.is_norm):
                continue
            others = tuple(axis for axis in range(parameter.dim()) if axis != use.axis)
            product = parameter.detach() * parameter.grad
            change: NDArray[np.float32] = (product.sum(dim=others) if others else product).cpu().numpy()
            for unit, each in zip(use.units.tolist(), change.tolist(), strict=True):
                if use.is_norm or unit not in normed:
                    changes[unit] = changes.get(unit, 0.0) + each
        for unit, change_of in changes.items():
            scores[unit] = scores.get(unit, 0.0) + change_of**2
    model.zero_grad(set_to_none=True)
    return scores


def _take_out(model: nn.Module, uses: Sequence[Use], gone: set[int]) -> None:
    kept_places: dict[str, dict[int, NDArray[np.int64]]] = {}
    for use in uses:
        places = np.flatnonzero([unit not in gone for unit in use.units.tolist()])
        if len(places) < len(use.units):
            kept_places.setdefault(use.name, {})[use.axis] = places
    parameters = dict(model.named_parameters())
    state = {}
    for name, axes in kept_places.items():
        tensor = parameters[name].detach()
        for axis, places in axes.items():
            tensor = tensor.index_select(axis, torch.from_numpy(places).to(tensor.device))
        state[name] = tensor
        module_name, _, own = name.rpartition(".")
        module = model.get_submodule(module_name)
        if own == "weight" and isinstance(module, nn.modules.batchnorm._BatchNorm):
            places_of = torch.from_numpy(axes[0]).to(tensor.device)
            for buffer in ("running_mean", "running_var"):
                state[f"{module_name}.{buffer}"] = getattr(module, buffer).index_select(0, places_of)
    _resize(model, {name: tensor.shape for name, tensor in state.items()})
    with torch.no_grad():
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        for name, tensor in state.items():
            tensors[name].copy_(tensor)


def shrink(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give ``model`` the sizes that a pruned one of its config was stored with, in place; its weights are not set.

    Raises:
        ValueError: a size is none that pruning could leave.
    """
    shapes = {}
    for name, tensor in learned_state(model).items():
        stored = state[name].shape if name in state else tensor.shape
        if stored != tensor.shape:
            pairs = zip(stored, tensor.shape, strict=len(stored) == tensor.dim())
            if len(stored) != tensor.dim() or any(not 0 < new <= old for new, old in pairs):
                raise ValueError(f"{name} is {tuple(stored)}, which is no part of {tuple(tensor.shape)}")
            shapes[name] = stored
    _resize(model, shapes)


def _resize(model: nn.Module, shapes: Mapping[str, torch.Size]) -> None:
    """New parameters and buffers of these shapes, and what modules say of their own sizes set right."""
    changed = {}
    for name, shape in shapes.items():
        module_name, _, own = name.rpartition(".")
        module = changed[module_name] = model.get_submodule(module_name)
        old = getattr(module, own)
        new = torch.zeros(shape, dtype=old.dtype, device=old.device)
        setattr(module, own, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)
    heads = {
        name: attention.in_projection.out_features // (3 * attention.num_heads)
        for name, attention in model.named_modules()
        if isinstance(attention, Attention)
    }
    for module in changed.values():
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, nn.modules.conv._ConvNd):
            module.out_channels = module.weight.shape[0]
            if module.groups > 1:
                module.groups = module.out_channels
            module.in_channels = module.weight.shape[1] * module.groups
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.num_features = len(module.weight)
    for name, width in heads.items():
        attention = model.get_submodule(name)
        assert isinstance(attention, Attention)
        attention.num_heads = attention.in_projection.out_features // (3 * width)
