"""What completions and chat share: settings from a request, jobs begun, and events that stream."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from tonggan.errors import TongganError
from tonggan.language.prompt import Piece
from tonggan.language.settings import GenerationConfig
from tonggan.serving.config import MAX_LOGPROBS
from tonggan.serving.context import Context, unless_left
from tonggan.serving.cut import Cut
from tonggan.serving.delivery import Delivery
from tonggan.serving.failures import RefusedError, failure_of
from tonggan.serving.replies import usage
from tonggan.serving.requests import ChatRequest, CompletionRequest
from tonggan.serving.services import TextService

_logger = logging.getLogger(__name__)
_SEEDS = 2**63


def settings_of(body: CompletionRequest | ChatRequest, **more: Any) -> list[GenerationConfig]:
    """Settings of each of the ``n`` texts that continue one prompt: the same but for the seed.

    Raises:
        ConfigError: they do not go together.
    """
    # Without a seed no two answers are alike, as with OpenAI; an operating system's random number is one nobody keeps.
    seed = secrets.randbits(62) if body.seed is None else body.seed
    settings = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": max(0, body.top_k),
        "min_p": body.min_p,
        "repetition_penalty": body.repetition_penalty,
        "regex": body.regex,
        "stop": [body.stop] if isinstance(body.stop, str) else list(body.stop),
        **more,
    }
    first = GenerationConfig.parse({**settings, "seed": seed % _SEEDS}, who="request")
    return [first.model_copy(update={"seed": (seed + number) % _SEEDS}) for number in range(body.n)]


def require_few_logprobs(count: int, *, param: str) -> None:
    """Nothing, where an answer with ``count`` log-probabilities can be held.

    Raises:
        RefusedError: they are too many.
    """
    if count > MAX_LOGPROBS:
        raise RefusedError(
            param,
            got=f"up to {count:,} log-probabilities, of all texts, tokens and candidates",
            expected=f"at most {MAX_LOGPROBS:,} in an answer",
            remedy="Ask for fewer texts, fewer candidates or a smaller max_tokens",
            param=param,
        )


async def begin(
    context: Context,
    texts: TextService,
    request: Any,
    *,
    prompts: Sequence[Any],
    settings: Sequence[GenerationConfig],
    cuts: Sequence[Cut] | None = None,
) -> Delivery:
    """Jobs for each prompt with each of ``settings``; their number is that of the prompt times their count, and on.

    ``cuts`` are those of the jobs, where their texts need any.

    Raises:
        TongganError: they cannot be taken.
    """
    delivery = Delivery(
        [prompt for prompt in prompts for _ in settings],
        settings=[each for _ in prompts for each in settings],
        timeout=context.config.timeout,
        cuts=cuts,
    )
    await context.begin(texts.writer, delivery, request)
    return delivery


class Tally:
    """Counts the tokens of an answer.

    Args:
        context: whose metrics are told.
        model: its name.
        prompt_tokens: read for it.
    """

    def __init__(self, context: Context, *, model: str, prompt_tokens: int) -> None:
        self._context = context
        self._model = model
        self._prompt_tokens = prompt_tokens
        self._completion_tokens = 0

    def add(self, num_tokens: int) -> None:
        """So many were written."""
        self._completion_tokens += num_tokens

    def close(self) -> dict[str, int]:
        """The answer is complete: tell the metrics, and give its ``usage``."""
        self._context.metrics.count_tokens(self._model, prompt=self._prompt_tokens, completion=self._completion_tokens)
        return usage(prompt_tokens=self._prompt_tokens, completion_tokens=self._completion_tokens)


async def events(
    request: Any,
    delivery: Delivery | None,
    *,
    opening: Sequence[dict[str, Any]],
    chunks: Callable[[int, Piece], Iterator[dict[str, Any]]],
    closing: Callable[[], Sequence[dict[str, Any]]],
    end: str = "data: [DONE]\n\n",
) -> AsyncIterator[str]:
    """Server-sent events of an answer; ``delivery`` is None for one without a text to write.

    The first piece is waited for here, so that what goes wrong until then has a status of its own.

    Args:
        request: of the client.
        delivery: of the jobs.
        opening: bodies that come first.
        chunks: bodies of the next piece of a job.
        closing: bodies that come when all jobs have ended.
        end: the last line; OpenAI's by default.

    Raises:
        TongganError: what went wrong until then.
    """
    pieces = None if delivery is None else delivery.pieces()
    first = None if pieces is None else await unless_left(request, anext(pieces))

    async def generate() -> AsyncIterator[str]:
        try:
            for body in opening:
                yield _event(body)
            if pieces is not None and first is not None:
                for body in chunks(*first):
                    yield _event(body)
                async for piece in pieces:
                    await asyncio.sleep(0)  # lets others have their turn, and this client's leaving be noticed
                    for body in chunks(*piece):
                        yield _event(body)
            for body in closing():
                yield _event(body)
            yield end
        except TongganError as error:
            yield _event(failure_of(error)[1])
        except Exception as error:
            _logger.exception("a stream failed")
            yield _event(failure_of(error)[1])

    return generate()


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
