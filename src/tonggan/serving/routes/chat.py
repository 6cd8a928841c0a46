"""``POST /v1/chat/completions``: the answer to a conversation, whole or as a stream."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tonggan.language.chat import AudioPart, ImagePart, Message, Part, TextPart
from tonggan.language.prompt import Generation, Piece
from tonggan.serving.config import ServerConfig
from tonggan.serving.context import Context, unless_left
from tonggan.serving.failures import RefusedError
from tonggan.serving.media import bytes_of_base64, bytes_of_url, check_media
from tonggan.serving.replies import Envelope, chat_logprobs
from tonggan.serving.requests import ChatMessage, ChatRequest, Content, ImageContent, TextContent
from tonggan.serving.services import TextService
from tonggan.serving.texts import Tally, begin, events, settings_of

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context) -> None:
    """Add the route to ``app``."""
    from fastapi import Request
    from fastapi.responses import StreamingResponse

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Any:
        """Answer a conversation."""
        texts = context.texts(body.model)
        texts.writer.require_room(body.n)
        if body.logprobs:
            texts.require_tokens("logprobs")
        settings = settings_of(
            body,
            max_tokens=body.max_completion_tokens or body.max_tokens or context.config.max_length,
            logprobs=body.top_logprobs if body.logprobs else None,
            json_schema=None if body.response_format is None else body.response_format.schema_of_answer,
        )
        prompt = await asyncio.to_thread(_prompt, texts, body, context.config)
        delivery = await begin(context, texts, request, prompts=[prompt], settings=settings)
        tally = Tally(context, model=body.model, prompt_tokens=prompt.length)
        if body.stream:
            answer = _Streamed(body, texts, tally)
            stream = await events(
                request, delivery, opening=answer.opening(), chunks=answer.chunks, closing=answer.closing
            )
            return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        generations = await unless_left(request, delivery.whole())
        for each in generations:
            tally.add(len(each.token_ids))
        choices = [_choice(index, each, body, texts) for index, each in enumerate(generations)]
        return Envelope("chat.completion", body.model).wrap(choices, usage=tally.close())


def _prompt(texts: TextService, body: ChatRequest, config: ServerConfig) -> Any:
    return texts.conversation(
        [_message(each, param=f"messages[{index}]", config=config) for index, each in enumerate(body.messages)]
    )


def _message(message: ChatMessage, *, param: str, config: ServerConfig) -> Message:
    role = "system" if message.role == "developer" else message.role  # OpenAI's newer name
    if isinstance(message.content, str):
        return Message(role, message.content)
    parts: list[Part] = []
    for index, content in enumerate(message.content):
        part = _part(content, param=f"{param}.content[{index}]", config=config)
        last = parts[-1] if parts else None
        if isinstance(part, TextPart) and isinstance(last, TextPart):
            parts[-1] = TextPart(last.text + part.text)  # one text in pieces, which is cut into tokens as one
        else:
            parts.append(part)
    return Message(role, tuple(parts))


def _part(content: Content, *, param: str, config: ServerConfig) -> Part:
    if isinstance(content, TextContent):
        return TextPart(content.text)
    if isinstance(content, ImageContent):
        raw = bytes_of_url(content.image_url.url, param=param)
        return ImagePart(_of_kind("image", raw, param=param, config=config))
    raw = bytes_of_base64(content.input_audio.data, param=param)
    return AudioPart(_of_kind("audio", raw, param=param, config=config))


def _of_kind(kind: str, raw: bytes, *, param: str, config: ServerConfig) -> bytes:
    found = check_media(raw, config=config, param=param)
    if found != kind:
        raise RefusedError(
            param, got=f"{found} bytes", expected=f"{kind} bytes", remedy="Send it as the part it is", param=param
        )
    return raw


def _choice(index: int, generation: Generation, body: ChatRequest, texts: TextService) -> dict[str, Any]:
    return {
        "index": index,
        "message": {"role": "assistant", "content": generation.text, "refusal": None},
        "logprobs": chat_logprobs(generation.logprobs, bytes_of=texts.bytes_of) if body.logprobs else None,
        "finish_reason": generation.finish,
    }


class _Streamed:
    """The bodies of a streamed answer."""

    def __init__(self, body: ChatRequest, texts: TextService, tally: Tally) -> None:
        self._body = body
        self._texts = texts
        self._tally = tally
        self._envelope = Envelope("chat.completion.chunk", body.model)
        self._with_usage = body.stream_options is not None and body.stream_options.include_usage

    def opening(self) -> list[dict[str, Any]]:
        """One body for each choice, which says who speaks."""
        return [self._wrap(index, {"role": "assistant", "content": ""}) for index in range(self._body.n)]

    def chunks(self, index: int, piece: Piece) -> Iterator[dict[str, Any]]:
        """New text of a choice, and its end."""
        self._tally.add(len(piece.token_ids))
        if piece.text or piece.logprobs:
            logprobs = None
            if self._body.logprobs:
                logprobs = chat_logprobs(piece.logprobs, bytes_of=self._texts.bytes_of)
            yield self._wrap(index, {"content": piece.text}, logprobs=logprobs)
        if piece.finish is not None:
            yield self._wrap(index, {}, finish=piece.finish)

    def closing(self) -> list[dict[str, Any]]:
        """The usage, where the client asks for it."""
        usage = self._tally.close()
        return [self._envelope.wrap([], usage=usage)] if self._with_usage else []

    def _wrap(
        self, index: int, delta: dict[str, Any], *, logprobs: Any = None, finish: str | None = None
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return self._envelope.wrap([choice], **({"usage": None} if self._with_usage else {}))
