"""``POST /infill`` and ``POST /completion`` in llama.cpp's shapes, which plugins of many editors speak."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from tonggan.language.prompt import Piece, Prompt
from tonggan.language.settings import GenerationConfig
from tonggan.serving.context import Context, unless_left
from tonggan.serving.cut import Cut
from tonggan.serving.delivery import Delivery
from tonggan.serving.description import operation
from tonggan.serving.infill_prompt import Extra, infill_prompt
from tonggan.serving.requests import InfillRequest
from tonggan.serving.services import TextService
from tonggan.serving.texts import Tally, begin, events

if TYPE_CHECKING:
    from fastapi import FastAPI

_MOST_PREDICTED = 4  # of the context, one part in so many is kept for the answer at most
_SEEDS = 2**63


def register(app: "FastAPI", context: Context) -> None:
    """Add the routes to ``app``."""
    from fastapi import Request

    @app.post("/infill", openapi_extra=operation(InfillRequest, "Infill", streams=True))
    async def infill(request: Request) -> Any:
        """Fill a gap between two texts."""
        body = await context.body(request, InfillRequest)
        name, texts = context.texts(body.model)
        texts.writer.require_room(1)
        num_tokens = _num_tokens(texts, body, context)
        room = min(context.config.max_length, texts.model.max_length) - num_tokens
        prompt = await asyncio.to_thread(_prompt, texts, body, room)
        before = (body.input_prefix + body.prompt).rpartition("\n")[2]
        cut = Cut(
            line=before,
            suffix="" if texts.infill is not None else body.input_suffix,
            indent=body.n_indent,
            seconds=body.t_max_predict_ms / 1000 if body.t_max_predict_ms > 0 else None,
        )
        answer = _Answer(body, name, context, prompt.length)
        return await _write(context, texts, answer, request, prompt=prompt, num_tokens=num_tokens, cut=cut)

    @app.post("/completion", openapi_extra=operation(InfillRequest, "Infill", streams=True))
    async def completion(request: Request) -> Any:
        """Continue a text."""
        body = await context.body(request, InfillRequest)
        name, texts = context.texts(body.model)
        texts.writer.require_room(1)
        # As llama.cpp does: clients write the control tokens of their model into the text.
        ids = await asyncio.to_thread(texts.model.encode, body.prompt or "\n", start=True, special=True)
        prompt = Prompt((torch.tensor(ids),))
        num_tokens = _num_tokens(texts, body, context)
        answer = _Answer(body, name, context, prompt.length)
        return await _write(context, texts, answer, request, prompt=prompt, num_tokens=num_tokens, cut=None)


def _num_tokens(texts: TextService, body: InfillRequest, context: Context) -> int:
    """Tokens to write at most; at least one is, so that a prompt which is only to be read gets read."""
    length: int = min(context.config.max_length, texts.model.max_length)
    most = max(1, length // _MOST_PREDICTED)
    return most if body.n_predict < 0 else min(most, max(1, body.n_predict))


def _prompt(texts: TextService, body: InfillRequest, room: int) -> Any:
    extra = [Extra(each.filename, each.text) for each in body.input_extra]
    prefix = body.input_prefix + body.prompt
    if not prefix and not extra:
        prefix = "\n"
    return infill_prompt(
        texts.model, prefix, suffix=body.input_suffix, infill=texts.infill, extra=extra, max_tokens=room
    )


def _settings(body: InfillRequest, *, num_tokens: int) -> GenerationConfig:
    given = body.model_dump(include={"temperature", "top_p", "min_p", "stop"})
    more = {"repetition_penalty": body.repeat_penalty, "top_k": max(0, body.top_k), "seed": body.seed % _SEEDS}
    return GenerationConfig.parse({**given, **more, "max_tokens": num_tokens}, who="request")


async def _write(
    context: Context,
    texts: TextService,
    answer: "_Answer",
    request: Any,
    *,
    prompt: Any,
    num_tokens: int,
    cut: Cut | None,
) -> Any:
    from fastapi.responses import StreamingResponse

    settings = [_settings(answer.body, num_tokens=num_tokens)]
    cuts = None if cut is None else [cut]
    delivery = await begin(context, texts, request, prompts=[prompt], settings=settings, cuts=cuts)
    if answer.body.stream:
        stream = await events(request, delivery, opening=[], chunks=answer.chunks, closing=answer.closing, end="")
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
    await unless_left(request, answer.collect(delivery))
    return answer.whole()


class _Answer:
    """The bodies of an answer."""

    def __init__(self, body: InfillRequest, model: str, context: Context, prompt_tokens: int) -> None:
        self.body = body
        self._tally = Tally(context, model=model, prompt_tokens=prompt_tokens)
        self._model = model
        self._prompt_tokens = prompt_tokens
        self._start = time.perf_counter()
        self._first: float | None = None
        self._text = ""
        self._num_tokens = 0
        self._finish = ""

    async def collect(self, delivery: Delivery) -> None:
        """Wait for the whole text."""
        async for _, piece in delivery.pieces():
            self._take(piece)

    def whole(self) -> dict[str, Any]:
        """All at once, of the fields that the client asks for; one inside of another gets its path for a name."""
        body = self._end(self._text)
        if not self.body.response_fields:
            return body
        return {name: value for name in self.body.response_fields for value in _of(body, name)}

    def chunks(self, _: int, piece: Piece) -> Iterator[dict[str, Any]]:
        """New text."""
        self._take(piece)
        if piece.text and self.body.n_predict != 0:
            yield {"index": 0, "content": piece.text, "stop": False}

    def closing(self) -> Sequence[dict[str, Any]]:
        """The last body, which has no text."""
        return [self._end("")]

    def _take(self, piece: Piece) -> None:
        self._first = self._first or time.perf_counter()
        self._text += piece.text
        self._num_tokens += len(piece.token_ids)
        self._tally.add(len(piece.token_ids))
        self._finish = piece.finish or self._finish

    def _end(self, content: str) -> dict[str, Any]:
        self._tally.close()
        now = time.perf_counter()
        first = self._first or now
        return {
            "index": 0,
            "content": "" if self.body.n_predict == 0 else content,
            "stop": True,
            "stop_type": "limit" if self._finish == "length" else "eos",
            "model": self._model,
            "tokens_predicted": self._num_tokens,
            "tokens_evaluated": self._prompt_tokens,
            "truncated": False,
            "timings": {
                **_timings("prompt", self._prompt_tokens, first - self._start),
                **_timings("predicted", self._num_tokens, now - first),
            },
        }


def _timings(name: str, count: int, seconds: float) -> dict[str, float]:
    return {
        f"{name}_n": count,
        f"{name}_ms": 1000 * seconds,
        f"{name}_per_token_ms": 1000 * seconds / max(1, count),
        f"{name}_per_second": count / max(seconds, 1e-9),
    }


def _of(body: dict[str, Any], path: str) -> list[Any]:
    """The value at ``a/b``, if there is one."""
    value: Any = body
    for part in path.split("/"):
        if not isinstance(value, dict) or part not in value:
            return []
        value = value[part]
    return [value]
