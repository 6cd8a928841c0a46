"""The number format of training's arithmetic: what the hardware gains from, and a model run in it.

Weights, gradients and the optimizer stay in float32, and so do outputs and losses.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from tonggan.layers.precision import multiplies_in_bf16

Precision = Literal["fp32", "bf16", "fp16"]


def choose_precision(wanted: Literal["auto", "fp32", "bf16", "fp16"], *, device: torch.device) -> Precision:
    """``wanted``, or for auto bf16 where ``device`` multiplies in it and fp32 elsewhere."""
    if wanted != "auto":
        return wanted
    return "bf16" if multiplies_in_bf16(device) else "fp32"


class Autocast(nn.Module):
    """A model whose matrix products and convolutions run in ``precision``; its output is float32."""

    def __init__(self, model: nn.Module, *, device: torch.device, precision: Precision) -> None:
        super().__init__()
        self.model = model
        self.device_type = device.type
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float16

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        with torch.autocast(self.device_type, dtype=self.dtype):
            outputs: Tensor = self.model(*args, **kwargs)
        return outputs.float()
