"""Errors as an HTTP client meets them: a status, and a body in OpenAI's shape. It catches nothing itself.

Messages are in the language that the server speaks; what programs go by (status, type, code) is not translated.
"""

from __future__ import annotations

from typing import Any

from tonggan.errors import DataError, QueueFullError, TimeLimitError, TongganError
from tonggan.wording import in_words, translated

_STATUS: tuple[tuple[type[TongganError], int, str], ...] = (
    (QueueFullError, 429, "queue_full"),
    (TimeLimitError, 504, "timeout"),
)


class RefusedError(DataError):
    """A request that cannot be answered as it stands.

    Args:
        status: of the response.
        param: the parameter at fault, where it is one.
        code: a word for programs, one of OpenAI's where they have one.
    """

    def __init__(
        self,
        who: str,
        *,
        got: str,
        expected: str,
        remedy: str,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(who, got=got, expected=expected, remedy=remedy)
        self.status = status
        self.param = param
        self.code = code


def failure_of(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body of the response to a request that failed with ``error``.

    What is no ``TongganError`` is a fault of the server: the client learns that it happened and nothing else.
    """
    if isinstance(error, RefusedError):
        return error.status, error_body(in_words(error), status=error.status, param=error.param, code=error.code)
    if isinstance(error, TongganError):
        for kind, status, code in _STATUS:
            if isinstance(error, kind):
                return status, error_body(in_words(error), status=status, code=code)
        return 400, error_body(in_words(error), status=400)
    return 500, error_body(translated("The server failed to answer this request; its log says why."), status=500)


def error_body(message: str, *, status: int, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """``{"error": {...}}`` as OpenAI's clients read it."""
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 504: "timeout_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
