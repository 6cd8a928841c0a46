"""The number format of training's arithmetic: what the hardware gains from, and a model run in it.

Weights, gradients and the optimizer stay in float32, and so do outputs and losses.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["fp32", "bf16", "fp16"]


def choose_precision(wanted: Literal["auto", "fp32", "bf16", "fp16"], *, device: torch.device) -> Precision:
    """``wanted``, or for auto bf16 where ``device`` multiplies in it and fp32 elsewhere.

    A CPU without bf16 instructions emulates them at a small fraction of its speed in fp32.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return "bf16" if able.get("amx_bf16") or able.get("avx512_bf16") else "fp32"
    return "fp32"


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
