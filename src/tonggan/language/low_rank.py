"""Low-rank adapters on the linear maps of a Llama (LoRA, Hu et al. 2021): put on by peft, merged into plain weights.

It trains nothing and stores nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tonggan.errors import MissingExtraError
from tonggan.language.llama import Llama

_ADAPTED = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def add_adapters(model: Llama, *, rank: int, dropout: float = 0.0) -> None:
    """Give every linear map of the layers an adapter in float32, in place; it counts by twice its rank.

    Args:
        model: whose own weights are frozen already.
        rank: of the adapters.
        dropout: chance that a number of an adapter's input is dropped in training.

    Raises:
        MissingExtraError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtraError.of("peft", extra="language", purpose="training low-rank adapters") from error
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=dropout, target_modules=_ADAPTED)
    inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    adapted: Any
    for adapted in model.modules():
        if hasattr(adapted, "cast_input_dtype_enabled"):
            adapted.cast_input_dtype_enabled = False  # Autocast makes inputs bf16 again: two copies for nothing.


@torch.no_grad()
def merge_adapters(model: Llama) -> Llama:
    """A new model without adapters that computes the same, in float32 on the CPU."""
    state: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        weight, is_adapted = getattr(module, "weight", None), hasattr(module, "get_delta_weight")
        if is_adapted:
            weight = module.base_layer.weight.float() + module.get_delta_weight("default")
        if weight is not None and ("base_layer" not in name and "lora_" not in name):
            state[f"{name}.weight"] = weight
        bias = getattr(module.base_layer if is_adapted else module, "bias", None)
        if bias is not None and "base_layer" not in name:
            state[f"{name}.bias"] = bias
    with torch.device("meta"):
        merged = model.config.build()
    copies = {name: weight.detach().to("cpu", torch.float32, copy=True) for name, weight in state.items()}
    merged.load_state_dict(copies, assign=True)
    return merged.eval()
