"""The CTC head: each token of an encoder says one id or nothing, and the text is what remains (Graves et al. 2006).

It is for inputs in the order of their text, of at least as many tokens as the text has: speech, lines of writing. It
has no layer that mixes tokens, which is the encoder's work, and no language model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from tonggan.decoders.answers import PAD, TARGET, Answer, Writing
from tonggan.decoders.base import Context, Head, HeadConfig
from tonggan.tokens import Arrays, Prediction, Tokens


class CTCHeadConfig(HeadConfig):
    """One linear layer for each token, the text by connectionist temporal classification."""

    gives: ClassVar[type[Answer]] = Writing
    kind: Literal["ctc"] = "ctc"
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability of a token's elements in training."""
    beam: int = Field(default=1, ge=1)
    """Width of beam search over prefixes; 1 takes the best id of each token, which is fastest and mostly as good."""

    def build(self, dim: int, *, answer: Writing, encoders: Mapping[str, nn.Module] | None = None) -> CTCHead:
        del encoders
        return CTCHead(self, dim, answer=answer)


class CTCHead(Head):
    """Tokens ``[B, L, dim]`` in the order of their text to ``ids`` ``[B, T]``; the blank is id ``vocab_size``."""

    def __init__(self, config: CTCHeadConfig, dim: int, *, answer: Writing) -> None:
        super().__init__()
        self.answer = answer
        self.beam = config.beam
        self.blank = answer.vocab_size
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(dim, answer.vocab_size + 1)

    def forward(self, context: Context, targets: Mapping[str, Arrays] | None = None) -> Prediction:
        """The text's ids, its end not written; a row without tokens has an empty text.

        With ``targets`` also ``nll``, ``num_tokens`` and their ratio, ``loss``.
        """
        log_probabilities, mask = self.log_probabilities(context.tokens)
        if self.beam == 1:
            best = log_probabilities.argmax(dim=-1)
            before = F.pad(best, (1, 0), value=self.blank)[:, :-1]
            ids = _compact(best, mask=mask & (best != self.blank) & (best != before))
        else:
            ids = self._search(log_probabilities, mask)
        ids = ids[:, : self.answer.max_tokens]
        found: dict[str, Any] = {"ids": F.pad(ids, (0, self.answer.max_tokens - ids.shape[1]), value=PAD)}
        if targets:
            found["nll"], found["num_tokens"] = self.likelihood(context.tokens, target_ids(targets[TARGET]))
            found["loss"] = found["nll"] / found["num_tokens"].clamp(min=1)
        return Prediction(found)

    def losses(self, context: Context, targets: Mapping[str, Arrays]) -> dict[str, Tensor]:
        """The mean of the batch's target tokens."""
        total, num_tokens = self.likelihood(context.tokens, target_ids(targets[TARGET]))
        return {"loss": total.sum() / num_tokens.sum().clamp(min=1)}

    def weight(self, targets: Mapping[str, Arrays]) -> float:
        """The target tokens."""
        return float(targets[TARGET].mask.sum())

    def likelihood(self, tokens: Tokens, target: Tensor) -> tuple[Tensor, Tensor]:
        """``[B]`` each: a row's negative log-likelihood, and the number of its target's tokens, the end included.

        A row of fewer tokens than its text needs (one for each id, and one between equal neighbors) cannot say it,
        whatever is learned: it gives 0 and 0, so that nothing is learned from it and no mean counts it. So does a row
        without a target, which has not even an end.

        Args:
            tokens: what the encoder gave.
            target: int64 ``[B, T]``, padded with ``PAD``; ids that end a text are left out.
        """
        log_probabilities, mask = self.log_probabilities(tokens)
        lengths, num_tokens = mask.sum(dim=1), (target != PAD).sum(dim=1)
        written = target != PAD
        for end in self.answer.ends:
            written &= target != end
        ids, num_ids = _compact(target, mask=written), written.sum(dim=1)
        doubled = (ids[:, 1:] == ids[:, :-1]) & (ids[:, 1:] != PAD)
        possible = (num_tokens > 0) & (num_ids + doubled.sum(dim=1) <= lengths)
        loss = F.ctc_loss(
            log_probabilities.transpose(0, 1),
            ids.clamp(min=0),
            lengths,
            num_ids,
            blank=self.blank,
            reduction="none",
            zero_infinity=True,
        )
        return loss.where(possible, 0.0), num_tokens.where(possible, 0).to(loss.dtype)

    def log_probabilities(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """``[B, L', V + 1]`` float32 of each row's real tokens, side by side from the left, and their mask."""
        packed = tokens.packed()
        logits = self.linear(self.dropout(self.norm(packed.values)))
        return logits.float().log_softmax(dim=-1), packed.mask

    def _search(self, log_probabilities: Tensor, mask: Tensor) -> Tensor:
        rows = zip(log_probabilities.detach().exp().cpu().numpy(), mask.sum(dim=1).tolist(), strict=True)
        texts = [prefix_beam_search(row[:length], blank=self.blank, beam=self.beam) for row, length in rows]
        ids = [torch.tensor(text, dtype=torch.int64) for text in texts]
        return nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=PAD).to(log_probabilities.device)


