"""The number format of training's arithmetic; weights, gradients, optimizer and losses stay in float32."""

from __future__ import annotations

from typing import Literal

import torch

from tonggan.layers.precision import multiplies_in_bf16

Precision = Literal["fp32", "bf16", "fp16"]


def choose_precision(wanted: Literal["auto", "fp32", "bf16", "fp16"], *, device: torch.device) -> Precision:
    """``wanted``, or for auto bf16 where ``device`` multiplies in it and fp32 elsewhere."""
    if wanted != "auto":
        return wanted
    return "bf16" if multiplies_in_bf16(device) else "fp32"
