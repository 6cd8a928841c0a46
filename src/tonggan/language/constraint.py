"""Texts that must match a regular expression or a JSON schema: which tokens may come next, by llguidance.

It sees the tokenizer's bytes only; choosing among the allowed tokens is the sampler's matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tonggan.errors import ConfigError, MissingExtraError
from tonggan.language.settings import GenerationConfig
from tonggan.language.tokenizer import Tokenizer

_MAX_LENGTH = 50_000
"""Of an expression that is written out, in characters and classes."""
_REGEX_PARTS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(?P<count>\d{1,9})(?:,(?P<most>\d{1,9})?)?\}|.", re.DOTALL)


class Constraint:
    """Follows one growing text.

    Raises:
        ConfigError: the expression or the schema is wrong, or asks for what cannot be enforced; ``allowed`` and
            ``accept`` raise it where it grows too large to follow.
        MissingExtraError: llguidance is not installed.
    """

    def __init__(self, settings: GenerationConfig, tokenizer: Tokenizer) -> None:
        library = _llguidance()
        vocabulary = _vocabulary(tokenizer)
        self._size = tokenizer.size
        if settings.regex is not None:
            self._who, self._given = "regex", repr(settings.regex)
            self._check_size(settings.regex)
            grammar = library.LLMatcher.grammar_from_regex(settings.regex)
        elif settings.grammar is not None:
            self._who, self._given = "grammar", settings.grammar
            grammar = library.LLMatcher.grammar_from_lark(settings.grammar)
        else:
            self._who, self._given = "json_schema", json.dumps(settings.json_schema, ensure_ascii=False)
            for pattern in _patterns(settings.json_schema):
                self._check_size(pattern)
            # One space after commas and colons: a small model may else write white space for ever.
            layout = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
            grammar = library.LLMatcher.grammar_from_json_schema(settings.json_schema, overrides=layout)
        self._matcher = library.LLMatcher(vocabulary, grammar, log_level=0)
        self._tokenizer = tokenizer
        self._check()

    @property
    def is_complete(self) -> bool:
        """Whether nothing but an end may follow."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> Tensor:
        """Which tokens may come next, bool ``[tokenizer.size]``."""
        allowed = bytearray(self._matcher.compute_logit_bias())
        self._check()
        return torch.frombuffer(allowed, dtype=torch.uint8)[: self._size].bool()

    def closing(self) -> Tensor:
        """Of the allowed tokens those that lead to an end soonest, as far as one step tells."""
        allowed = self.allowed()
        for some in _closers(self._tokenizer):
            if bool((kept := allowed & some).any()):
                return kept
        return allowed

    def accept(self, token: int) -> None:
        """``token``, one of the allowed, has been chosen."""
        self._matcher.consume_token(token)
        self._check()

    def _check_size(self, expression: str) -> None:
        """Repetitions inside of repetitions multiply; the library counts them only while it is at it for seconds."""
        if (size := _expanded_length(expression)) > _MAX_LENGTH:
            raise ConfigError(
                self._who,
                got=f"'{expression[:80]}', written out {size:,} characters or more",
                expected=f"at most {_MAX_LENGTH:,}",
                remedy=f"Repeat less in the {self._who}",
            )

    def _check(self) -> None:
        """What is wrong shows at the beginning; what is too large to follow may show later."""
        if self._matcher.is_error():
            reason = " ".join(self._matcher.get_error().split())
            raise ConfigError(
                self._who,
                got=f"{self._given} ({reason})",
                expected=f"a {self._who} that can be enforced",
                remedy=f"Correct or simplify the {self._who}",
            )


def check_schema(schema: dict[str, Any], *, who: str) -> None:
    """Nothing, where a JSON schema can be enforced.

    Raises:
        ConfigError: it cannot; ``who`` it is of is named.
        MissingExtraError: llguidance is not installed.
    """
    matcher = _llguidance().LLMatcher
    longest = max(map(_expanded_length, _patterns(schema)), default=0)
    reason = f"an expression of {longest:,} characters" if longest > _MAX_LENGTH else ""
    try:
        reason = reason or matcher.validate_grammar(matcher.grammar_from_json_schema(schema))
    except (ValueError, TypeError) as error:
        reason = str(error)
    if reason:
        raise ConfigError(
            who,
            got=f"{json.dumps(schema, ensure_ascii=False)} ({' '.join(reason.split())})",
            expected="a json_schema that can be enforced",
            remedy="Correct or simplify the json_schema",
        )


def _expanded_length(expression: str) -> int:
    """How many characters and classes an expression has with its counted repetitions written out."""
    sizes, last = [0], 0
    for match in _REGEX_PARTS.finditer(expression):
        part = match[0]
        if part == "(":
            sizes.append(0)
            last = 0
        elif part == ")" and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif match["count"]:
            times = max(1, int(match["most"] or match["count"]))
            sizes[-1] += last * (times - 1)
            last *= times
        else:
            last = 1
            sizes[-1] += 1
    return sum(sizes)


def _patterns(schema: Any) -> Iterator[str]:
    """All expressions inside of a JSON schema."""
    rest = [schema]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if isinstance(value.get("pattern"), str):
                yield value["pattern"]
            if isinstance(value.get("patternProperties"), dict):
                yield from value["patternProperties"]
            rest += value.values()
        elif isinstance(value, list):
            rest += value


class _Bytes:
    """A vocabulary as llguidance asks for it, with an end behind it that serves where it has none of its own."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokens = [*(tokenizer.bytes_of(token) for token in range(tokenizer.size)), b""]
        self.special_token_ids = [token for token, content in enumerate(self.tokens) if not content]
        self.ends = list(tokenizer.ends) or [tokenizer.size]
        self.eos_token_id = self.ends[0]
        self.bos_token_id = tokenizer.start
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)


@lru_cache(maxsize=4)
def _closers(tokenizer: Tokenizer) -> tuple[Tensor, ...]:
    """Ends of the text, then tokens that begin with what ends a string, a list or an object, then with a comma."""
    pieces = [tokenizer.bytes_of(token) for token in range(tokenizer.size)]
    ends = torch.zeros(len(pieces), dtype=torch.bool)
    ends[list(tokenizer.ends)] = True
    kinds = (b'"', b"}", b"]"), (b",",)
    return ends, *(torch.tensor([piece.startswith(kind) for piece in pieces]) for kind in kinds)


@lru_cache(maxsize=4)  # Building the tree of a vocabulary takes longer than many a text.
def _vocabulary(tokenizer: Tokenizer) -> Any:
    vocabulary = _Bytes(tokenizer)
    return _llguidance().LLTokenizer(vocabulary, n_vocab=len(vocabulary.tokens), eos_token=vocabulary.ends)


def _llguidance() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise MissingExtraError.of("llguidance", extra="language", purpose="text under a constraint") from error
    return llguidance
