"""Vectors of whole words, learned from the column's texts without their targets before anything else is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.word2vec import SkipGramConfig, learn_vectors, read_vectors
from tonggan.errors import DataError
from tonggan.modalities.base import InputConfig
from tonggan.modalities.text import SPECIAL_TOKENS, Text, TextConfig
from tonggan.tokens import Arrays, Tokens

_VOCABULARY = 30_000  # where the column names no size: words are more than pieces of words


class TextWord2VecConfig(SkipGramConfig, EncoderConfig):
    """Skip-gram with negative sampling (word2vec, Mikolov et al. 2013), then a projection; order is not known."""

    reads: ClassVar[str] = "text"
    free: ClassVar[tuple[str, ...]] = (
        "dropout", "tune", "vectors", "window", "negatives", "subsample", "skip_gram_epochs", "skip_gram_rate",
    )  # fmt: skip
    kind: Literal["text_word2vec"] = "text_word2vec"
    vectors: str | None = None
    """File of initial vectors in word2vec's text format; null learns them from the training part."""
    tune: Literal["frozen", "all"] = "all"
    """Whether the vectors are fine-tuned on the task."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability of a vector's elements in training."""

    def prepare(self, modality: InputConfig) -> InputConfig:
        """A column that is read word by word."""
        assert isinstance(modality, TextConfig)
        size = {} if "vocab_size" in modality.model_fields_set else {"vocab_size": _VOCABULARY}
        return TextConfig.model_validate({**modality.to_dict(), "units": "words", **size})

    def build(self, modality: Text, *, dim: int) -> nn.Module:
        """An encoder of that modality's words; the modality must be fitted, in words."""
        return TextWord2Vec(self, modality.vocabulary, dim=dim)


class TextWord2Vec(nn.Module):
    """Ids ``int64 [B, L]`` of words to Tokens ``[B, L, dim]``, one for each word.

    Words that training lacks share a vector, which begins at zero.

    Attributes:
        vocabulary: the words whose vectors follow those of the special tokens in ``embedding``.
    """

    undecayed = ("embedding",)
    ends = ("projection",)
    adapts = True
    adapted_rows = 100_000

    def __init__(self, config: TextWord2VecConfig, vocabulary: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.embedding = nn.Embedding(len(SPECIAL_TOKENS) + len(vocabulary), config.vector_size)
        nn.init.normal_(self.embedding.weight, std=0.1)
        if config.tune == "frozen":  # a buffer, since what does not learn is not saved
            weight = self.embedding.weight.detach()
            del self.embedding.weight
            self.embedding.register_buffer("weight", weight)
        self.dropout = nn.Dropout(config.dropout)
        self.projection = nn.Linear(config.vector_size, dim)

    def adapt(self, arrays: Arrays) -> None:
        """Learn the vectors from texts, or read them.

        Raises:
            ConfigError: there is no such file of vectors.
            DataError: it holds none of the words, or vectors of another width.
        """
        first, rows = len(SPECIAL_TOKENS), self.embedding.weight
        if self.config.vectors is not None:
            found = self._read(Path(self.config.vectors))
        else:
            # What is not in the vocabulary is passed over, as if it were not there.
            known = arrays.mask & (arrays.values >= first)
            words = (arrays.values[known] - first).numpy().astype(np.int32)
            if len(words) == 0:
                return  # texts of rare words alone have nothing to learn from
            starts = np.concatenate([[0], known.sum(dim=1).cumsum(0).numpy()])
            found = learn_vectors(words, starts, num_words=len(self.vocabulary), config=self.config, seed=0)
        with torch.no_grad():
            rows[:first] = 0
            rows[first:] = torch.from_numpy(found)

    def vectors(self) -> dict[str, np.ndarray]:
        """What each word has become."""
        rows = self.embedding.weight.detach()[len(SPECIAL_TOKENS) :].float().numpy()
        return dict(zip(self.vocabulary, rows, strict=True))

    def _read(self, path: Path) -> np.ndarray:
        vectors = read_vectors(path, wanted=self.vocabulary)
        width = len(next(iter(vectors.values()), ()))
        if width != self.config.vector_size:
            raise DataError(
                f"word vectors {path}",
                got=f"{width} dimensions per word" if vectors else "none of the column's words",
                expected=f"{self.config.vector_size} dimensions for words of the column",
                remedy=f"Set vector_size to {width}"
                if vectors
                else "Use vectors of the texts' language, in lower case",
            )
        missing = np.zeros(width, np.float32)
        return np.stack([vectors.get(word, missing) for word in self.vocabulary])

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch."""
        return Tokens(self.projection(self.dropout(self.embedding(arrays.values))), arrays.mask)
