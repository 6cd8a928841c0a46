"""Greedy decoding of a batch, as validation in training uses it. It samples nothing and knows no text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tonggan.language.engine import Session


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
