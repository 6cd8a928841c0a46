"""The BERT architecture (Devlin et al. 2019): embeddings and post-norm transformer layers that see both ways.

It holds weights and knows no tokenizer, no pooling and no loss. Parameters have the names of Hugging Face's
checkpoints, so that these load as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.errors import ConfigError
from tonggan.layers.cores import num_threads
from tonggan.stored import DOWNLOAD, named
from tonggan.tokens import Arrays, Tokens
from tonggan.weights.e5_file import BLOCK, unpack
from tonggan.weights.text import TextWeights

MODEL_TYPES = ("bert", "roberta", "xlm-roberta")
"""Values of ``model_type`` in a ``config.json`` whose architecture is BERT's."""
_INITIAL_DEVIATION = 0.02
_SIZES = ("vocab_size", "hidden_size", "max_position_embeddings", "type_vocab_size", "intermediate_size")
_WORDS, _PACKED = "embeddings.word_embeddings.weight", "embeddings.word_embeddings.packed"


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
    """Size of the table of position embeddings."""
    type_vocab_size: int = Field(default=2, ge=1)
    """Size of the table of segment embeddings; all tokens are in the first segment."""
    layer_norm_eps: float = Field(default=1e-12, gt=0)
    """Added to the variance before its root."""
    hidden_act: Literal["gelu"] = "gelu"
    """Activation of the feed-forward part."""
    first_position: int = Field(default=0, ge=0)
    """Position of the first token in the table: RoBERTa's positions begin after its padding's."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of {self.num_attention_heads} heads")
        if self.first_position >= self.max_position_embeddings:
            raise ValueError(f"no position is left of {self.max_position_embeddings} from {self.first_position} on")
        return self

    @property
    def max_tokens(self) -> int:
        """Tokens a sequence can hold."""
        return self.max_position_embeddings - self.first_position

    def build(self, *, words: nn.Module | None = None) -> Bert:
        """The model with new random weights; ``words`` is its embedding where it has one already."""
        return Bert(self, words=words)

    def to_hugging_face(self) -> dict[str, Any]:
        """The inverse of ``from_hugging_face``."""
        fields = self.to_dict()
        first = fields.pop("first_position")
        if first:
            return {"architectures": ["RobertaModel"], "model_type": "roberta", "pad_token_id": first - 1, **fields}
        return {"architectures": ["BertModel"], "model_type": "bert", **fields}

    @classmethod
    def from_hugging_face(cls, data: Mapping[str, Any], *, who: str = "config.json") -> BertConfig:
        """The config in the fields of a ``config.json``; what does not bear on the encoder's shape is left out.

        Raises:
            ConfigError: another architecture, positions that are not learned ones, another activation, or bad sizes.
        """
        positions = data.get("position_embedding_type", "absolute")
        kind = data.get("model_type")
        if kind not in MODEL_TYPES or positions != "absolute":
            raise ConfigError(
                who,
                got=f"model_type={kind!r} with {positions} positions",
                expected=f"model_type {' or '.join(map(repr, MODEL_TYPES))} with absolute positions",
                remedy="Name the folder of a BERT model",
            )
        fields = {name: data[name] for name in cls.model_fields if name in data}
        if kind != "bert":
            fields["first_position"] = data.get("pad_token_id", 1) + 1
        return cls.parse(fields, who=who)


class Bert(nn.Module):
    """Ids ``int64 [B, L]`` to Tokens ``[B, L, hidden_size]``, L at most ``max_tokens`` of the config."""

    def __init__(self, config: BertConfig, *, words: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config, words)
        self.encoder = _Layers(config)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=_INITIAL_DEVIATION)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    @classmethod
    def read(cls, weights: TextWeights) -> Bert:
        """The model in ``weights``, float32; words that are packed stay so.

        Raises:
            ConfigError: it has another architecture.
            DataError: its files are damaged.
        """
        who = f"text encoder {weights.name}"
        with named(who, expected="the config of a BERT model", remedy=DOWNLOAD):
            config = BertConfig.from_hugging_face(weights.config, who=who)
        found = dict(weights.tensors())
        # For matrices this small, several threads would mostly wait for one another.
        with named(who, expected="the weights that its config describes", remedy=DOWNLOAD), num_threads(1):
            _check_sizes(config, found)
            words = PackedEmbedding(found.pop(_WORDS)) if _is_packed(found[_WORDS]) else None
            encoder = config.build(words=words)  # not on the meta device, which loads 75 MB of compiler for it
            state = {name: found[name] for name in encoder.state_dict() if words is None or name != _PACKED}
            plain = {name: unpack(weight) if _is_packed(weight) else weight.float() for name, weight in state.items()}
            encoder.load_state_dict(plain, assign=True, strict=words is None)
        return encoder

    def plain_state(self) -> dict[str, Tensor]:
        """The weights by Hugging Face's names, words that are packed unpacked."""
        state = {name: weight for name, weight in self.state_dict().items() if name != _PACKED}
        words: Any = self.embeddings.word_embeddings
        return {**state, _WORDS: words.weight.detach()}

    @property
    def blocks(self) -> list[nn.Module]:
        """Its layers, the first one first."""
        return list(self.encoder.layer)

    @property
    def max_tokens(self) -> int:
        """Tokens a sequence can hold."""
        return self.config.max_tokens

    @property
    def dim(self) -> int:
        """Width of the hidden states."""
        return self.config.hidden_size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embeddings.position_embeddings.weight.device

    def forward(self, arrays: Arrays) -> Tokens:
        """Last hidden states. Padding is computed nowhere but in the scores of attention."""
        ids, mask = arrays.values, arrays.mask
        if bool(mask.all()):
            return Tokens(self.encoder(self.embeddings(ids), _Attend(self.config)), mask)
        places = mask.flatten().nonzero()[:, 0]
        values = self.embeddings(ids).flatten(0, 1)[places]
        hidden = self.encoder(values, _Attend(self.config, mask=mask, places=places))
        return Tokens(_spread(hidden, places, mask.shape), mask)


