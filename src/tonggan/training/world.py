"""The processes that train one model together, as ``torchrun`` starts them; a process by itself is a world of one.

Every step they share one batch, and add up what each has of its gradient: what is learned is what one process learns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


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
