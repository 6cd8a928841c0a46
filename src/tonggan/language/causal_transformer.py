"""Llama, Mistral and Qwen2: embeddings, rotary self-attention with grouped keys, SwiGLU, RMSNorm, logits.

It holds weights and knows no tokenizer, no sampling and no loss. Parameters have the names of Hugging Face's
checkpoints, so that these load as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.errors import ConfigError
from tonggan.layers.rotary import rotary_table, turn

MODEL_TYPES = ("llama", "mistral", "qwen2")
"""The ``model_type`` of Hugging Face's configs that are this architecture."""

_SHORT, _BLOCK = 1024, 256  # tokens of rows, and of queries in them, that attention is computed by products for
ROUND = 128
"""Packed tokens are padded to a multiple of it: kernels and memory of sizes seen before are found again."""


class CausalTransformerConfig(Config):
    """The shape of a decoder, in the field names of Hugging Face's ``config.json``."""

    vocab_size: int = Field(ge=1)
    """Rows of the embedding table."""
    hidden_size: int = Field(default=576, ge=1)
    """Width of embeddings and hidden states."""
    intermediate_size: int = Field(default=1536, ge=1)
    """Width inside the feed-forward part."""
    num_hidden_layers: int = Field(default=30, ge=1)
    """Layers."""
    num_attention_heads: int = Field(default=9, ge=1)
    """Query heads."""
    num_key_value_heads: int = Field(default=3, ge=1)
    """Key-value heads; each is shared by the same number of query heads."""
    head_dim: int | None = Field(default=None, ge=2)
    """Width of a head; null for hidden_size / num_attention_heads."""
    max_position_embeddings: int = Field(default=2048, ge=1, le=1 << 24)
    """Maximum length of a sequence, in tokens."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    """Base of the rotary angles."""
    rms_norm_eps: float = Field(default=1e-5, gt=0)
    """Added to the mean square before its root."""
    tie_word_embeddings: bool = True
    """Whether the embedding table also gives the logits."""
    attention_bias: bool = False
    """Whether queries, keys and values have biases, as in Qwen2."""
    sliding_window: int | None = Field(default=None, ge=1)
    """Number of tokens that a token attends to in every layer, itself included, as in Mistral; null for all before it.
    """
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability of residual branches in training."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.head_dim is None and self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of {self.num_attention_heads} heads")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"{self.num_attention_heads} query heads are not a multiple of"
                f" {self.num_key_value_heads} key-value heads"
            )
        if self.head_width % 2:
            raise ValueError(
                f"heads are {self.head_width} wide, and rotary positions rotate pairs: the width must be even"
            )
        return self

    @property
    def head_width(self) -> int:
        """Width of one head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    def build(self) -> CausalTransformer:
        return CausalTransformer(self)

    @classmethod
    def from_hugging_face(cls, data: Mapping[str, Any], *, who: str = "config.json") -> CausalTransformerConfig:
        """The config in the fields of a ``config.json``; what does not bear on this architecture's shape is left out.

        Raises:
            ConfigError: another architecture, rotary positions that are scaled, another activation, or bad sizes.
        """
        _refuse_foreign(data, who)
        kind = data["model_type"]
        fields: dict[str, Any] = {name: data[name] for name in cls.model_fields if name in data}
        fields.pop("dropout", None)
        rope = _rope(data)
        if "rope_theta" in rope:
            fields["rope_theta"] = rope["rope_theta"]
        fields.setdefault("num_key_value_heads", fields.get("num_attention_heads"))
        fields.setdefault("tie_word_embeddings", False)
        fields["attention_bias"] = kind == "qwen2"
        return cls.parse(fields | _window(data), who=who)


def _rope(data: Mapping[str, Any]) -> Mapping[str, Any]:
    # transformers 5 writes rope_parameters, which hold the base too; older ones write rope_theta beside rope_scaling.
    return data.get("rope_parameters") or data.get("rope_scaling") or {}


