"""One sequence in an engine's cache that knows what it holds, so that a text which begins alike is not read again.

It chooses no token.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor

from tonggan.language.engine import Engine
from tonggan.language.prompt import Prompt

_ROW = torch.zeros(1, dtype=torch.int64)
_LEAST_CAPACITY = 512


class Context:
    """A session of one row; it grows when a text needs more room.

    What it holds is named by one key for each position: a token's id, or the bytes of an embedding.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._capacity = min(_LEAST_CAPACITY, engine.max_length)
        self._session = engine.session(1, capacity=self._capacity)
        self._keys: list[int | bytes] = []

    @torch.no_grad()
    def read(self, prompt: Prompt, *, room: int) -> Tensor:
        """The logits ``[V]`` after ``prompt``, of which only what differs from before is computed.

        Args:
            prompt: not empty.
            room: tokens that are to follow.
        """
        keys = _keys(prompt)
        if len(keys) + room > self._capacity:
            self._capacity = min(max(2 * self._capacity, len(keys) + room), self._engine.max_length)
            self._session = self._engine.session(1, capacity=self._capacity)
            self._keys = []
        # The last one is always read, for its logits are wanted.
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(self._keys, keys[:-1], strict=False))
        common = sum(1 for _ in alike)
        self.forget(common)
        values = prompt.embed(self._engine)[common:]
        mask = torch.ones(1, len(values), dtype=torch.bool, device=values.device)
        logits = self._session.prefill(values.unsqueeze(0), mask=mask, rows=_ROW)
        self._keys += keys[common:]
        return logits[0]

    @torch.no_grad()
    def step(self, ids: Sequence[int]) -> Tensor:
        """Append ``ids`` and give the logits ``[len(ids), V]`` after each."""
        logits = self._session.step(torch.tensor([list(ids)]), rows=_ROW)
        self._keys += ids
        return logits[0]

    def forget(self, length: int) -> None:
        """Keep the first ``length`` positions only."""
        del self._keys[length:]
        self._session.truncate(torch.tensor([length]), rows=_ROW)

    @property
    def length(self) -> int:
        """Positions held."""
        return len(self._keys)


def _keys(prompt: Prompt) -> list[int | bytes]:
    keys: list[int | bytes] = []
    for part in prompt.parts:
        if part.dim() == 1:
            keys += part.tolist()
        else:
            keys += [row.tobytes() for row in part.detach().float().cpu().numpy()]
    return keys
