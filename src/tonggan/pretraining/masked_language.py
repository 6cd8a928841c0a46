"""Masked language modeling: whole words, or runs of characters where words have no blanks, are guessed from the rest.

A word that is hidden in part is guessed from its other part, which teaches little; so English words are hidden whole
(BERT's whole-word masking), and of Chinese one to four neighboring pieces together (MacBERT, Cui et al. 2020).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tonggan.layers.precision import in_float32
from tonggan.modalities import Text, TextConfig
from tonggan.modalities.code import Code
from tonggan.modalities.text import MASK_ID, SPECIAL_TOKENS
from tonggan.pretraining.base import Draw, Guessed, Pretraining, PretrainingConfig, check_for_each, refuse
from tonggan.tokens import Arrays
from tonggan.wording import Words

_RUNS = (0.4, 0.7, 0.9, 1.0)
"""Chances that a run of Chinese pieces has at most 1, 2, 3 or 4 of them, as MacBERT has it."""
_MEAN_RUN = 2.0
_MASKED, _RANDOM = 0.8, 0.9
# First bytes in UTF-8: before a word, of Chinese, Japanese and Korean, and within a letter.
_SPACE, _WIDE, _INNER = 0x20, range(0xE3, 0xF0), range(0x80, 0xC0)


class MaskedLanguageConfig(PretrainingConfig):
    """Guess hidden words from those around them (BERT, Devlin et al. 2019)."""

    reads: ClassVar[tuple[str, ...]] = ("text", "code")
    default_of: ClassVar[tuple[str, ...]] = ("text", "code")
    words: ClassVar[Words] = Words("guess hidden words from those around them", "由上下文猜出被遮住的词")
    kind: Literal["masked_language"] = "masked_language"
    hidden: float = Field(default=0.2, gt=0, lt=1)
    """Share of the tokens to predict: of these, 80 % become <mask>, 10 % a random token, 10 % stay."""

    def build(self, encoder: nn.Module, modality: Text | Code, *, dim: int) -> MaskedLanguage:
        return MaskedLanguage(self, encoder, modality, dim=dim)


class MaskedLanguage(Pretraining):
    """Ids ``[B, L]``, or those of code ``[B, L, 7]``, some of them hidden, to the cross-entropy of those."""

    def __init__(self, config: MaskedLanguageConfig, encoder: nn.Module, modality: Text | Code, *, dim: int) -> None:
        super().__init__(encoder, config.kind)
        self.hidden = config.hidden
        self.vocabulary = Vocabulary(encoder, modality, objective=config.kind, dim=dim)
        word, wide, inner = first_bytes(modality)
        self.register_buffer("starts_word", word, persistent=False)
        self.register_buffer("is_wide", wide, persistent=False)
        self.register_buffer("is_inner", inner, persistent=False)
        self.starts_word: Tensor
        self.is_wide: Tensor
        self.is_inner: Tensor

    def guess(self, arrays: Arrays, draw: Draw) -> Guessed:
        ids, hidden = ids_of(arrays.values), self.choose(arrays, draw)
        kind, other = draw(2, ids.shape[1], like=ids).unbind(dim=1)
        special = len(SPECIAL_TOKENS)
        others = special + (other * (self.vocabulary.size - special)).long()
        seen = torch.where(kind < _MASKED, torch.full_like(ids, MASK_ID), torch.where(kind < _RANDOM, others, ids))
        shown = arrays.values.clone()
        ids_of(shown).copy_(torch.where(hidden, seen, ids))
        tokens = self.encoder(Arrays(shown, arrays.mask))
        check_for_each(self.kind, tokens, arrays)
        return self.vocabulary.guessed(tokens.values, ids, hidden)

    def choose(self, arrays: Arrays, draw: Draw) -> Tensor:
        """[B, L] bool: the tokens to guess, whole words and runs of Chinese pieces, about a ``hidden`` share of all; of
        code the neighbors of one kind, which are the pieces of a name.
        """
        ids, mask = ids_of(arrays.values), arrays.mask
        wide, inner = self.is_wide[ids], self.is_inner[ids]
        starts = self.starts_word[ids] | wide
        starts[:, 1:] |= (wide | inner)[:, :-1] & ~inner[:, 1:]  # letters and digits after Chinese
        if arrays.values.dim() == 3:
            kinds = arrays.values[..., 1]
            starts[:, 1:] |= kinds[:, 1:] != kinds[:, :-1]
        starts[:, 0] = True
        unit = starts.long().cumsum(dim=1) - 1  # of each token
        chance, length = draw(2, ids.shape[1], like=ids).unbind(dim=1)  # of each unit
        bounds = torch.tensor(_RUNS, device=ids.device)
        run = torch.searchsorted(bounds, length.contiguous()) + 1
        is_wide = torch.zeros_like(mask).scatter_reduce(1, unit, wide, "amax")
        begins = chance < torch.where(is_wide, self.hidden / _MEAN_RUN, self.hidden)
        chosen = begins.clone()
        for step in range(1, len(_RUNS)):
            chosen[:, step:] |= (begins & (run > step))[:, :-step] & is_wide[:, step:]
        tokens: Tensor = chosen.gather(1, unit) & mask
        return tokens


class Vocabulary(nn.Module):
    """Guesses tokens: a layer, a norm, and the encoder's own embedding turned around (Press and Wolf 2017).

    Raises:
        ConfigError: the text is read in the tokens of pretrained weights.
    """

    def __init__(self, encoder: nn.Module, modality: Text | Code, *, objective: str, dim: int) -> None:
        super().__init__()
        column = modality.config
        if isinstance(column, TextConfig) and (column.language is not None or column.weights is not None):
            raise refuse(
                objective=objective,
                got="a text in the tokens of pretrained weights",
                expected="tokens that are learned from the column",
                remedy="Use the encoder text_transformer, or the objective contrastive",
            )
        self.size = modality.num_tokens
        embedding = getattr(encoder, "embedding", None)
        if not isinstance(embedding, nn.Embedding) or embedding.num_embeddings != self.size:
            self.own = embedding = nn.Embedding(self.size, dim)
        self.embedding = (embedding,)  # in a tuple, so that that of an encoder stays its own alone
        width = self.embedding[0].embedding_dim
        self.layers = nn.Sequential(nn.Linear(dim, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(self.size))

    def guessed(self, values: Tensor, ids: Tensor, chosen: Tensor) -> Guessed:
        """How well the ``chosen`` [B, L] of ``ids`` are known of the ``values`` [B, L, D] at their places."""
        rows, targets = chosen.nonzero()[:, 0], ids[chosen]
        logits = F.linear(self.layers(values[chosen]), self.embedding[0].weight, self.bias)
        with in_float32(values.device):
            losses = F.cross_entropy(logits.float(), targets, reduction="none")
            zeros = losses.new_zeros(len(ids))
            return Guessed(
                zeros.index_add(0, rows, losses),
                zeros.index_add(0, rows, torch.ones_like(losses)),
                zeros.index_add(0, rows, (logits.argmax(dim=1) == targets).to(losses.dtype)),
            )


def ids_of(values: Tensor) -> Tensor:
    """The ids ``[B, L]`` of a text, or of code ``[B, L, 7]``, whose place they have."""
    return values if values.dim() == 2 else values[..., 0]


def first_bytes(modality: Text | Code) -> tuple[Tensor, Tensor, Tensor]:
    """[V] bool each: of a byte-level vocabulary the tokens that begin a word, those of wide letters, and those that
    begin within a letter.
    """
    byte_of = {letter: byte for byte, letter in enumerate(_byte_letters())}
    word, wide, inner = torch.zeros(3, modality.num_tokens, dtype=torch.bool)
    for number in range(len(SPECIAL_TOKENS), modality.num_tokens):
        first, *others = (byte_of.get(letter, 0) for letter in (modality.tokenizer.id_to_token(number) or " ")[:2])
        word[number] = first == _SPACE
        wide[number] = (others[0] if word[number] and others else first) in _WIDE
        inner[number] = first in _INNER
    return word, wide, inner


def _byte_letters() -> list[str]:
    """The letters in which byte-level vocabularies write bytes 0 to 255 (Radford et al. 2019)."""
    plain = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    moved = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(moved)) for byte in range(256)]
