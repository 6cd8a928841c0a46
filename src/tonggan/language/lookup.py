"""N-gram speculation: guess the next tokens by what followed the last ones earlier in the context (Saxena 2023).

Guesses are only guesses. Whoever asks verifies them with the model, so a text never changes by them.
"""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST = 5  # tokens of context that a guess looks for, at most and at least
_SHORTEST = 2
_LONGEST_PAUSE = 31  # steps


class Lookup:
    """Drafts for one growing text.

    Drafts get longer while they prove right, and pause for ever more steps while they are all wrong, so that text
    without repetition costs hardly more than without drafts.

    Args:
        ids: the prompt's tokens, -1 where it is no text.
        max_tokens: longest draft; 0 is none at all.
    """

    def __init__(self, ids: Sequence[int], *, max_tokens: int) -> None:
        self._ids: list[int] = []
        self._next: dict[tuple[int, ...], int] = {}  # where the token after the last occurrence of an n-gram stands
        self._max_tokens = max_tokens
        self._length = min(2, max_tokens)
        self._failures = 0  # drafts in a row of which nothing was right
        self._wait = 0  # steps without a draft that are still to come
        for id_ in ids:
            self.append(id_)

    def append(self, id_: int) -> None:
        """The text has grown by one token."""
        if not self._max_tokens:
            return
        end = len(self._ids)
        for size in range(_SHORTEST, min(_LONGEST, end) + 1):
            self._next[tuple(self._ids[end - size :])] = end
        self._ids.append(id_)

    def draft(self) -> list[int]:
        """Tokens that may come next; none where there is no guess, or where guesses were of no use lately."""
        if self._wait:
            self._wait -= 1
            return []
        for size in range(min(_LONGEST, len(self._ids)), _SHORTEST - 1, -1):
            start = self._next.get(tuple(self._ids[-size:]))
            if start is not None:
                return self._copy(start)
        return []

    def learn(self, *, drafted: int, accepted: int) -> None:
        """Of a draft of so many tokens, so many were right."""
        if accepted:
            self._failures = 0
            self._length = min(self._max_tokens, 2 * self._length if accepted == drafted else accepted + 1)
        else:
            self._wait = min(_LONGEST_PAUSE, 2**self._failures - 1)
            self._failures += 1
            self._length = max(1, self._length // 2)

    def _copy(self, start: int) -> list[int]:
        """What follows from ``start`` on; a repetition that reaches the end goes on repeating."""
        period = len(self._ids) - start
        copied = [self._ids[start + offset % period] for offset in range(self._length)]
        return copied[: copied.index(-1)] if -1 in copied else copied
