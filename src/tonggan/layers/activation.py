"""Activations by name, for configs. All map zero to zero, so what a mask has zeroed stays zero."""

from __future__ import annotations

from typing import Literal

from torch import nn

Activation = Literal["relu", "gelu", "silu"]

_KINDS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


def build_activation(name: Activation) -> nn.Module:
    """A new module of that activation."""
    return _KINDS[name]()