def target_ids(target: Arrays) -> Tensor:
    """int64 ``[B, T]``: the ids of the texts to write, ``PAD`` behind their end."""
    return target.values.masked_fill(~target.mask, PAD)


def _compact(ids: Tensor, *, mask: Tensor) -> Tensor:
    """``ids`` [B, L] where ``mask`` is True, side by side from the left; ``PAD`` after them."""
    return ids.masked_fill(~mask, PAD).gather(1, torch.argsort(~mask, dim=1, stable=True))


_Prefix = tuple[int, ...]


def prefix_beam_search(probabilities: NDArray[np.floating], *, blank: int, beam: int) -> list[int]:
    """Ids of the best text found, without blanks.

    Each prefix keeps the probability of its spellings that end in a blank apart from those that end in its last id,
    which must not be written twice without a blank between (Hannun et al. 2014). Of a frame only the ids are read that
    can matter: the ``beam + 1`` most probable ones, and those that lead from one kept prefix to another.

    Args:
        probabilities: ``[L, V + 1]`` of the frames of one row, L may be 0.
        blank: the place of the blank.
        beam: prefixes that are kept after each frame.
    """
    likely = np.argsort(-np.delete(probabilities, blank, axis=1), axis=1, kind="stable")[:, : beam + 1]
    likely += likely >= blank  # back to the numbers before the blank was left out
    kept: dict[_Prefix, tuple[float, float]] = {(): (1.0, 0.0)}
    for frame, best in zip(probabilities.astype(np.float64), likely.tolist(), strict=True):
        grown = _grow(kept, frame.tolist(), blank=blank, ids={*best, *(prefix[-1] for prefix in kept if prefix)})
        ranked = sorted(grown.items(), key=lambda item: -sum(item[1]))[:beam]
        scale = sum(ranked[0][1]) or 1.0  # only ratios matter, and products of many frames would vanish
        kept = {prefix: (ends_blank / scale, ends_id / scale) for prefix, (ends_blank, ends_id) in ranked}
    return list(next(iter(kept)))  # they stand in order, the best first


def _grow(
    kept: dict[_Prefix, tuple[float, float]], frame: list[float], *, blank: int, ids: set[int]
) -> dict[_Prefix, tuple[float, float]]:
    """Every prefix that one more frame can give, with its two probabilities."""
    grown: dict[_Prefix, tuple[float, float]] = {}

    def add(prefix: _Prefix, *, ends_blank: float = 0.0, ends_id: float = 0.0) -> None:
        before = grown.get(prefix, (0.0, 0.0))
        grown[prefix] = before[0] + ends_blank, before[1] + ends_id

    for prefix, (ends_blank, ends_id) in kept.items():
        either = ends_blank + ends_id
        last = prefix[-1] if prefix else None
        add(prefix, ends_blank=either * frame[blank])
        for token in ids:
            if token == last:
                add(prefix, ends_id=ends_id * frame[token])
                add((*prefix, token), ends_id=ends_blank * frame[token])
            else:
                add((*prefix, token), ends_id=either * frame[token])
    return grown
