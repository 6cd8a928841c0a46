"""Greedy decoding and beam search over a batch of embedded prompts; they know ids, and no text.

Beam search has the length penalty and the stopping rule of Hugging Face's default.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tonggan.language.engine import Engine, Session


@torch.no_grad()
def greedy(session: Session, values: Tensor, mask: Tensor, *, ends: Sequence[int], max_tokens: int) -> Tensor:
    """The most probable continuation, token by token, of each row.

    The rows 0 to B-1 of the session are overwritten. A row that has reached its end takes no part in further steps.

    Args:
        session: with at least B rows, and a capacity of the longest prompt and ``max_tokens`` together.
        values: ``[B, L, D]``, right-padded embeddings.
        mask: bool ``[B, L]``, True where real.
        ends: ids that end a text.
        max_tokens: at most so many tokens for each row.

    Returns:
        int64 ``[B, max_tokens]``, the end included where it was reached, -1 behind it.
    """
    rows = torch.arange(len(values))
    output = torch.full((len(values), max_tokens), -1)
    stops = torch.tensor(list(ends), dtype=torch.int64)
    session.truncate(torch.zeros_like(rows), rows=rows)
    logits = session.prefill(values, mask=mask, rows=rows)
    for position in range(max_tokens):
        ids = logits.argmax(dim=-1).cpu()
        output[rows, position] = ids
        going = ~torch.isin(ids, stops)
        rows = rows[going]
        if position + 1 == max_tokens or not len(rows):
            break
        logits = session.step(ids[going].unsqueeze(1), rows=rows)[:, -1]
    return output.to(values.device)


@torch.no_grad()
def beam_search(
    engine: Engine,
    values: Tensor,
    mask: Tensor,
    *,
    ends: Sequence[int],
    max_tokens: int,
    num_beams: int,
    length_penalty: float = 1.0,
) -> Tensor:
    """The best continuation of each row among those that ``num_beams`` parallel hypotheses lead to.

    A finished hypothesis scores its summed log-probability divided by its length, the end included, to the power of
    ``length_penalty``. A row is done when its best hypothesis, were it finished now, scores no more than the worst
    of ``num_beams`` finished ones (``early_stopping=False`` in transformers); it takes no part in further steps.

    Args:
        engine: what decodes; a session of B x ``num_beams`` rows is made.
        values: ``[B, L, D]``, right-padded embeddings.
        mask: bool ``[B, L]``, True where real.
        ends: ids that end a text.
        max_tokens: at most so many tokens for each row.
        num_beams: hypotheses that are kept of each row.
        length_penalty: above 0 favors long continuations, below 0 short ones.

    Returns:
        int64 ``[B, max_tokens]``, the end included where it was reached, -1 behind it.
    """
    batch = len(values)
    session = engine.session(batch * num_beams, capacity=values.shape[1] + max_tokens)
    rows = torch.arange(batch * num_beams).view(batch, num_beams)
    logits = session.prefill(values, mask=mask, rows=rows[:, 0])
    session.copy(rows[:, :1].expand(-1, num_beams - 1).flatten(), rows=rows[:, 1:].flatten())
    logits = logits.unsqueeze(1).expand(-1, num_beams, -1)
    stops = torch.tensor(list(ends), dtype=torch.int64, device=logits.device)
    scores = logits.new_full((batch, num_beams), -torch.inf)  # [A, beams], of the rows that are not done
    scores[:, 0] = 0  # All hypotheses begin alike, so only one of them counts.
    tokens = torch.empty(batch, num_beams, 0, dtype=torch.int64, device=logits.device)  # [A, beams, length]
    active = torch.arange(batch, device=logits.device)  # [A]
    finished = _Finished(batch, num_beams, max_tokens, device=logits.device)
    for length in range(1, max_tokens + 1):
        total = (scores.unsqueeze(-1) + logits.log_softmax(dim=-1)).flatten(1)
        # So many that num_beams of them go on even if every hypothesis ends in every way.
        best, flat = total.topk(min(max(2, 1 + len(stops)) * num_beams, total.shape[1]))
        parents, ids = flat // logits.shape[-1], flat % logits.shape[-1]
        candidates = torch.cat([_take(tokens, parents), ids.unsqueeze(-1)], dim=-1)
        ended = torch.isin(ids, stops) | (length == max_tokens)
        penalized = (best / length**length_penalty).masked_fill(~ended, -torch.inf)
        finished.add(active, penalized[:, :num_beams], candidates[:, :num_beams])
        scores, kept = best.masked_fill(ended, -torch.inf).topk(num_beams)
        going = scores[:, 0] / length**length_penalty > finished.worst(active)
        if not going.any():
            break
        active, scores, kept = active[going], scores[going], kept[going]
        tokens, parents = _take(candidates[going], kept), _take(parents[going], kept)
        rows, sources, targets = _place(rows[going.cpu()], parents.cpu())
        session.copy(sources, rows=targets)
        ids = tokens[..., -1].flatten()
        logits = session.step(ids.unsqueeze(1), rows=rows.flatten())[:, -1].view(*tokens.shape[:2], -1)
    return finished.tokens[:, 0].to(values.device)


class _Finished:
    """The best finished hypotheses of each row, sorted by score."""

    def __init__(self, batch: int, num_beams: int, max_tokens: int, *, device: torch.device) -> None:
        self.scores = torch.full((batch, num_beams), -torch.inf, device=device)
        self.tokens = torch.full((batch, num_beams, max_tokens), -1, device=device)

    def add(self, rows: Tensor, scores: Tensor, tokens: Tensor) -> None:
        """Enter ``tokens`` [A, beams, length]; scores of minus infinity are none."""
        tokens = nn.functional.pad(tokens, (0, self.tokens.shape[-1] - tokens.shape[-1]), value=-1)
        scores, kept = torch.cat([self.scores[rows], scores], dim=1).topk(self.scores.shape[1])
        self.scores[rows] = scores
        self.tokens[rows] = _take(torch.cat([self.tokens[rows], tokens], dim=1), kept)

    def worst(self, rows: Tensor) -> Tensor:
        """[A]: the least score of each row; minus infinity while there is room for more."""
        return self.scores[rows, -1]


def _take(values: Tensor, indices: Tensor) -> Tensor:
    """``values`` [A, N, ...] at the places ``indices`` [A, M] of their second dimension."""
    return values[torch.arange(len(values), device=values.device).unsqueeze(1), indices]


def _place(rows: Tensor, parents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where new hypotheses live: the first child of a parent in its row, others in rows that nobody continues.

    Args:
        rows: ``[A, beams]``, the session's row of each parent.
        parents: ``[A, beams]``, the parent of each child.

    Returns:
        The session's row of each child ``[A, beams]``, and which rows are copied to which.
    """
    placed, sources, targets = [], [], []
    for own, chosen in zip(rows.tolist(), parents.tolist(), strict=True):
        free = [row for beam, row in enumerate(own) if beam not in chosen]
        taken = set()
        for parent in chosen:
            row = own[parent]
            if parent in taken:
                sources.append(row)
                row = free.pop()
                targets.append(row)
            taken.add(parent)
            placed.append(row)
    return (
        torch.tensor(placed, dtype=torch.int64).view_as(rows),
        torch.tensor(sources, dtype=torch.int64),
        torch.tensor(targets, dtype=torch.int64),
    )
