"""The processes that train one model together, as ``torchrun`` starts them; a process by itself is a world of one.

Every step they share one batch, and add up what each has of its gradient: what is learned is what one process learns.
Each keeps all weights, or its share of them alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tonggan.errors import ConfigError
from tonggan.layers.transformer import Transformer
from tonggan.tokens import Batch


@dataclass(frozen=True)
class World:
    """One process among the others.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
        device: where it computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def agreed(self, value: float) -> float:
        """The main process's ``value`` in all: they must take the same turns whatever their clocks say."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return float(shared.item())

    def any(self, value: bool) -> bool:
        """Whether ``value`` is True in one of them."""
        return self.total(float(value)) > 0

    def total(self, value: float) -> float:
        """The sum of each one's ``value``."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(shared)
        return float(shared.item())

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each of ``tensors`` by its sum over all processes."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def share(self, batch: Batch) -> Batch:
        """The rows of ``batch`` that fall to this process."""
        return batch if self.size == 1 else batch.take(torch.arange(self.rank, len(batch), self.size))

    def gather(self, value: Any) -> list[Any]:
        """Each one's ``value``, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Go on when all are here."""
        if self.size > 1:
            dist.barrier()


def is_main_process() -> bool:
    """Whether the environment names this process the first, or none."""
    return os.environ.get("RANK", "0") == "0"


def refuse_processes(who: str) -> None:
    """For what one process does alone.

    Raises:
        ConfigError: ``torchrun`` has started several.
    """
    count = os.environ.get("WORLD_SIZE", "1")
    if count != "1":
        raise ConfigError(
            who,
            got=f"{count} processes that torchrun has started",
            expected="one process",
            remedy="Start it without torchrun, which is for what trains",
        )


@contextmanager
def world() -> Iterator[World]:
    """The processes that the environment names; they are connected while inside, unless they were before."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    is_ours = size > 1 and not dist.is_initialized()
    if is_ours:
        # The others wait while the main process audits.
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=1))
    try:
        yield World(rank, size, device)
    finally:
        if is_ours:
            dist.destroy_process_group()


def gathered(values: Tensor) -> Tensor:
    """``values`` ``[B, ...]`` of all processes, by rank, one below the other; of a process by itself as they are.

    Every process must ask, with values of one shape but for B. On the way back each gets the sum of what all found for
    its own, so that a loss over all rows has the gradient that one process would find.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return values
    if values.dtype == torch.bool:  # which not every backend sends
        return gathered(values.byte()).bool()
    made: Tensor = _Gathered.apply(values)  # type: ignore[no-untyped-call]
    return made


def places_of_own(values: Tensor) -> Tensor:
    """Where in ``gathered(values)`` the rows of this process stand; every process must ask."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    return (gathered(torch.full((len(values),), rank, device=values.device)) == rank).nonzero().squeeze(1)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        own = torch.tensor([len(values)], device=values.device)
        counts = [torch.zeros_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(counts, own)
        numbers = [int(count) for count in counts]
        context.start, context.count = sum(numbers[: dist.get_rank()]), len(values)
        padded = values.new_zeros(max(numbers), *values.shape[1:])
        padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in numbers]
        dist.all_gather(parts, padded)
        return torch.cat([part[:number] for part, number in zip(parts, numbers, strict=True)])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total[context.start : context.start + context.count]


def shard(module: nn.Module, *, methods: Sequence[str]) -> None:
    """Leave of each parameter that learns one share in each process, in place (FSDP2, after Rajbhandari et al. 2020).

    What a transformer's block, or the rest of ``module``, needs is put together while it computes; gradients and the
    memory of optimizers are shares as well. A frozen parameter stays whole.

    Args:
        module: whose parameters have one dimension at least.
        methods: of ``module``, which are called as ``forward`` would be.
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    frozen = {parameter for parameter in module.parameters() if not parameter.requires_grad}
    blocks = [block for part in module.modules() if isinstance(part, Transformer) for block in part.blocks]
    for part in (*(block for block in blocks if any(one.requires_grad for one in block.parameters())), module):
        fully_shard(part, reshard_after_forward=True, ignored_params=frozen)
        assert isinstance(part, FSDPModule), "fully_shard makes a module one"
        # Losses are means over all rows of a batch already, of which each process has its own part.
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)
        part.set_reduce_scatter_unused_params(True)
    for method in methods:
        register_fsdp_forward_method(module, method)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` with the shares of all processes put together; all of them must ask."""
    if not dist.is_initialized():
        return dict(tensors)
    from torch.distributed.tensor import DTensor

    return {name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor for name, tensor in tensors.items()}


def shared_as(tensor: Tensor, other: Tensor) -> Tensor:
    """Of ``tensor``, the same in all processes, each one's share as it has of ``other``; a scalar is whole in all."""
    if not dist.is_initialized():
        return tensor
    from torch.distributed.tensor import DTensor, Replicate, distribute_tensor

    if not isinstance(other, DTensor):
        return tensor
    placements = other.placements if tensor.dim() else [Replicate()] * other.device_mesh.ndim
    return distribute_tensor(tensor.to(other.device), other.device_mesh, placements)
