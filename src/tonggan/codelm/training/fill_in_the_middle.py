"""Fill-in-the-middle as a transformation of training texts (Bavarian et al. 2022): cut in three, put in another order.

It chooses no control tokens and packs no sequences.
"""

from __future__ import annotations

import numpy as np

from tonggan.language.infill import InfillTokens
from tonggan.language.tokenizer import Tokenizer


class FillInTheMiddle:
    """Writes a share of texts as prefix, suffix and middle, each half of these in one of two orders.

    Cuts fall between any two characters, so that a model also learns to go on inside a token, as it has to at a cursor.

    Args:
        tokenizer: of the model.
        infill: the control tokens.
        rate: share of the texts that are cut; the others stay as they are.
    """

    def __init__(self, tokenizer: Tokenizer, infill: InfillTokens, *, rate: float = 0.5) -> None:
        self.tokenizer = tokenizer
        self.infill = infill
        self.rate = rate

    def encode(self, text: str, *, generator: np.random.Generator) -> list[int] | None:
        """Ids of ``text`` cut at two random places, the end token last; None where it is to stay as it is."""
        if generator.random() >= self.rate:
            return None
        first, second = sorted(generator.integers(len(text) + 1, size=2).tolist())
        is_psm = generator.random() < 0.5
        return self.arrange(text[:first], text[first:second], text[second:], is_psm=is_psm)

    def arrange(self, prefix: str, middle: str, suffix: str, *, is_psm: bool) -> list[int]:
        """Ids in the order prefix, suffix, middle, or suffix, prefix, middle; the end token last."""
        before, between, after = (self.tokenizer.encode(part) for part in (prefix, middle, suffix))
        order = self.infill.psm if is_psm else self.infill.spm
        return [*order(before, after), *between, self.tokenizer.ends[0]]