def _window(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a sliding window sets. Where some layers alone have one, the context ends with it."""
    longest = data.get("max_position_embeddings", math.inf)
    window = data.get("sliding_window") if data["model_type"] == "mistral" or data.get("use_sliding_window") else None
    if window is None or window >= longest:
        return {"sliding_window": None}
    layers = data.get("num_hidden_layers", 0)
    full = 0 if data["model_type"] == "mistral" else data.get("max_window_layers", layers)
    if 0 < full < layers:
        return {"sliding_window": None, "max_position_embeddings": window}
    return {"sliding_window": window if full == 0 else None}


def _refuse_foreign(data: Mapping[str, Any], who: str) -> None:
    kind = data.get("model_type")
    if kind not in MODEL_TYPES:
        raise ConfigError(
            who,
            got=f"model_type {kind!r}",
            expected=f"one of {', '.join(MODEL_TYPES)}",
            remedy="Convert the model to GGUF and use the llamacpp engine: pip install 'tonggan[llamacpp]'",
        )
    scaling = _rope(data).get("rope_type", _rope(data).get("type", "default"))
    for field, value, only in (
        ("rope_scaling", scaling, "default"),
        ("hidden_act", data.get("hidden_act", "silu"), "silu"),
        ("mlp_bias", data.get("mlp_bias", False), False),
        ("attention_bias", kind == "llama" and data.get("attention_bias", False), False),
    ):
        if value != only:
            raise ConfigError(
                who,
                got=f"{field} {value!r}",
                expected=repr(only),
                remedy="Convert the model to GGUF and use the llamacpp engine: pip install 'tonggan[llamacpp]'",
            )


class Attend(Protocol):
    """Where the tokens of a pass meet: it rotates queries and keys by position and returns what each query finds.

    The layers work on tokens in any arrangement ``[..., D]``; only here are rows, padding and cache known.
    """

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, /) -> Tensor:
        """``query [..., H, E]``, ``key`` and ``value [..., K, E]`` of layer number ``layer`` to ``[..., H, E]``."""
        ...


class SelfAttention(nn.Module):
    """Queries, keys and values of a layer, and the projection of what is found."""

    def __init__(self, config: CausalTransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_width = config.head_width
        inner, shared = (
            heads * config.head_width for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        self.q_proj = nn.Linear(config.hidden_size, inner, bias=config.attention_bias)
        self.k_proj = nn.Linear(config.hidden_size, shared, bias=config.attention_bias)
        self.v_proj = nn.Linear(config.hidden_size, shared, bias=config.attention_bias)
        self.o_proj = nn.Linear(inner, config.hidden_size, bias=False)

    def forward(self, values: Tensor, attend: Attend) -> Tensor:
        query, key, value = (
            part(values).unflatten(-1, (-1, self.head_width)) for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        found: Tensor = self.o_proj(attend(self.layer, query, key, value).flatten(-2))
        return found


class GatedMLP(nn.Module):
    """SwiGLU (Shazeer 2020): one projection, let through by the SiLU of another."""

    def __init__(self, config: CausalTransformerConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        projected: Tensor = self.down_proj(F.silu(self.gate_proj(values)) * self.up_proj(values))
        return projected


class RMSNorm(nn.RMSNorm):
    """PyTorch's, in the dtype of its input: mixed dtypes have no fused kernel."""

    def forward(self, values: Tensor) -> Tensor:
        return F.rms_norm(values, self.normalized_shape, self.weight.to(values.dtype), self.eps)


class DecoderLayer(nn.Module):
    """Attention and feed-forward part, each on normalized values and added to what came in."""

    def __init__(self, config: CausalTransformerConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.self_attn = SelfAttention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = GatedMLP(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, values: Tensor, attend: Attend) -> Tensor:
        values = values + self.dropout(self.self_attn(self.input_layernorm(values), attend))
        output: Tensor = values + self.dropout(self.mlp(self.post_attention_layernorm(values)))
        return output


class DecoderBody(nn.Module):
    """Embedding table, layers and the last norm: what checkpoints hold under ``model``."""

    def __init__(self, config: CausalTransformerConfig) -> None:
        super().__init__()
        # The model draws the weights; nn.Embedding would draw them before, in vain.
        empty = torch.empty(config.vocab_size, config.hidden_size)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, _weight=empty)
        self.layers = nn.ModuleList(DecoderLayer(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)


class CausalTransformer(nn.Module):
    """A causal language model: Llama (Touvron et al. 2023), Mistral, Qwen2.

    Attributes:
        config: its shape.
    """

    def __init__(self, config: CausalTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.model = DecoderBody(config)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self._initialize()

    def _initialize(self) -> None:
        """Normal weights that keep the size of what passes through, which GPT-2's 0.02 does at its width alone.

        Those that end a residual branch are smaller, for the sum of the branches grows with depth (GPT-2).
        """
        wide = self.config.hidden_size**-0.5
        narrow = wide / math.sqrt(2 * self.config.num_hidden_layers)
        for name, parameter in self.named_parameters():
            if parameter.is_meta:
                continue  # only its shape is wanted, and PyTorch would import its compiler to draw nothing
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=narrow if name.endswith(("o_proj.weight", "down_proj.weight")) else wide)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings ``[..., D]`` of token ids ``[...]``."""
        embeddings: Tensor = self.model.embed_tokens(ids)
        return embeddings

    def forward(self, values: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Last hidden states ``[B, L, D]`` of embeddings ``[B, L, D]``; zeros where ``mask`` is False.

        Padding takes no part in the matrix products of the layers, so that it costs next to nothing.

        Args:
            values: right-padded.
            mask: bool ``[B, L]``, True where real: one run from the left of each row. Without it all are real.
        """
        shape = values.shape[:2]
        if mask is None or bool(mask.all()):
            return self.run(values, _CausalAttend(self.config, shape, device=values.device))
        places = mask.flatten().nonzero()[:, 0]
        count = len(places)
        # Rounded up by tokens that stand there twice and count once.
        places = torch.cat([places, places[:1].expand(-count % ROUND)])
        packed = values.flatten(0, 1)[places]
        attend = _CausalAttend(self.config, shape, device=values.device, places=places, count=count)
        return _spread(self.run(packed, attend)[:count], places[:count], shape)

    def run(self, values: Tensor, attend: Attend) -> Tensor:
        """Embeddings ``[..., D]`` through all layers and the last norm; ``attend`` says which tokens see which."""
        for layer in self.model.layers:
            values = layer(values, attend)
        hidden: Tensor = self.model.norm(values)
        return hidden

    @property
    def output_weight(self) -> Tensor:
        """``[V, D]``: from last hidden states to logits."""
        return self.model.embed_tokens.weight if self.config.tie_word_embeddings else self.lm_head.weight

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits ``[..., V]`` of last hidden states ``[..., D]``."""
        return F.linear(hidden, self.output_weight)


class _CausalAttend:
    """Each token of a row sees itself and those before it; of right-padded rows, a real token sees only real ones.

    Args:
        config: of the model.
        shape: rows B and length L.
        device: where the pass runs.
        places: int64 ``[N]``, where of the B * L places the tokens are; without them, tokens come as ``[B, L, ...]``.
        count: of the N, how many come from the left before others stand there a second time.
    """

    def __init__(
        self,
        config: CausalTransformerConfig,
        shape: torch.Size,
        *,
        device: torch.device,
        places: Tensor | None = None,
        count: int | None = None,
    ) -> None:
        length = shape[1]
        cosine, sine = rotary_table(length, config.head_width, base=config.rope_theta, device=device)
        # None where the causal rule alone decides, for which there are faster kernels.
        self.window = config.sliding_window if config.sliding_window and config.sliding_window < length else None
        self.visible = None if self.window is None else window_mask(length, length, self.window, device=device)
        if places is not None:
            cosine, sine = cosine[places % length], sine[places % length]
        self.cosine, self.sine = cosine[:, None], sine[:, None]  # [L or N, 1, E/2]
        self.shape = shape
        self.places, self.count = places, count

    def __call__(self, _layer: int, query: Tensor, key: Tensor, value: Tensor, /) -> Tensor:
        query, key = turn(query, self.cosine, self.sine), turn(key, self.cosine, self.sine)
        if self.places is not None:
            once = self.places[: self.count]
            query, key, value = (_spread(part[: self.count], once, self.shape) for part in (query, key, value))
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)  # [B, H or K, L, E]
        if query.requires_grad and query.dtype == torch.bfloat16 and not query.is_cuda and key.shape[2] <= _SHORT:
            found = _attend_by_products(query, key, value, window=self.window)
        else:
            found = F.scaled_dot_product_attention(
                query, key, value, attn_mask=self.visible, is_causal=self.visible is None, enable_gqa=True
            )
        found = found.transpose(1, 2)
        return found if self.places is None else found.flatten(0, 1)[self.places]


def window_mask(length: int, total: int, window: int, *, device: torch.device) -> Tensor:
    """Bool ``[length, total]``: which of ``total`` tokens each of the last ``length`` sees through a window."""
    ages = torch.arange(total - length, total, device=device)[:, None] - torch.arange(total, device=device)
    return (ages >= 0) & (ages < window)


def _attend_by_products(query: Tensor, key: Tensor, value: Tensor, *, window: int | None) -> Tensor:
    """Causal attention as batched matrix products, block by block of queries with the keys that it sees.

    On a CPU in bf16, with the backward pass, it takes 3/4 of the time of PyTorch's fused kernel for rows of 1,024
    tokens, 1/2 for 512, 1/4 for 128, 1/10 for 16.
    """
    batch, heads, length, width = query.shape
    shared = key.shape[1]
    grouped = (query * width**-0.5).reshape(batch * shared, -1, length, width)  # by the key head they share
    key, value = key.reshape(-1, length, width), value.reshape(-1, length, width)
    found = []
    for first in range(0, length, _BLOCK):
        last = min(first + _BLOCK, length)
        start = max(0, first - window + 1) if window else 0
        hidden = query.new_full((last - first, last - start), -math.inf)
        bias = hidden.triu(1 + first - start)
        if window:
            bias += hidden.tril(first - start - window)
        block = grouped[:, :, first:last].flatten(1, 2)
        scores = torch.baddbmm(bias.repeat(heads // shared, 1), block, key[:, start:last].transpose(1, 2))
        seen = torch.bmm(scores.softmax(dim=-1), value[:, start:last])
        found.append(seen.view(batch * shared, -1, last - first, width))
    return torch.cat(found, dim=2).view(batch, heads, length, width)


def _spread(packed: Tensor, places: Tensor, shape: torch.Size) -> Tensor:
    """``packed [N, ...]`` at ``places`` of ``[B, L, ...]``, zeros elsewhere."""
    spread = packed.new_zeros(shape.numel(), *packed.shape[1:]).index_copy(0, places, packed)
    return spread.view(*shape, *packed.shape[1:])
