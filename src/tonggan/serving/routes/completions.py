"""``POST /v1/completions``: texts that go on, whole or as a stream, with the prompt in front where asked."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tonggan.language.prompt import Generation, Piece
from tonggan.serving.context import Context, json_response, unless_left
from tonggan.serving.cut import Cut
from tonggan.serving.description import operation
from tonggan.serving.failures import RefusedError
from tonggan.serving.replies import Envelope, completion_logprobs
from tonggan.serving.requests import CompletionRequest
from tonggan.serving.services import TextService
from tonggan.serving.texts import Tally, begin, events, require_few_logprobs, settings_of

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context) -> None:
    """Add the route to ``app``."""
    from fastapi import Request
    from fastapi.responses import StreamingResponse

    @app.post("/v1/completions", openapi_extra=operation(CompletionRequest, "Completion", streams=True))
    async def completions(request: Request) -> Any:
        """Continue texts."""
        body = await context.body(request, CompletionRequest)
        name, texts = context.texts(body.model)
        given = _prompts(body)
        texts.writer.require_room(len(given) * body.n)
        if body.logprobs is not None:
            texts.require_tokens("logprobs")
            most = min(max(1, body.max_tokens), context.config.max_length)
            require_few_logprobs(len(given) * body.n * most * (1 + body.logprobs), param="logprobs")
        cuts = _cuts(texts, body, given)
        settings = settings_of(body, max_tokens=max(1, body.max_tokens), logprobs=body.logprobs)
        prompts = await asyncio.to_thread(lambda: [texts.completion(each, suffix=body.suffix) for each in given])
        echoes = await _echoes(texts, body, given, prompts)
        tally = Tally(context, model=name, prompt_tokens=sum(prompt.length for prompt in prompts))
        delivery = None
        if body.max_tokens:
            delivery = await begin(context, texts, request, prompts=prompts, settings=settings, cuts=cuts)
        answer = _Answer(body, name, texts, echoes, tally)
        if body.stream:
            stream = await events(
                request, delivery, opening=answer.opening(), chunks=answer.chunks, closing=answer.closing
            )
            return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        nothing = [Generation("", [], [], "length")] * (len(given) * body.n)
        generations = nothing if delivery is None else await unless_left(request, delivery.whole())
        return await json_response(answer.whole(generations))


def _prompts(body: CompletionRequest) -> list[str | list[int]]:
    """What the request continues, one by one."""
    if isinstance(body.prompt, str):
        return [body.prompt]
    if all(isinstance(each, int) for each in body.prompt):
        return [[each for each in body.prompt if isinstance(each, int)]]
    return [each for each in body.prompt if not isinstance(each, int)]


def _cuts(texts: TextService, body: CompletionRequest, given: Sequence[str | list[int]]) -> list[Cut] | None:
    """Of each text to write, where a model that was not trained to fill in must not write on through the suffix."""
    if not body.suffix or texts.infill is not None:
        return None
    if body.logprobs is not None:
        raise RefusedError(
            "logprobs",
            got="together with suffix",
            expected="one of the two: this model has no fill-in-the-middle tokens, so its text is cut by lines",
            remedy="Leave one of them out",
            param="logprobs",
        )
    lines = [each.rpartition("\n")[2] if isinstance(each, str) else "" for each in given]
    return [Cut(line=line, suffix=body.suffix) for line in lines for _ in range(body.n)]


async def _echoes(
    texts: TextService, body: CompletionRequest, given: Sequence[str | list[int]], prompts: Sequence[Any]
) -> list[tuple[str, dict[str, Any] | None]]:
    """The text of each prompt, and its log-probabilities where asked; of nothing, where no echo is asked for."""
    if not body.echo:
        return [("", None) for _ in given]
    echoes: list[tuple[str, dict[str, Any] | None]] = []
    for each, prompt in zip(given, prompts, strict=True):
        text = each if isinstance(each, str) else b"".join(map(texts.bytes_of, each)).decode(errors="replace")
        if body.logprobs is None:
            echoes.append((text, None))
            continue
        found = await asyncio.wrap_future(texts.writer.call(partial(texts.model.log_probabilities, prompt)))
        ids, logprobs = prompt.ids, [None, *(None if math.isnan(each) else each for each in found)]
        if not texts.bytes_of(ids[0]):  # the token that opens every sequence is no part of the text
            ids, logprobs = ids[1:], logprobs[1:]
        echoes.append((text, completion_logprobs(ids, logprobs, [None] * len(ids), bytes_of=texts.bytes_of)))
    return echoes


class _Answer:
    """The bodies of an answer."""

    def __init__(
        self,
        body: CompletionRequest,
        name: str,
        texts: TextService,
        echoes: Sequence[tuple[str, dict[str, Any] | None]],
        tally: Tally,
    ) -> None:
        self._body = body
        self._texts = texts
        self._echoes = [echo for echo in echoes for _ in range(body.n)]
        self._offsets = [len(text) for text, _ in self._echoes]
        self._tally = tally
        self._envelope = Envelope("text_completion", name)
        self._with_usage = body.stream_options is not None and body.stream_options.include_usage

    def whole(self, generations: Sequence[Generation]) -> dict[str, Any]:
        """All choices at once."""
        choices = []
        for index, (generation, (text, logprobs)) in enumerate(zip(generations, self._echoes, strict=True)):
            self._tally.add(len(generation.token_ids))
            own = self._logprobs(index, generation)
            if logprobs is not None and own is not None:
                own = {name: logprobs[name] + own[name] for name in own}
            choices.append(_choice(index, text + generation.text, own, generation.finish))
        return self._envelope.wrap(choices, usage=self._tally.close())

    def opening(self) -> list[dict[str, Any]]:
        """The prompts, where the client wants them back, and the end of what nothing is to follow."""
        finish = None if self._body.max_tokens else "length"
        return [
            self._wrap(_choice(index, text, logprobs, finish))
            for index, (text, logprobs) in enumerate(self._echoes)
            if text or finish
        ]

    def chunks(self, index: int, piece: Piece) -> Iterator[dict[str, Any]]:
        """New text of a choice, and its end."""
        self._tally.add(len(piece.token_ids))
        if piece.text or piece.logprobs or piece.finish is not None:
            yield self._wrap(_choice(index, piece.text, self._logprobs(index, piece), piece.finish))
        self._offsets[index] += len(piece.text)

    def closing(self) -> list[dict[str, Any]]:
        """The usage, where the client asks for it."""
        usage = self._tally.close()
        return [self._envelope.wrap([], usage=usage)] if self._with_usage else []

    def _logprobs(self, index: int, part: Generation | Piece) -> dict[str, Any] | None:
        if self._body.logprobs is None:
            return None
        return completion_logprobs(
            [each.token_id for each in part.logprobs],
            [each.logprob for each in part.logprobs],
            [each.top for each in part.logprobs],
            bytes_of=self._texts.bytes_of,
            offset=self._offsets[index],
        )

    def _wrap(self, choice: dict[str, Any]) -> dict[str, Any]:
        return self._envelope.wrap([choice], **({"usage": None} if self._with_usage else {}))


def _choice(index: int, text: str, logprobs: dict[str, Any] | None, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}
