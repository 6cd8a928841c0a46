"""``POST /v1/embeddings``: a vector for each text, picture, recording or row."""

import asyncio
import base64
from typing import TYPE_CHECKING, Any

from torch import Tensor

from tonggan.serving.context import Context, unless_left
from tonggan.serving.failures import RefusedError
from tonggan.serving.requests import EmbeddingRequest
from tonggan.serving.services import RowService, TextService

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context) -> None:
    """Add the route to ``app``."""
    from fastapi import Request

    @app.post("/v1/embeddings")
    async def embeddings(body: EmbeddingRequest, request: Request) -> Any:
        """Embed texts, pictures, recordings or rows."""
        service = context.service(body.model)
        inputs = body.input if isinstance(body.input, list) else [body.input]
        num_tokens = 0
        if service.rows is not None:
            rows = await asyncio.to_thread(_read_rows, service.rows, inputs)
            vectors = await unless_left(request, context.result(service.rows.embeddings.submit(rows)))
        else:
            assert service.texts is not None, "a service has one of the two"
            texts, num_tokens = await asyncio.to_thread(_check_texts, service.texts, inputs, context.config.max_length)
            vectors = await unless_left(request, context.result(service.texts.embeddings.submit(texts)))
        context.metrics.count_tokens(body.model, prompt=num_tokens, completion=0)
        return {
            "object": "list",
            "model": body.model,
            "data": [
                {"object": "embedding", "index": index, "embedding": _encode(vector, body.encoding_format)}
                for index, vector in enumerate(vectors)
            ],
            "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
        }


def _read_rows(service: RowService, inputs: list[str | dict[str, Any]]) -> list[Any]:
    return [
        service.model.read_content(each, param=f"input[{index}]")
        if isinstance(each, str)
        else service.model.read(each, param=f"input[{index}]")
        for index, each in enumerate(inputs)
    ]


def _check_texts(service: TextService, inputs: list[str | dict[str, Any]], max_length: int) -> tuple[list[str], int]:
    """The texts and their tokens; checked here, so that one that is too long does not spoil a batch."""
    texts, num_tokens = [], 0
    for index, each in enumerate(inputs):
        param = f"input[{index}]"
        if not isinstance(each, str):
            raise RefusedError(
                param, got="a row", expected="a text", remedy="Send texts to a language model", param=param
            )
        length = service.model.prompt(each).length
        limit = min(max_length, service.model.max_length)
        if length > limit:
            raise RefusedError(
                param,
                got=f"{length} tokens",
                expected=f"at most {limit}",
                remedy="Cut the text into parts",
                param=param,
                code="context_length_exceeded",
            )
        texts.append(each)
        num_tokens += length
    return texts, num_tokens


def _encode(vector: Tensor, encoding_format: str) -> list[float] | str:
    """Numbers, or the bytes of little-endian float32 as base64, which OpenAI's client asks for by itself."""
    if encoding_format == "float":
        numbers: list[float] = vector.tolist()
        return numbers
    return base64.b64encode(vector.float().numpy().astype("<f4").tobytes()).decode()
