"""``POST /v1/chat/completions``: the answer to a conversation, whole or as a stream."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tonggan.language.chat import AudioPart, ImagePart, Message, Part, TextPart
from tonggan.language.prompt import Generation, Piece
from tonggan.language.tools import merged
from tonggan.serving.config import MAX_INTEGER, ServerConfig
from tonggan.serving.context import Context, json_response, unless_left
from tonggan.serving.description import operation
from tonggan.serving.failures import RefusedError
from tonggan.serving.media import MediaLimits, bytes_of_base64, bytes_of_url
from tonggan.serving.replies import Envelope, chat_logprobs
from tonggan.serving.requests import ChatMessage, ChatRequest, Content, ImageContent, TextContent
from tonggan.serving.services import TextService
from tonggan.serving.texts import Tally, begin, events, require_few_logprobs, settings_of
from tonggan.serving.tool_bodies import Calling, require_call_form

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context) -> None:
    """Add the route to ``app``."""
    from fastapi import Request
    from fastapi.responses import StreamingResponse

    @app.post("/v1/chat/completions", openapi_extra=operation(ChatRequest, "ChatCompletion", streams=True))
    async def chat(request: Request) -> Any:
        """Answer a conversation."""
        body = await context.body(request, ChatRequest)
        name, texts = context.texts(body.model)
        most = min(body.max_completion_tokens or body.max_tokens or MAX_INTEGER, context.config.max_length)
        texts.writer.require_room(body.n)
        if body.logprobs:
            texts.require_tokens("logprobs")
            require_few_logprobs(body.n * most * (1 + body.top_logprobs), param="top_logprobs")
        calling = await context.decode(_calling, texts, body, name)
        settings = settings_of(
            body,
            max_tokens=most,
            logprobs=body.top_logprobs if body.logprobs else None,
            json_schema=None if body.response_format is None else body.response_format.schema_of_answer,
            grammar=None if calling is None else calling.grammar,
            trigger=None if calling is None else calling.trigger,
        )
        prompt = await context.decode(_prompt, texts, body, context.config, calling)
        delivery = await begin(context, texts, request, prompts=[prompt], settings=settings)
        tally = Tally(context, model=name, prompt_tokens=prompt.length)
        if body.stream:
            answer = _Streamed(body, name, texts, tally, calling)
            stream = await events(
                request, delivery, opening=answer.opening(), chunks=answer.chunks, closing=answer.closing
            )
            return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        generations = await unless_left(request, delivery.whole())
        for each in generations:
            tally.add(len(each.token_ids))
        choices = [_choice(index, each, body, texts, calling) for index, each in enumerate(generations)]
        return await json_response(Envelope("chat.completion", name).wrap(choices, usage=tally.close()))


def _calling(texts: TextService, body: ChatRequest, name: str) -> Calling | None:
    """How the answer may call functions; None where it may not."""
    tools = body.callable_tools
    if not tools and not any(message.tool_calls for message in body.messages):
        return None
    form = require_call_form(texts.call_form, model=name)
    return Calling(form, tools, choice=body.tool_choice, many=body.parallel_tool_calls) if tools else None


def _prompt(texts: TextService, body: ChatRequest, config: ServerConfig, calling: Calling | None) -> Any:
    media = MediaLimits(config)
    messages = []
    asked: set[str] = set()
    for index, each in enumerate(body.messages):
        messages.append(_message(each, param=f"messages[{index}]", media=media))
        if each.role == "tool" and each.tool_call_id is not None and asked and each.tool_call_id not in asked:
            raise RefusedError(
                f"messages[{index}].tool_call_id", got=f"'{each.tool_call_id}'", expected="the id of a call before it",
                remedy="Send the message of the assistant that made the call as well",
                param=f"messages[{index}].tool_call_id",
            )  # fmt: skip
        asked |= {call.id for call in each.tool_calls}
    if calling is None:
        return texts.conversation(messages)
    tools = [each.function.tool for each in body.tools]
    return texts.conversation(messages, tools=tools, begun=calling.begun)


def _message(message: ChatMessage, *, param: str, media: MediaLimits) -> Message:
    role = "system" if message.role == "developer" else message.role  # OpenAI's newer name
    calls = tuple(each.call(param=f"{param}.tool_calls[{number}]") for number, each in enumerate(message.tool_calls))
    if isinstance(message.content, str):
        return Message(role, message.content, calls, message.tool_call_id or "")
    parts: list[Part] = []
    for index, content in enumerate(message.content):
        part = _part(content, param=f"{param}.content[{index}]", media=media)
        last = parts[-1] if parts else None
        if isinstance(part, TextPart) and isinstance(last, TextPart):
            parts[-1] = TextPart(last.text + part.text)  # one text in pieces, which is cut into tokens as one
        else:
            parts.append(part)
    return Message(role, tuple(parts) or "", calls, message.tool_call_id or "")


def _part(content: Content, *, param: str, media: MediaLimits) -> Part:
    if isinstance(content, TextContent):
        return TextPart(content.text)
    if isinstance(content, ImageContent):
        raw = bytes_of_url(content.image_url.url, param=param)
        return ImagePart(_of_kind("image", raw, param=param, media=media))
    raw = bytes_of_base64(content.input_audio.data, param=param)
    return AudioPart(_of_kind("audio", raw, param=param, media=media))


def _of_kind(kind: str, raw: bytes, *, param: str, media: MediaLimits) -> bytes:
    found = media.check(raw, param=param)
    if found != kind:
        raise RefusedError(
            param, got=f"{found} bytes", expected=f"{kind} bytes", remedy="Send it as the part it is", param=param
        )
    return raw


def _choice(
    index: int, generation: Generation, body: ChatRequest, texts: TextService, calling: Calling | None
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": generation.text, "refusal": None}
    finish: str = generation.finish
    if calling is not None:
        content, calls = merged(calling.reader().feed(generation.text, is_last=True))
        message["content"] = content or (None if calls else "")
        if calls:
            message["tool_calls"] = calls
            finish = "tool_calls" if finish == "stop" else finish
    return {
        "index": index,
        "message": message,
        "logprobs": chat_logprobs(generation.logprobs, bytes_of=texts.bytes_of) if body.logprobs else None,
        "finish_reason": finish,
    }


class _Streamed:
    """The bodies of a streamed answer."""

    def __init__(self, body: ChatRequest, name: str, texts: TextService, tally: Tally, calling: Calling | None) -> None:
        self._readers = None if calling is None else [calling.reader() for _ in range(body.n)]
        self._body = body
        self._texts = texts
        self._tally = tally
        self._envelope = Envelope("chat.completion.chunk", name)
        self._with_usage = body.stream_options is not None and body.stream_options.include_usage

    def opening(self) -> list[dict[str, Any]]:
        """One body for each choice, which says who speaks."""
        return [self._wrap(index, {"role": "assistant", "content": ""}) for index in range(self._body.n)]

    def chunks(self, index: int, piece: Piece) -> Iterator[dict[str, Any]]:
        """New text of a choice, and its end."""
        self._tally.add(len(piece.token_ids))
        finish: str | None = piece.finish
        logprobs = chat_logprobs(piece.logprobs, bytes_of=self._texts.bytes_of) if self._body.logprobs else None
        if self._readers is None:
            deltas = [{"content": piece.text}] if piece.text or piece.logprobs else []
        else:
            reader = self._readers[index]
            deltas = list(reader.feed(piece.text, is_last=finish is not None))
            deltas = deltas or ([{}] if piece.logprobs else [])
            finish = "tool_calls" if finish == "stop" and reader.num_calls else finish
        for delta in deltas:
            yield self._wrap(index, delta, logprobs=logprobs)
            logprobs = None
        if finish is not None:
            yield self._wrap(index, {}, finish=finish)

    def closing(self) -> list[dict[str, Any]]:
        """The usage, where the client asks for it."""
        usage = self._tally.close()
        return [self._envelope.wrap([], usage=usage)] if self._with_usage else []

    def _wrap(
        self, index: int, delta: dict[str, Any], *, logprobs: Any = None, finish: str | None = None
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return self._envelope.wrap([choice], **({"usage": None} if self._with_usage else {}))