class PackedEmbedding(nn.Module):
    """An embedding that stays in 4 bits and cannot be trained: ids ``int64 [...]`` to float32 ``[..., D]``.

    Of a vocabulary of 250,000 words a text needs a few: kept packed, the table takes 54 MB, not 384.

    Args:
        packed: uint8 ``[V, D / 32, 18]``, as ``unpack`` reads them.
    """

    def __init__(self, packed: Tensor) -> None:
        super().__init__()
        # A parameter, since what a model does not learn is not stored with it.
        self.packed = nn.Parameter(packed, requires_grad=False)

    @property
    def weight(self) -> Tensor:
        """All rows, float32 ``[V, D]``."""
        return unpack(self.packed)

    def forward(self, ids: Tensor) -> Tensor:
        return unpack(self.packed[ids])


def _is_packed(weight: Tensor) -> bool:
    return weight.dtype == torch.uint8


def _check_sizes(config: BertConfig, found: Mapping[str, Tensor]) -> None:
    """Raise ValueError where a size is surely wrong, before memory is taken for it."""
    sizes = {size for weight in found.values() for size in weight.shape}
    sizes |= {weight.shape[-2] * BLOCK for weight in found.values() if _is_packed(weight)}
    names = _SIZES[: None if config.num_hidden_layers else -1]
    wrong = [name for name in names if getattr(config, name) not in sizes]
    if wrong or config.num_hidden_layers > len(found):
        raise ValueError(f"no weights of its {wrong[0] if wrong else 'num_hidden_layers'}")


class _Embeddings(nn.Module):
    undecayed = ("position_embeddings",)

    def __init__(self, config: BertConfig, words: nn.Module | None) -> None:
        super().__init__()
        width = config.hidden_size
        self.first_position = config.first_position
        self.word_embeddings = words or nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        positions = self.position_embeddings.weight[self.first_position :][: ids.shape[1]]
        places = positions + self.token_type_embeddings.weight[0]
        values: Tensor = self.LayerNorm(self.word_embeddings(ids).to(places.dtype) + places)
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
