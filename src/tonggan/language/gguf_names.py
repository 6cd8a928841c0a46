"""What GGUF and Hugging Face's layout call the same weight, and in which order each keeps its rows."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from tonggan.language.causal_transformer import CausalTransformerConfig

_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TO_GGUF = {name: gguf_name for gguf_name, name in (_OUTER | _INNER).items()}


def to_hugging_face(gguf_name: str) -> str | None:
    """``blk.0.attn_q.weight`` to ``model.layers.0.self_attn.q_proj.weight``; None for an unknown name."""
    if gguf_name in _OUTER:
        return _OUTER[gguf_name]
    found = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", gguf_name)
    if found is None or found[2] not in _INNER:
        return None
    return f"model.layers.{found[1]}.{_INNER[found[2]]}.{found[3]}"


def to_gguf(name: str) -> str:
    """The inverse of ``to_hugging_face``."""
    found = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
    return _TO_GGUF[name] if found is None else f"blk.{found[1]}.{_TO_GGUF[found[2]]}.{found[3]}"


def row_order(name: str, config: CausalTransformerConfig, *, exporting: bool = False) -> NDArray[np.int64] | None:
    """Which row of a ``llama`` GGUF's weight each row of Hugging Face's is, or with ``exporting`` the other way round.

    Rotary positions turn number i of a head together with number i + E/2 in Hugging Face's layout, and with its
    neighbor in a GGUF of architecture ``llama``; so the rows that make queries and keys are shuffled within each head.
    None where they are not.
    """
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = next((heads[part] for part in name.split(".") if part in heads), None)
    if count is None:
        return None
    split = (count, 2, config.head_width // 2) if exporting else (count, config.head_width // 2, 2)
    return np.arange(count * config.head_width).reshape(split).swapaxes(1, 2).ravel()
