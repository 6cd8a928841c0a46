"""How a head writes text: over which token ids, what ends a text, and how long one may be. It holds no tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PAD = -1
"""Fills the places of a row of token ids after its end, in targets and in outputs."""
NUM_LEADING = 2
"""Columns of outputs before the token ids: the negative log-likelihood of the target, and its number of tokens."""


@dataclass(frozen=True)
class TextFormat:
    """What a task asks of the head that writes its texts.

    Attributes:
        vocab_size: token ids run from 0 to one less.
        ends: ids that end a text; the first of them ends the targets.
        max_tokens: T, the most tokens of a text, its end included.
        start: id that opens a text of a model trained from scratch; None where a pretrained model has its own way.
    """

    vocab_size: int
    ends: tuple[int, ...]
    max_tokens: int
    start: int | None = None

    def outputs(self, ids: Tensor, *, losses: Tensor | None = None) -> Tensor:
        """Outputs ``[B, 2 + T]`` float32 of a head that writes text.

        Args:
            ids: int64 ``[B, L]``, L at most T, padded with ``PAD``.
            losses: ``[B, 2]``, negative log-likelihood and number of tokens of each target, as ``losses`` of a head
                gives them; without targets they are NaN and 0.
        """
        outputs = torch.full((len(ids), NUM_LEADING + self.max_tokens), float(PAD), device=ids.device)
        outputs[:, 0], outputs[:, 1] = torch.nan, 0
        if losses is not None:
            outputs[:, :NUM_LEADING] = losses
        outputs[:, NUM_LEADING : NUM_LEADING + ids.shape[1]] = ids
        return outputs
