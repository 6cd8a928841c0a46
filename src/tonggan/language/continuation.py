"""One growing text: which token comes next, what of its text is safe to show, and when it is over.

Logits ``[..., V]`` are warped in Hugging Face's order: repetition penalty, temperature, top-k, top-p, min-p; what is
ruled out becomes minus infinity. No engine is known here: whoever steps one, for one text or for many, hands over
logits.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import torch
from torch import Tensor

from tonggan.language.constraint import Constraint
from tonggan.language.prompt import Finish, TokenLogprob
from tonggan.language.settings import GenerationConfig
from tonggan.language.tokenizer import Tokenizer

# Most nuclei are smaller than these: sorting all of a large vocabulary would take longer than all else here.
_NUCLEUS_SIZES = (128, 4096)
_LED_TOKENS = 128
"""Before the limit, from which on a text under a grammar takes the shortest way to its end."""


def penalize_repetition(logits: Tensor, seen: Tensor, *, penalty: float) -> Tensor:
    """Divide the positive logits of tokens in ``seen`` (bool, as ``logits``) by ``penalty``, multiply the negative."""
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Rule out all but the ``k`` greatest, and what equals the least of them."""
    least = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Rule out all but the fewest most probable tokens that together hold ``p``, and what equals the least of them."""
    probabilities = logits.softmax(dim=-1)
    size = logits.shape[-1]
    for count in (*_NUCLEUS_SIZES, size):
        top = probabilities.topk(min(count, size)).values
        before = top.cumsum(dim=-1) - top
        if bool((before[..., -1] >= p).all()):
            break
    left_out = before >= p
    left_out[..., 0] = False
    least = top.masked_fill(left_out, torch.inf).amin(dim=-1, keepdim=True)
    return logits.masked_fill(probabilities < least, -torch.inf)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Rule out tokens less probable than ``p`` times the most probable."""
    probabilities = logits.softmax(dim=-1)
    return logits.masked_fill(probabilities < p * probabilities.amax(dim=-1, keepdim=True), -torch.inf)


def warp(logits: Tensor, settings: GenerationConfig) -> Tensor:
    """Logits of the distribution to draw from; ``settings.temperature`` is above 0."""
    logits = logits / settings.temperature
    if settings.top_k:
        logits = keep_top_k(logits, settings.top_k)
    if settings.top_p < 1:
        logits = keep_top_p(logits, settings.top_p)
    if settings.min_p:
        logits = keep_min_p(logits, settings.min_p)
    return logits


def draw(logits: Tensor, generator: torch.Generator) -> int:
    """One token from ``logits`` ``[V]``, by one uniform number and the inverse of the cumulative distribution.

    So the draw hardly depends on the last bits of the logits, which differ between one row and a batch of them.
    """
    cumulative = logits.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
    uniform = torch.rand((), generator=generator, dtype=torch.float64)
    return int(torch.searchsorted(cumulative, uniform * cumulative[-1], right=True).clamp(max=len(logits) - 1))


