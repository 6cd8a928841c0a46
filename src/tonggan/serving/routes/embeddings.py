"""``POST /v1/embeddings``: a vector for each text, picture, recording or row."""

import asyncio
import base64
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from tonggan.serving.bodies import too_long
from tonggan.serving.config import ServerConfig
from tonggan.serving.context import Context, json_response, unless_left
from tonggan.serving.description import operation
from tonggan.serving.failures import RefusedError
from tonggan.serving.media import MediaLimits
from tonggan.serving.metrics import CANCEL
from tonggan.serving.requests import EmbeddingRequest
from tonggan.serving.rows import Row
from tonggan.serving.services import Passage, RowService, TextService

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context) -> None:
    """Add the route to ``app``."""
    from fastapi import Request

    @app.post("/v1/embeddings", openapi_extra=operation(EmbeddingRequest, "List"))
    async def embeddings(request: Request) -> Any:
        """Embed texts, pictures, recordings or rows."""
        body = await context.body(request, EmbeddingRequest)
        service = context.service(body.model)
        inputs = body.input if isinstance(body.input, list) else [body.input]
        num_tokens = 0
        if service.rows is not None:
            service.rows.embeddings.require_room(len(inputs))
            rows = await context.decode(_read_rows, service.rows, inputs, MediaLimits(context.config))
            vectors = await unless_left(request, context.result(service.rows.embeddings.submit(rows)))
        else:
            assert service.texts is not None, "a service has one of the two"
            service.texts.embeddings.require_room(len(inputs))
            passages = await asyncio.to_thread(_passages, service.texts, inputs, context.config)
            num_tokens = sum(passage.length for passage in passages)
            request.scope[CANCEL] = partial(_cancel, passages)
            vectors = await unless_left(request, context.result(service.texts.embeddings.submit(passages)))
        context.metrics.count_tokens(service.name, prompt=num_tokens, completion=0)
        encode = partial(_encode, encoding_format=body.encoding_format)
        encoded = await asyncio.to_thread(lambda: [encode(vector) for vector in vectors])
        return await json_response({
            "object": "list",
            "model": service.name,
            "data": [
                {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(encoded)
            ],
            "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
        })  # fmt: skip


def _read_rows(service: RowService, inputs: list[str | dict[str, Any]], media: MediaLimits) -> list[Row]:
    rows = [
        service.model.read_content(each, param=f"input[{index}]", media=media)
        if isinstance(each, str)
        else service.model.read(each, param=f"input[{index}]", media=media)
        for index, each in enumerate(inputs)
    ]
    return service.model.decode(rows, param="input")


def _passages(service: TextService, inputs: Sequence[str | dict[str, Any]], config: ServerConfig) -> list[Passage]:
    """The texts; checked here, so that one that is too long does not spoil a batch."""
    passages = []
    for index, each in enumerate(inputs):
        param = f"input[{index}]"
        if not isinstance(each, str):
            raise RefusedError(
                param, got="a row", expected="a text", remedy="Send texts to a language model", param=param
            )
        if len(each) > config.max_characters:  # one that begins as a data URL does
            raise too_long(len(each), config, param=param)
        length = service.model.prompt(each).length
        limit = min(config.max_length, service.model.max_length)
        if length > limit:
            raise RefusedError(
                param,
                got=f"{length} tokens",
                expected=f"at most {limit}",
                remedy="Cut the text into parts",
                param=param,
                code="context_length_exceeded",
            )
        passages.append(Passage(each, length))
    return passages


def _cancel(passages: Sequence[Passage]) -> None:
    for passage in passages:
        passage.cancelled = True


def _encode(vector: Tensor, encoding_format: str) -> list[float] | str:
    """Numbers, or the bytes of little-endian float32 as base64, which OpenAI's client asks for by itself."""
    if encoding_format == "float":
        numbers: list[float] = vector.tolist()
        return numbers
    return base64.b64encode(vector.float().numpy().astype("<f4").tobytes()).decode()
