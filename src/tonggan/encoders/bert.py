"""The BERT architecture (Devlin et al. 2019): embeddings and post-norm transformer layers that see both ways.

``Int8Bert`` computes the same with matrices of 8-bit integers, by CTranslate2 on the CPU; it cannot be trained.

It holds weights and knows no tokenizer, no pooling and no loss. Parameters have the names of Hugging Face's
checkpoints, so that these load as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.errors import ConfigError, MissingExtraError
from tonggan.tokens import Arrays, Tokens

_INITIAL_DEVIATION = 0.02


class BertConfig(Config):
    """The shape of an encoder, in the field names of Hugging Face's ``config.json``; the defaults are MiniLM-L6."""

    vocab_size: int = Field(default=30_522, ge=1)
    """Rows of the embedding table."""
    hidden_size: int = Field(default=384, ge=1)
    """Width of embeddings and hidden states."""
    intermediate_size: int = Field(default=1536, ge=1)
    """Width inside the feed-forward part."""
    num_hidden_layers: int = Field(default=6, ge=0)
    """Layers."""
    num_attention_heads: int = Field(default=12, ge=1)
    """Heads of attention."""
    max_position_embeddings: int = Field(default=512, ge=1)
    """Tokens a sequence can hold."""
    type_vocab_size: int = Field(default=2, ge=1)
    """Rows of the table of segments; all tokens are of the first."""
    layer_norm_eps: float = Field(default=1e-12, gt=0)
    """Added to the variance before its root."""
    hidden_act: Literal["gelu"] = "gelu"
    """Activation of the feed-forward part."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of {self.num_attention_heads} heads")
        return self

    def build(self) -> Bert:
        return Bert(self)

    @classmethod
    def from_hugging_face(cls, data: Mapping[str, Any], *, who: str = "config.json") -> BertConfig:
        """The config in the fields of a ``config.json``; what does not bear on the encoder's shape is left out.

        Raises:
            ConfigError: another architecture, positions that are not learned ones, another activation, or bad sizes.
        """
        positions = data.get("position_embedding_type", "absolute")
        if data.get("model_type") != "bert" or positions != "absolute":
            raise ConfigError(
                who,
                got=f"model_type={data.get('model_type')!r} with {positions} positions",
                expected="model_type='bert' with absolute positions",
                remedy="Name the folder of a BERT model",
            )
        return cls.parse({name: data[name] for name in cls.model_fields if name in data}, who=who)


class Bert(nn.Module):
    """Ids ``int64 [B, L]`` to Tokens ``[B, L, hidden_size]``, L at most ``max_position_embeddings``."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = _Layers(config)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=_INITIAL_DEVIATION)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    @property
    def dim(self) -> int:
        """Width of the hidden states."""
        return self.config.hidden_size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embeddings.word_embeddings.weight.device

    def forward(self, arrays: Arrays) -> Tokens:
        """Last hidden states. Padding is computed nowhere but in the scores of attention."""
        ids, mask = arrays.values, arrays.mask
        if bool(mask.all()):
            return Tokens(self.encoder(self.embeddings(ids), _Attend(self.config)), mask)
        places = mask.flatten().nonzero()[:, 0]
        values = self.embeddings(ids).flatten(0, 1)[places]
        hidden = self.encoder(values, _Attend(self.config, mask=mask, places=places))
        return Tokens(_spread(hidden, places, mask.shape), mask)


class _Embeddings(nn.Module):
    undecayed = ("position_embeddings",)

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        places = self.position_embeddings.weight[: ids.shape[1]] + self.token_type_embeddings.weight[0]
        values: Tensor = self.LayerNorm(self.word_embeddings(ids) + places)
        return values


class _Layers(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, values: Tensor, attend: _Attend) -> Tensor:
        for layer in self.layer:
            values = layer(values, attend)
        return values


class _Layer(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = _Attention(config)
        self.intermediate = _Intermediate(config)
        self.output = _Residual(config.intermediate_size, config)

    def forward(self, values: Tensor, attend: _Attend) -> Tensor:
        values = self.attention(values, attend)
        result: Tensor = self.output(self.intermediate(values), values)
        return result


class _Attention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.self = _SelfAttention(config)
        self.output = _Residual(config.hidden_size, config)

    def forward(self, values: Tensor, attend: _Attend) -> Tensor:
        result: Tensor = self.output(self.self(values, attend), values)
        return result


class _SelfAttention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, values: Tensor, attend: _Attend) -> Tensor:
        return attend(self.query(values), self.key(values), self.value(values))


class _Intermediate(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, values: Tensor) -> Tensor:
        return F.gelu(self.dense(values))


class _Residual(nn.Module):
    """A projection that is added to what went before, and the norm of the sum."""

    def __init__(self, width: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, branch: Tensor, before: Tensor) -> Tensor:
        values: Tensor = self.LayerNorm(self.dense(branch) + before)
        return values


