"""What number formats a device multiplies in. Which one a computation uses is decided by who runs it."""

from __future__ import annotations

from typing import Any

import torch


def multiplies_in_bf16(device: torch.device) -> bool:
    """Whether ``device`` has instructions for it; a CPU without emulates bf16 at a small fraction of its fp32 speed."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    return False


def in_float32(device: torch.device) -> Any:
    """Inside, nothing is computed in half precision: for losses of outputs that were."""
    return torch.autocast(device.type, enabled=False)
