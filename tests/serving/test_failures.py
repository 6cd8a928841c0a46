"""What a client is told: status and code for programs, and for people a message in the server's language."""

import pytest

from tonggan.errors import DataError, QueueFullError, TimeLimitError
from tonggan.serving.failures import RefusedError, failure_of
from tonggan.wording import LANGUAGE_VARIABLE

LIMITS = {"expected": "an answer in the time that the server allows", "remedy": "Try again in a moment"}


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (TimeLimitError("request", got="no end within 5 s", **LIMITS), 504, "timeout_error", "timeout"),
        (QueueFullError("request", got="9 texts to write", **LIMITS), 429, "rate_limit_error", "queue_full"),
        (RefusedError("model", got="no name", **LIMITS, status=404, code="x"), 404, "not_found_error", "x"),
        (DataError("prompt", got="token ids", **LIMITS), 400, "invalid_request_error", None),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_only_the_message_is_translated(monkeypatch, error, status, kind, code, language):
    monkeypatch.setenv(LANGUAGE_VARIABLE, language)
    found, body = failure_of(error)
    assert found == status
    assert (body["error"]["type"], body["error"]["code"]) == (kind, code)
    wanted = {"en": "got no |got 9 |got token ", "zh": "应为 在服务器允许的时间内得到回答。请稍后再试。"}[language]
    assert any(part in body["error"]["message"] for part in wanted.split("|"))


def test_a_fault_of_the_server_tells_no_more(monkeypatch):
    monkeypatch.setenv(LANGUAGE_VARIABLE, "zh")
    status, body = failure_of(ValueError("/home/ann/secret"))
    assert (status, body["error"]["message"]) == (500, "服务器未能回答此请求；原因见其日志。")