class _Attend:
    """Each token of a row sees all real ones of the row.

    Args:
        config: of the model.
        mask: bool ``[B, L]``, True where real; without it all are real and tokens come as ``[B, L, D]``.
        places: int64 ``[N]``, where of the B * L places the real tokens are, which come as ``[N, D]``.
    """

    def __init__(self, config: BertConfig, *, mask: Tensor | None = None, places: Tensor | None = None) -> None:
        self.num_heads = config.num_attention_heads
        self.places = places
        self.mask = mask
        # An absent row sees something too: attention to nothing is not a number.
        self.visible = None if mask is None else (mask | ~mask.any(dim=1, keepdim=True))[:, None, None]

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = self._heads(query), self._heads(key), self._heads(value)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=self.visible)
        found = found.transpose(1, 2).flatten(2)
        return found if self.places is None else found.flatten(0, 1)[self.places]

    def _heads(self, values: Tensor) -> Tensor:
        """``[B, H, L, D / H]``."""
        if self.places is not None and self.mask is not None:
            values = _spread(values, self.places, self.mask.shape)
        return values.view(*values.shape[:2], self.num_heads, -1).transpose(1, 2)


def _spread(packed: Tensor, places: Tensor, shape: torch.Size) -> Tensor:
    """``packed [N, ...]`` at ``places`` of ``[B, L, ...]``, zeros elsewhere."""
    spread = packed.new_zeros(shape.numel(), *packed.shape[1:]).index_copy(0, places, packed)
    return spread.view(*shape, *packed.shape[1:])


class Int8Bert:
    """The weights of ``encoder`` in int8, on as many threads as PyTorch uses.

    Raises:
        MissingExtraError: CTranslate2 is not installed.
    """

    def __init__(self, encoder: Bert) -> None:
        try:
            import ctranslate2
        except ImportError as error:
            raise MissingExtraError.of("ctranslate2", extra="search", purpose="a text embedder in int8") from error
        self._from_array = ctranslate2.StorageView.from_array
        with tempfile.TemporaryDirectory() as folder:
            _specification(encoder).save(folder)
            self._encoder = ctranslate2.Encoder(folder, compute_type="int8", intra_threads=torch.get_num_threads())

    def __call__(self, arrays: Arrays) -> Tokens:
        """Last hidden states, as ``Bert`` gives them. Each row must have a token, and padding only at its end."""
        ids = self._from_array(arrays.values.int().numpy())
        lengths = self._from_array(arrays.mask.sum(dim=1).int().numpy())
        hidden = np.array(self._encoder.forward_batch(ids, lengths).last_hidden_state)
        return Tokens(torch.from_numpy(hidden), arrays.mask)


def _specification(encoder: Bert) -> Any:
    """The model in CTranslate2's terms."""
    from ctranslate2.converters.utils import fuse_linear
    from ctranslate2.specs.common_spec import Activation, EmbeddingsMerge, LinearSpec
    from ctranslate2.specs.transformer_spec import TransformerEncoderModelSpec, TransformerEncoderSpec

    config = encoder.config
    target = TransformerEncoderSpec(
        config.num_hidden_layers,
        config.num_attention_heads,
        pre_norm=False,
        activation=Activation.GELU,
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=EmbeddingsMerge.ADD,
    )
    target.scale_embeddings = False
    embeddings = encoder.embeddings
    target.embeddings[0].weight = _copy(embeddings.word_embeddings.weight)
    target.embeddings[1].weight = _copy(embeddings.token_type_embeddings.weight)
    target.position_encodings.encodings = _copy(embeddings.position_embeddings.weight)
    _set_norm(target.layernorm_embedding, embeddings.LayerNorm)
    layers: Any = encoder.encoder.layer
    for to, layer in zip(target.layer, layers, strict=True):
        fused = [LinearSpec() for _ in range(3)]
        for part, name in zip(fused, ("query", "key", "value"), strict=True):
            _set_linear(part, getattr(layer.attention.self, name))
        fuse_linear(to.self_attention.linear[0], fused)
        _set_linear(to.self_attention.linear[1], layer.attention.output.dense)
        _set_norm(to.self_attention.layer_norm, layer.attention.output.LayerNorm)
        _set_linear(to.ffn.linear_0, layer.intermediate.dense)
        _set_linear(to.ffn.linear_1, layer.output.dense)
        _set_norm(to.ffn.layer_norm, layer.output.LayerNorm)
    specification = TransformerEncoderModelSpec(target)
    # Only ids are given to it, but it wants a name for each.
    specification.register_vocabulary([str(id_) for id_ in range(config.vocab_size)])
    specification.config.unk_token = "0"  # noqa: S105 - no secret
    specification.config.layer_norm_epsilon = config.layer_norm_eps
    specification.validate()
    specification.optimize(quantization="int8")
    return specification


def _set_linear(target: Any, linear: Any) -> None:
    target.weight, target.bias = _copy(linear.weight), _copy(linear.bias)


def _set_norm(target: Any, norm: Any) -> None:
    target.gamma, target.beta = _copy(norm.weight), _copy(norm.bias)


def _copy(weight: Tensor) -> NDArray[np.float32]:
    """Quantization writes into the arrays that it is given."""
    copied: NDArray[np.float32] = weight.detach().cpu().numpy().copy()
    return copied