class Continuation:
    """The text that continues one prompt.

    Args:
        prompt_ids: the prompt's token ids, -1 where it is no text.
        settings: how to choose; ``num_beams`` is not its matter.
        tokenizer: the model's.
        max_tokens: at most so many, the context's limit included.

    Attributes:
        tokens: chosen so far, the end included once it is reached.
        logprobs: of each token, where the settings ask for them.
        finished: None while it goes on, ``stop`` after an end, a stop string or a complete constraint, ``length`` else.

    Raises:
        ConfigError: the settings' regular expression or JSON schema cannot be enforced.
    """

    def __init__(
        self, prompt_ids: Sequence[int], settings: GenerationConfig, tokenizer: Tokenizer, *, max_tokens: int
    ) -> None:
        self.tokens: list[int] = []
        self.logprobs: list[TokenLogprob] = []
        self.finished: Finish | None = None
        self._settings = settings
        self._tokenizer = tokenizer
        self._max_tokens = min(max_tokens, settings.max_tokens)
        self._seen = {token for token in prompt_ids if token >= 0}
        self._generator = torch.Generator().manual_seed(settings.seed)
        constrained = any(each is not None for each in (settings.regex, settings.json_schema, settings.grammar))
        constraint = Constraint(settings, tokenizer) if constrained else None
        self._constraint = constraint if settings.trigger is None else None
        self._trigger = None if settings.trigger is None else _Trigger(settings.trigger, constraint, tokenizer)
        self._text = SafeText(settings.stop)

    def choose(self, logits: Tensor) -> int:
        """Append the next token, given the logits ``[V]`` that follow the last one."""
        assert self.finished is None, "a finished text chooses nothing"
        processed = logits
        if self._constraint is not None:
            left = self._max_tokens - len(self.tokens)
            ends_soon = self._settings.grammar is not None and left <= min(_LED_TOKENS, self._max_tokens // 2)
            processed = _rule_out(logits, self._constraint.closing() if ends_soon else self._constraint.allowed())
        if self._settings.repetition_penalty != 1:
            seen = torch.zeros(logits.shape, dtype=torch.bool)
            seen[list(self._seen)] = True
            penalty = self._settings.repetition_penalty
            processed = penalize_repetition(processed, seen.to(logits.device), penalty=penalty)
        if self._settings.temperature > 0:
            token = draw(warp(processed.float().cpu(), self._settings), self._generator)
        else:
            token = int(processed.argmax())
        if self._settings.logprobs is not None:
            self.logprobs.append(_logprob(logits, token, num_top=self._settings.logprobs))
        self.append(token)
        return token

    def append(self, token: int) -> None:
        """Append a token that was chosen elsewhere, as by a beam search."""
        self.tokens.append(token)
        self._seen.add(token)
        if self._constraint is not None:
            self._constraint.accept(token)
        if token in self._tokenizer.ends:
            self.finished = "stop"
        else:
            content = self._tokenizer.bytes_of(token)
            if self._trigger is not None and self._constraint is None:
                content = content or self._trigger.named(token)
                self._constraint = self._trigger.feed(content)
            self._text.append(content)
            complete = self._constraint is not None and self._constraint.is_complete
            if self._text.is_stopped or complete:
                self.finished = "stop"
            elif len(self.tokens) == self._max_tokens:
                self.finished = "length"
        if self.finished is not None:
            self._text.close()

    def take_text(self) -> str:
        """The text since the last call that will not change: no half character, nothing that may become a stop."""
        return self._text.take()


class _Trigger:
    """Waits for the text after which a constraint holds.

    Args:
        text: of one control token, or plain.
        constraint: that holds then.
        tokenizer: the model's.
    """

    def __init__(self, text: str, constraint: Constraint | None, tokenizer: Tokenizer) -> None:
        self._text = text.encode()
        self._constraint = constraint
        self._tokenizer = tokenizer
        self._ids = tokenizer.encode(text, special=True)
        self._seen = b""

    def named(self, token: int) -> bytes:
        """The text, where ``token`` is a control token that stands for it."""
        return self._text if [token] == self._ids else b""

    def feed(self, content: bytes) -> Constraint | None:
        """The constraint, once the text is there; what the last token writes beyond it is part of the grammar's."""
        before, found, after = (self._seen + content).partition(self._text)
        self._seen = before[-len(self._text) :]
        if not found or self._constraint is None:
            return None
        for token in self._tokenizer.encode(after.decode("utf-8", "ignore")):
            if self._constraint.is_complete or not bool(self._constraint.allowed()[token]):
                self._constraint = None  # It was something else after all.
                return None
            self._constraint.accept(token)
        return self._constraint


class SafeText:
    """Bytes in, text out, cut before the first of the stop strings."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.is_stopped = False
        self._stops = stops
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._ready = ""
        self._held = ""

    def append(self, content: bytes) -> None:
        self._read(self._decoder.decode(content))

    def close(self) -> None:
        """No more comes: what was held back is text after all, half a character becomes U+FFFD."""
        if not self.is_stopped:
            self._read(self._decoder.decode(b"", final=True))
        self._ready += self._held
        self._held = ""

    def take(self) -> str:
        text, self._ready = self._ready, ""
        return text

    def _read(self, text: str) -> None:
        text = self._held + text
        found = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if found:  # The one that is complete first counts, however the text was cut into tokens.
            self.is_stopped = True
            self._ready += text[: min(found)[1]]
            self._held = ""
            return
        safe = len(text) - self._undecided(text)
        self._ready += text[:safe]
        self._held = text[safe:]

    def _undecided(self, text: str) -> int:
        """How many characters at the end of ``text`` may become a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0


def _rule_out(logits: Tensor, allowed: Tensor) -> Tensor:
    """``logits`` [V] with minus infinity where ``allowed`` [at most V] is False, and where it says nothing."""
    result = torch.full_like(logits, -torch.inf)
    size = len(allowed)
    result[:size] = logits[:size].masked_fill(~allowed.to(logits.device), -torch.inf)
    return result


def _logprob(logits: Tensor, token: int, *, num_top: int) -> TokenLogprob:
    logprobs = logits.float().log_softmax(dim=-1)
    top = logprobs.topk(num_top)
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return TokenLogprob(token, float(logprobs[token]), tuple(pairs))
