"""A text through pretrained weights: MiniLM, multilingual E5, or a folder in Hugging Face's layout.

BERT and its kin are computed by Tonggan itself, other architectures by transformers. The text is read in the tokens of
the weights, with what opens and closes it and the prompt that they were trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import nn

from tonggan.encoders.bert import MODEL_TYPES, Bert
from tonggan.encoders.hugging_face import blocks_of, open_auto_model
from tonggan.encoders.pretrained import PretrainedConfig, PretrainedEncoder
from tonggan.errors import ConfigError
from tonggan.modalities.base import InputConfig
from tonggan.modalities.text import Text
from tonggan.tokens import Arrays, Tokens
from tonggan.weights.text import TextWeights, open_text_weights
from tonggan.weights.text_folder import TextFolder

_MOST_TOKENS = 8_192  # of a text that a modality reads


class TextPretrainedConfig(PretrainedConfig):
    """Pretrained weights, and a linear map to the model's width. Words that come in 4 bits never learn."""

    reads: ClassVar[str] = "text"
    kind: Literal["text_pretrained"] = "text_pretrained"

    def prepare(self, modality: InputConfig) -> InputConfig:
        """The text in the tokens of the weights."""
        return modality.model_copy(update={"weights": self.weights})

    @property
    def base(self) -> Mapping[str, str]:
        return {"name": self.weights, "sha256": open_text_weights(self.weights).sha256}

    def build(self, modality: Text, *, dim: int) -> TextPretrained:
        """An encoder of that modality's token ids.

        Raises:
            ConfigError: the modality's tokens are others, or more than the weights have positions.
            DataError, MissingExtraError: the weights are damaged, or a package is missing.
        """
        if modality.config.weights != self.weights:
            raise ConfigError(
                "encoder text_pretrained",
                got=f"a text column in the tokens of {modality.config.weights or 'a vocabulary of its own'}",
                expected=f"one in those of {self.weights}",
                remedy=f"Set the column's 'weights' to {self.weights}, or leave it out",
            )
        weights = open_text_weights(self.weights)
        trunk = Bert.read(weights) if weights.config.get("model_type") in MODEL_TYPES else _Foreign(weights)
        if modality.config.max_tokens > trunk.max_tokens:
            raise ConfigError(
                "encoder text_pretrained",
                got=f"texts of up to {modality.config.max_tokens} tokens",
                expected=f"at most {trunk.max_tokens}, what {self.weights} was trained for",
                remedy=f"Set the column's max_tokens to {trunk.max_tokens}",
            )
        return TextPretrained(self, trunk, dim=dim)


class TextPretrained(PretrainedEncoder):
    """Ids ``int64 [B, L]`` to Tokens ``[B, L, dim]``, one for each id."""

    ends = ("projection",)

    def __init__(self, config: TextPretrainedConfig, trunk: Bert | _Foreign, *, dim: int) -> None:
        super().__init__(config, trunk, blocks=trunk.blocks)
        self.projection = nn.Linear(trunk.dim, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch."""
        tokens: Tokens = self.trunk(arrays)
        return Tokens(self.projection(tokens.values), arrays.mask)


class _Foreign(nn.Module):
    """What transformers computes, as ``Bert`` gives it."""

    def __init__(self, weights: TextWeights) -> None:
        super().__init__()
        assert isinstance(weights, TextFolder), "the catalogue has BERT alone"
        self.network = open_auto_model(weights)
        shape: Any = self.network.config
        self.dim: int = shape.hidden_size
        # Some count places that only padding has, a few above a round number; T5's kind has none.
        places = int(getattr(shape, "max_position_embeddings", None) or _MOST_TOKENS)
        self.max_tokens = min(places - places % 8, weights.max_tokens or _MOST_TOKENS)
        self._padding = getattr(shape, "pad_token_id", None) or 0
        self.blocks = blocks_of(self.network)

    def forward(self, arrays: Arrays) -> Tokens:
        mask = arrays.mask.clone()
        mask[:, 0] |= ~arrays.present  # an absent row sees something, too: attention to nothing is not a number
        ids = arrays.values.masked_fill(~arrays.mask, self._padding)
        hidden = self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return Tokens(hidden, arrays.mask)
