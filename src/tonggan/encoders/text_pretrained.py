"""A text through pretrained weights: MiniLM, multilingual E5, or a folder in Hugging Face's layout.

BERT and its kin are computed by Tonggan itself, other architectures by transformers. The text is read in the tokens of
the weights, with what opens and closes it and the prompt that they were trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from tonggan.encoders.bert import MODEL_TYPES, Bert
from tonggan.encoders.hugging_face import blocks_of, open_auto_model
from tonggan.encoders.pretrained import PretrainedConfig, PretrainedEncoder
from tonggan.errors import ConfigError
from tonggan.layers.cores import map_on_cores
from tonggan.modalities.base import InputConfig
from tonggan.modalities.text import Text
from tonggan.tokens import Arrays, Tokens
from tonggan.weights.text import TextWeights, open_text_weights
from tonggan.weights.text_folder import TextFolder

_MOST_TOKENS = 8_192  # of a text that a modality reads
_ROOM = 512 << 20  # bytes of hidden states that are kept: 6,000 texts of 60 tokens with E5


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
        return TextPretrained(self, trunk, sha256=weights.sha256, dim=dim)


class TextPretrained(PretrainedEncoder):
    """Ids ``int64 [B, L]`` to Tokens ``[B, L, dim]``, one for each id.

    On a CPU, what a frozen trunk makes of a text is kept once the encoder has been in training, since it is the same in
    every epoch. Each text is computed alone, so that its numbers depend on no batch and a resumed run gets the same.

    Args:
        config: what learns.
        trunk: with its weights.
        sha256: of these.
        dim: width of a token.
    """

    ends = ("norm", "projection")

    def __init__(self, config: TextPretrainedConfig, trunk: Bert | _Foreign, *, sha256: str, dim: int) -> None:
        super().__init__(config, trunk, blocks=trunk.blocks)
        self.norm = nn.LayerNorm(trunk.dim)
        self.projection = nn.Linear(trunk.dim, dim)
        self._kept = _KEPT.setdefault(sha256, _Kept()) if config.tune == "frozen" else None
        self._keeps = False

    def train(self, mode: bool = True) -> Self:
        self._keeps = self._keeps or mode
        return super().train(mode)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch."""
        if self._kept is None or arrays.values.device.type != "cpu":
            tokens: Tokens = self.trunk(arrays)
            hidden = tokens.values
        else:
            hidden = self._read(arrays, self._kept)
        return Tokens(self.projection(self.norm(hidden)), arrays.mask)

    def _read(self, arrays: Arrays, kept: _Kept) -> Tensor:
        """Hidden states ``[B, L, width]``, each text's computed once if they are kept."""
        texts = [tuple(row[mask].tolist()) for row, mask in zip(arrays.values, arrays.mask, strict=True)]
        new = [text for text in dict.fromkeys(texts) if text and text not in kept.states]
        found = dict(zip(new, map_on_cores(self._read_alone, new), strict=True))
        if self._keeps:
            for text, states in found.items():
                kept.add(text, states)
        hidden = torch.zeros(*arrays.mask.shape, self.norm.normalized_shape[0])
        for row, text in enumerate(texts):
            if text:
                hidden[row, : len(text)] = found[text] if text in found else kept.states[text]
        return hidden

    @torch.no_grad()
    def _read_alone(self, text: tuple[int, ...]) -> Tensor:
        # In float32 whatever is set for the thread that asks: other threads do not know of it.
        with torch.autocast("cpu", enabled=False):
            tokens: Tokens = self.trunk(Arrays(torch.tensor([text]), torch.ones(1, len(text), dtype=torch.bool)))
        return tokens.values[0]


class _Kept:
    """Hidden states ``[L, width]`` by token ids: as many as have room."""

    def __init__(self) -> None:
        self.states: dict[tuple[int, ...], Tensor] = {}
        self._bytes = 0

    def __deepcopy__(self, memo: object) -> _Kept:
        return self

    def add(self, text: tuple[int, ...], states: Tensor) -> None:
        if self._bytes < _ROOM:
            self.states[text] = states
            self._bytes += states.nbytes


# One for all encoders of the same weights, as long as there is any: an audit trains several models on the same texts.
_KEPT: WeakValueDictionary[str, _Kept] = WeakValueDictionary()


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
