"""What a client gets: the bodies of answers in OpenAI's shapes, whole and in pieces. Dictionaries, nothing else."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tonggan.language.prompt import TokenLogprob

Bytes = Callable[[int], bytes]
"""The bytes that a token id stands for."""


@dataclass(frozen=True)
class Envelope:
    """What all parts of one answer share.

    Attributes:
        kind: ``chat.completion`` or ``text_completion``.
        model: its name.
        id: of the answer.
        created: seconds since 1970.
    """

    kind: str
    model: str
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        prefix = "chatcmpl" if self.kind.startswith("chat") else "cmpl"
        object.__setattr__(self, "id", self.id or f"{prefix}-{secrets.token_hex(12)}")

    def wrap(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """A body with ``choices``."""
        return {
            "id": self.id, "object": self.kind, "created": self.created, "model": self.model, "choices": choices, **more
        }  # fmt: skip


def usage(*, prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """How many tokens an answer took."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def chat_logprobs(logprobs: Sequence[TokenLogprob], *, bytes_of: Bytes) -> dict[str, Any]:
    """Log-probabilities as chat has them: for every token its text, its bytes and the likeliest in its place."""
    return {
        "content": [
            _token(each.token_id, each.logprob, bytes_of)
            | {"top_logprobs": [_token(id_, logprob, bytes_of) for id_, logprob in each.top]}
            for each in logprobs
        ]
    }


def _token(id_: int, logprob: float, bytes_of: Bytes) -> dict[str, Any]:
    raw = bytes_of(id_)
    return {"token": raw.decode(errors="replace"), "logprob": logprob, "bytes": list(raw)}


def completion_logprobs(
    ids: Sequence[int],
    logprobs: Sequence[float | None],
    top: Sequence[Sequence[tuple[int, float]] | None],
    *,
    bytes_of: Bytes,
    offset: int = 0,
) -> dict[str, Any]:
    """Log-probabilities as completions have them: four lists side by side, offsets counted in characters."""
    raw = [bytes_of(id_) for id_ in ids]
    ends = [offset]
    content = b""
    for each in raw:
        content += each
        ends.append(offset + len(content.decode(errors="ignore")))
    return {
        "tokens": [each.decode(errors="replace") for each in raw],
        "token_logprobs": list(logprobs),
        "top_logprobs": [
            None if each is None else {bytes_of(id_).decode(errors="replace"): logprob for id_, logprob in each}
            for each in top
        ],
        "text_offset": ends[:-1],
    }
