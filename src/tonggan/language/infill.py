"""Fill-in-the-middle: prompts of what comes before and after, for models that write what is between (Bavarian et al.
2022). It trains no model and cuts no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

# Names of the three control tokens: Qwen's, and StarCoder's, which most others took over.
_NAMES = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
)


class _Encoder(Protocol):
    """A tokenizer, or a model of any engine."""

    def encode(self, text: str, *, special: bool = ...) -> list[int]: ...


@dataclass(frozen=True)
class InfillTokens:
    """The control tokens that say which part of a text follows.

    Attributes:
        prefix: id of the token before what comes before.
        suffix: id of the token before what comes after.
        middle: id of the token after which the model writes.
    """

    prefix: int
    suffix: int
    middle: int

    @classmethod
    def of(cls, tokenizer: _Encoder, *, names: Sequence[str] | None = None) -> InfillTokens | None:
        """Those of a vocabulary; None where it has none.

        Args:
            tokenizer: of a model that was trained to fill in, or the model itself.
            names: of the tokens for prefix, suffix and middle; by default those that are known.
        """
        for three in _NAMES if names is None else (names,):
            ids = [tokenizer.encode(name, special=True) for name in three]
            if all(len(each) == 1 and each != tokenizer.encode(name) for each, name in zip(ids, three, strict=True)):
                return cls(*(each[0] for each in ids))
        return None

    def psm(self, prefix: Sequence[int], suffix: Sequence[int]) -> list[int]:
        """Token ids in the order prefix, suffix, middle: what most models know best."""
        return [self.prefix, *prefix, self.suffix, *suffix, self.middle]

    def spm(self, prefix: Sequence[int], suffix: Sequence[int]) -> list[int]:
        """Token ids in the order suffix, prefix, middle, which nothing stands between.

        A prefix that grows, as by typing, only appends to it, so that a key-value cache survives.
        """
        return [self.prefix, self.suffix, *suffix, self.middle, *prefix]
