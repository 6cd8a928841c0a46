"""What a text continues, token ids and embeddings of other modalities in one order, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tonggan.language.engine import Engine

Finish = Literal["stop", "length"]


@dataclass(frozen=True, eq=False)
class Prompt:
    """Pieces of one sequence in their order, each int64 token ids ``[n]`` or float embeddings ``[n, D]``."""

    parts: tuple[Tensor, ...]

    @property
    def length(self) -> int:
        """Positions that it takes."""
        return sum(len(part) for part in self.parts)

    @property
    def ids(self) -> list[int]:
        """The token id at each position, -1 where it is an embedding."""
        return [id_ for part in self.parts for id_ in (part.tolist() if part.dim() == 1 else [-1] * len(part))]

    def embed(self, engine: Engine) -> Tensor:
        """``[length, D]``: what ``engine`` reads."""
        values = [part if part.dim() == 2 else engine.embed(part) for part in self.parts]
        embedded = next((value for value, part in zip(values, self.parts, strict=True) if part.dim() == 1), values[0])
        return torch.cat([value.to(embedded) for value in values])


@dataclass(frozen=True)
class TokenLogprob:
    """How probable the model found one chosen token, before temperature, penalties and constraints.

    Attributes:
        token_id: the token.
        logprob: its natural logarithm of probability.
        top: the likeliest tokens at its place with theirs, the best first.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """What a stream yields: new text, and the tokens chosen since the piece before.

    Text may come later than its tokens: half characters and beginnings of stop strings are held back.
    ``finish`` is None for all but the last.
    """

    text: str
    token_ids: list[int]
    logprobs: list[TokenLogprob]
    finish: Finish | None


@dataclass(frozen=True)
class Generation:
    """A whole generated text with its tokens, the one that ended it included, and why it ended."""

    text: str
    token_ids: list[int]
    logprobs: list[TokenLogprob]
    finish: Finish
