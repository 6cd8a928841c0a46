"""Greedy decoding for completion: words that are half typed are healed, and other ways branch off what is known.

It differs from ``LanguageModel.stream`` in that the text may begin inside a token, that every step remembers its
runners-up, and that a prompt is read once for all candidates and for the next key. It judges no code.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tonggan.language.context import Context
from tonggan.language.lookup import Lookup
from tonggan.language.model import LanguageModel
from tonggan.language.prompt import Prompt
from tonggan.language.tokenizer import Tokenizer

_RUNNERS_UP = 8  # tokens remembered at each place, the chosen one included


@dataclass(frozen=True)
class Draft:
    """A candidate as it was written.

    Attributes:
        text: what follows the cursor, unrepaired.
        tokens: with those that write again what was already typed.
        logprobs: of each token, natural, given all before it and what was already typed.
        ends: after how many characters of ``text`` each token ends; 0 where it writes what was typed.
        runners_up: for each token the likeliest at its place, ids and their logprobs, the best first.
        is_complete: it ended by itself, not for want of room.
    """

    text: str = ""
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    ends: tuple[int, ...] = ()
    runners_up: tuple[tuple[tuple[int, float], ...], ...] = ()
    is_complete: bool = False

    def branch(self, place: int, *, rank: int) -> Draft:
        """The beginning of another text: the tokens before ``place``, then the runner-up of ``rank`` there."""
        token, logprob = self.runners_up[place][rank]
        return Draft(
            tokens=(*self.tokens[:place], token),
            logprobs=(*self.logprobs[:place], logprob),
            runners_up=self.runners_up[: place + 1],
        )


class Decoder:
    """One model's texts after one prompt at a time.

    Args:
        model: continues.
        lookup: longest guess by n-gram speculation; 0 is none. The texts are the same.
    """

    def __init__(self, model: LanguageModel, *, lookup: int) -> None:
        self._vocabulary = _Vocabulary(model.tokenizer)
        self._context = Context(model.engine)
        self._lookup = lookup
        self._ids: list[int] = []
        self._room = 0
        self._typed = b""
        self._first = torch.empty(0)
        self._read: list[int] = []  # what the context holds after the prompt

    def begin(self, ids: Sequence[int], *, typed: str, room: int) -> None:
        """Read a prompt; what it shares with the former one's beginning is known already.

        Args:
            ids: of the prompt, not empty, without those of ``typed``.
            typed: what every text has to begin with.
            room: tokens that may follow.
        """
        if list(ids) == self._ids and room <= self._room:
            self._forget(0)
        else:
            self._ids = []  # where reading fails, nothing is known
            self._first = self._context.read(Prompt((torch.tensor(ids),)), room=room)
            self._room = room
        self._ids, self._typed, self._read = list(ids), typed.encode("utf-8", "replace"), []

    def write(
        self,
        stop: Callable[[str], int | None],
        *,
        max_tokens: int,
        cancelled: Callable[[], bool],
        start: Draft | None = None,
    ) -> Draft | None:
        """The likeliest text, token by token; None once ``cancelled`` answers True.

        Args:
            stop: given the text so far, after how many characters it ends, or None while it goes on.
            max_tokens: at most so many, what was typed included.
            cancelled: asked before each step.
            start: what the text begins with, as ``Draft.branch`` gives it.
        """
        growing = _Growing(self._vocabulary, self._typed, stop, max_tokens)
        lookup = Lookup(self._ids, max_tokens=self._lookup)
        for place, token in enumerate(start.tokens if start else ()):
            assert start is not None
            growing.append(token, start.logprobs[place], start.runners_up[place])
            lookup.append(token)
        if growing.is_over:
            return growing.draft()
        token = growing.choose(self._after(growing.tokens))
        while not growing.is_over:
            if cancelled():
                return None
            lookup.append(token)
            guesses = lookup.draft()[: max_tokens - len(growing.tokens) - 1]
            length = len(self._read) + 1
            accepted = 0
            for logits, guess in zip(self._step([token, *guesses]), [*guesses, None], strict=True):
                token = growing.choose(logits)
                if growing.is_over or token != guess:
                    break
                lookup.append(token)
                accepted += 1
            if guesses:
                self._forget(length + accepted)
                lookup.learn(drafted=len(guesses), accepted=accepted)
        return growing.draft()

    def score(self, tokens: Sequence[int], following: Sequence[int]) -> float:
        """The mean log-probability of ``following``, not empty, after the prompt and ``tokens``."""
        rows = [self._after(tokens).unsqueeze(0)]
        if len(following) > 1:
            rows.append(self._step(following[:-1]))
        logprobs = torch.cat(rows).float().log_softmax(dim=-1).cpu()
        return float(logprobs.gather(1, torch.tensor(following).unsqueeze(1)).mean())

    def _after(self, tokens: Sequence[int]) -> Tensor:
        """The logits ``[V]`` after the prompt and ``tokens``, of which only what the context does not hold is read."""
        if not tokens:
            self._forget(0)
            return self._first
        known = 0
        while known < min(len(tokens) - 1, len(self._read)) and tokens[known] == self._read[known]:
            known += 1
        self._forget(known)
        return self._step(tokens[known:])[-1]

    def _step(self, tokens: Sequence[int]) -> Tensor:
        self._read += tokens
        return self._context.step(tokens)

    def _forget(self, length: int) -> None:
        del self._read[length:]
        self._context.forget(len(self._ids) + length)


@dataclass
class _Growing:
    """A text while it is written."""

    vocabulary: _Vocabulary
    typed: bytes  # what has yet to be written again
    stop: Callable[[str], int | None]
    max_tokens: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    runners_up: list[tuple[tuple[int, float], ...]] = field(default_factory=list)
    content: bytes = b""
    end: int | None = None  # where it ends, once it does by itself
    is_over: bool = False

    def choose(self, logits: Tensor) -> int:
        """Append the likeliest token, given the logits ``[V]`` before it."""
        if self.typed:
            ids = self.vocabulary.beginning(self.typed)
            top = logits[ids.to(logits.device)].float().log_softmax(dim=-1).topk(min(_RUNNERS_UP, len(ids)))
            chosen = ids[top.indices.cpu()].tolist()
        else:
            top = logits[: self.vocabulary.size].float().log_softmax(dim=-1).topk(_RUNNERS_UP)
            chosen = top.indices.tolist()
        pairs: tuple[tuple[int, float], ...] = tuple(zip(chosen, top.values.tolist(), strict=True))
        self.append(*pairs[0], pairs)
        return pairs[0][0]

    def append(self, token: int, logprob: float, runners_up: tuple[tuple[int, float], ...]) -> None:
        """Append a token that was chosen elsewhere."""
        piece = self.vocabulary.bytes_of(token)
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.runners_up.append(runners_up)
        self.content += piece[len(self.typed) :]
        self.typed = self.typed[len(piece) :]
        text = self.text()
        # A control token ends the text whichever it is: none of them is code.
        self.end = self.stop(text) if piece else len(text)
        self.ends.append(len(text))
        self.is_over = self.end is not None or len(self.tokens) == self.max_tokens

    def text(self) -> str:
        return self.content.decode("utf-8", errors="ignore")

    def draft(self) -> Draft:
        return Draft(
            text=self.text()[: self.end],
            tokens=tuple(self.tokens),
            logprobs=tuple(self.logprobs),
            ends=tuple(self.ends),
            runners_up=tuple(self.runners_up),
            is_complete=self.end is not None,
        )


class _Vocabulary:
    """Tokens by the bytes that they begin with."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.size = tokenizer.size  # some models have logits beyond
        self.bytes_of = tokenizer.bytes_of
        pairs = sorted((tokenizer.bytes_of(id_), id_) for id_ in range(tokenizer.size) if tokenizer.bytes_of(id_))
        self._spelled = [piece for piece, _ in pairs]
        self._ids = torch.tensor([id_ for _, id_ in pairs])

    def beginning(self, typed: bytes) -> Tensor:
        """Ids of the tokens that begin with ``typed``, and of those that ``typed`` begins with."""
        first = bisect_left(self._spelled, typed)
        last = first
        while last < len(self._spelled) and self._spelled[last].startswith(typed):
            last += 1
        shorter = [bisect_left(self._spelled, typed[:length]) for length in range(1, len(typed))]
        places = [
            place
            for length, place in enumerate(shorter, start=1)
            if place < len(self._spelled) and self._spelled[place] == typed[:length]
        ]
        return torch.cat([self._ids[first:last], self._ids[places]])
