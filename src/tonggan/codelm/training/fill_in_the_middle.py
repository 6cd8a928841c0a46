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

    def encode(self, text: str, *, opening: str, generator: np.random.Generator) -> list[int] | None:
        """Ids of ``text`` cut at two random places, the end token last; None where it is to stay as it is.

        Args:
            text: a file, or a piece of one.
            opening: what stands before it and is not cut, such as its name.
            generator: of the cuts.
        """
        if generator.random() >= self.rate:
            return None
        first, second = sorted(generator.integers(len(text) + 1, size=2).tolist())
        order = self.infill.psm if generator.random() < 0.5 else self.infill.spm
        before, between, after = (
            self.tokenizer.encode(part) for part in (opening + text[:first], text[first:second], text[second:])
        )
        return [*order(before, after), *between, self.tokenizer.ends[0]]
