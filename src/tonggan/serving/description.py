"""What ``/openapi.json`` says: the bodies that routes read by themselves, and every answer that may come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from tonggan.serving.body import Body
from tonggan.serving.requests import (
    ChatRequest,
    CodeSearchRequest,
    CompletionRequest,
    EmbeddingRequest,
    InfillRequest,
    PredictRequest,
    RecommendRequest,
    TranscriptionRequest,
)
from tonggan.serving.search_body import SearchRequest
from tonggan.serving.voice import SpeechRequest

if TYPE_CHECKING:
    from fastapi import FastAPI

_BODIES = (
    ChatRequest,
    CodeSearchRequest,
    CompletionRequest,
    EmbeddingRequest,
    InfillRequest,
    PredictRequest,
    RecommendRequest,
    SearchRequest,
    SpeechRequest,
    TranscriptionRequest,
)
_REF = "#/components/schemas/"
_ERRORS = {
    400: "The request is wrong; the message says where and what to do.",
    401: "None of the server's keys.",
    404: "No such model, or nothing at this path.",
    405: "Not by this method.",
    408: "The body did not arrive in time.",
    413: "Too large.",
    415: "Neither JSON nor a form where forms are read.",
    421: "Called by another name than this machine's own.",
    429: "Too busy; Retry-After says when to come back.",
    500: "A fault of the server; its log says more.",
    503: "The server stops.",
    504: "Not done in time.",
}
_OF_ALL = (400, 401, 404, 405, 421, 500, 503)
_OF_BODIES = (408, 413, 415, 429, 504)
_ANSWERS: dict[str, dict[str, Any]] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
    },
    "List": {"required": ["object", "data"], "properties": {"object": {"const": "list"}, "data": {"type": "array"}}},
    "Model": {"required": ["id", "object", "created", "owned_by"], "properties": {"id": {"type": "string"}}},
    "Health": {"required": ["status"], "properties": {"status": {"const": "ok"}}},
    "ChatCompletion": {
        "required": ["id", "object", "created", "model", "choices", "usage"],
        "properties": {"object": {"const": "chat.completion"}, "choices": {"type": "array"}},
    },
    "Completion": {
        "required": ["id", "object", "created", "model", "choices", "usage"],
        "properties": {"object": {"const": "text_completion"}, "choices": {"type": "array"}},
    },
    "Infill": {"description": "What response_fields asks for; all fields by default."},
    "Transcription": {"required": ["text"], "properties": {"text": {"type": "string"}}},
    "Predictions": {
        "required": ["object", "model", "predictions", "findings"],
        "properties": {
            "object": {"const": "list"},
            "predictions": {"type": "array"},
            "findings": {
                "description": "How the rows differ from the training part: names never seen, numbers out of range, …",
                "type": "array",
                "items": {"$ref": _REF + "Finding"},
            },
        },
    },
    "Recommendations": {
        "required": ["object", "model", "recommendations"],
        "properties": {
            "object": {"const": "list"},
            "recommendations": {
                "description": "The best first, with the reason: liked items that speak for it, and what it shares.",
                "type": "array",
            },
        },
    },
    "Finding": {
        "required": ["severity", "column", "split", "count", "message", "message_zh", "remedy", "remedy_zh"],
        "properties": {
            "severity": {"enum": ["error", "warning", "note"]},
            "column": {"type": ["string", "null"]},
            "split": {"type": ["string", "null"]},
            "count": {"type": "integer", "description": "Rows concerned."},
            "message": {"type": "string"},
            "message_zh": {"type": "string"},
            "remedy": {"type": "string"},
            "remedy_zh": {"type": "string"},
        },
    },
}


def operation(kind: type[Body], answer: str, *, streams: bool = False, takes_form: bool = False) -> dict[str, Any]:
    """What the description says of a route that reads a body.

    Args:
        kind: the body, as JSON.
        answer: name of the answer's schema.
        streams: whether it answers with server-sent events where the body asks for them.
        takes_form: whether it reads a form too.
    """
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": _REF + kind.__name__}}}
    if takes_form:
        form = {"type": "object", "properties": {"model": {"type": "string"}}, "additionalProperties": {}}
        content["multipart/form-data"] = {"schema": form}
    body = {"required": True, "content": content}
    return {"requestBody": body, **answering(answer, streams=streams, reads_body=True)}


def form_operation(kind: type[Body], answer: str) -> dict[str, Any]:
    """What the description says of a route that reads a form: the fields of ``kind``, and a ``file``."""
    schema = kind.model_json_schema(ref_template=_REF + "{model}")
    schema["properties"]["file"] = {"type": "string", "format": "binary"}
    schema["required"] = [*schema.get("required", ()), "file"]
    answers = answering(answer, reads_body=True)
    answers["responses"]["200"]["content"]["text/plain"] = {"schema": {"type": "string"}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}, **answers}


def sound_operation(kind: type[Body], media_types: Iterable[str]) -> dict[str, Any]:
    """What the description says of a route that answers the body ``kind`` with a sound file."""
    said = operation(kind, "Error")
    said["responses"]["200"]["content"] = {
        each: {"schema": {"type": "string", "format": "binary"}} for each in media_types
    }
    return said


def answering(answer: str | None, *, streams: bool = False, reads_body: bool = False) -> dict[str, Any]:
    """What the description says of a route's answers; ``answer`` names a schema, None is text."""
    schema = {"text/plain": {"schema": {"type": "string"}}} if answer is None else _json(answer)
    if streams:
        schema = {**schema, "text/event-stream": {"schema": {}}}
    statuses = (*_OF_ALL, *(_OF_BODIES if reads_body else ()))
    responses: dict[str, Any] = {"200": {"description": "The answer.", "content": schema}}
    for status in sorted(statuses):
        responses[str(status)] = {"description": _ERRORS[status], "content": _json("Error")}
    return {"responses": responses}


def describe(app: FastAPI) -> None:
    """Let ``app`` describe itself in full."""
    from fastapi.openapi.utils import get_openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            _, bodies = models_json_schema([(body, "validation") for body in _BODIES], ref_template=_REF + "{model}")
            answers = {name: {"type": "object", **schema} for name, schema in _ANSWERS.items()}
            keys = {"type": "http", "scheme": "bearer", "description": "A key of the server, where it has any."}
            document["components"] = {"schemas": {**bodies["$defs"], **answers}, "securitySchemes": {"key": keys}}
            document["security"] = [{"key": []}, {}]
            for path in document["paths"].values():
                for each in path.values():
                    each["responses"].pop("422", None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF + schema}}}
