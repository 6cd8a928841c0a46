"""What a client may ask: the bodies of requests in OpenAI's shapes, checked before any work begins.

Parameters that change nothing here are ignored, as ``user``; those that would change the answer and are not supported
are refused unless they ask for nothing; a name that nobody knows is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tonggan.codelm.units import UnitKind

_IGNORED = ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key")
_MAX_TEXTS = 128


class _Request(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Parameters that are not supported, with the values of each that ask for nothing."""

    @model_validator(mode="before")
    @classmethod
    def _without_the_harmless(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        _check_characters(data)
        kept = {}
        for name, value in data.items():
            if name in cls.neutral:
                if value is not None and value not in cls.neutral[name]:
                    raise PydanticCustomError("unsupported", "{name} is not supported", {"name": name})
            elif value is not None and name not in _IGNORED:
                kept[name] = value
        return kept


def _check_characters(data: Any) -> None:
    """JSON can write half of a surrogate pair; nothing behind this can hold it, the answer included."""
    rest = [data]
    while rest:
        value = rest.pop()
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                text = "half of a surrogate pair is no character; send both halves"
                raise PydanticCustomError("surrogate", text) from error
        elif isinstance(value, Mapping):
            rest += [*value, *value.values()]
        elif isinstance(value, list):
            rest += value


class StreamOptions(_Request):
    """How a stream ends."""

    neutral = {"include_obfuscation": (False,)}

    include_usage: bool = False


_Stop = Annotated[str, Field(min_length=1)]


class _TextRequest(_Request):
    """What completions and chat share; ``top_k``, ``min_p``, ``repetition_penalty``, ``regex`` are not OpenAI's."""

    neutral = {
        "frequency_penalty": (0,),
        "presence_penalty": (0,),
        "logit_bias": ({},),
    }

    model: str
    n: int = Field(default=1, ge=1, le=_MAX_TEXTS)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: _Stop | Annotated[list[_Stop], Field(max_length=16)] = Field(default_factory=list)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    min_p: float = Field(default=0.0, ge=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0)
    regex: str | None = None


class CompletionRequest(_TextRequest):
    """``POST /v1/completions``."""

    neutral = {**_TextRequest.neutral, "best_of": (1,)}

    prompt: str | list[str] | list[int] | list[list[int]]
    suffix: str | None = None
    max_tokens: int = Field(default=16, ge=0)
    logprobs: int | None = Field(default=None, ge=0, le=5)
    echo: bool = False


class ExtraContext(BaseModel):
    """A piece of another file, as plugins for llama.cpp send it."""

    filename: str = ""
    text: str


class InfillRequest(BaseModel):
    """``POST /infill`` and ``POST /completion`` as llama.cpp has them: names that this server has not are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str | None = None
    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[ExtraContext] = Field(default_factory=list)
    prompt: str = ""
    n_predict: int = Field(default=-1, ge=-1)
    n_indent: int = Field(default=0, ge=0)
    t_max_predict_ms: int = Field(default=-1, ge=-1)
    temperature: float = Field(default=0.0, ge=0, le=2)
    top_k: int = 0
    top_p: float = Field(default=1.0, gt=0, le=1)
    min_p: float = Field(default=0.0, ge=0, le=1)
    repeat_penalty: float = Field(default=1.0, gt=0)
    seed: int = -1
    stop: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    stream: bool = False
    response_fields: list[str] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {name: value for name, value in data.items() if value is not None}


class TextContent(_Request):
    """A text in a message."""

    type: Literal["text"]
    text: str


class ImageAddress(_Request):
    """Where a picture is: in the data URL itself."""

    neutral = {"detail": ("auto", "low", "high")}

    url: str


class ImageContent(_Request):
    """A picture in a message."""

    type: Literal["image_url"]
    image_url: ImageAddress


class AudioData(_Request):
    """A recording as base64; its first bytes tell the format."""

    data: str
    format: str | None = None


class AudioContent(_Request):
    """A recording in a message."""

    type: Literal["input_audio"]
    input_audio: AudioData


Content = Annotated[TextContent | ImageContent | AudioContent, Field(discriminator="type")]


class ChatMessage(_Request):
    """One turn of a conversation; which roles there are, the model says."""

    neutral = {
        **dict.fromkeys(("refusal", "audio", "function_call", "reasoning_content", "annotations"), ()),
        "tool_calls": ([],),
        "name": (),
        "tool_call_id": (),
    }

    role: str
    content: str | Annotated[list[Content], Field(min_length=1)]


class JsonSchema(_Request):
    """A schema that an answer obeys."""

    neutral = {"strict": (True, False)}

    name: str
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(_Request):
    """What an answer looks like."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema goes with the type 'json_schema', and only with it")
        return self

    @property
    def schema_of_answer(self) -> dict[str, Any] | None:
        """The JSON schema to enforce, None for free text."""
        if self.json_schema is not None:
            return self.json_schema.schema_
        return {"type": "object"} if self.type == "json_object" else None


class ChatRequest(_TextRequest):
    """``POST /v1/chat/completions``."""

    neutral = {
        **_TextRequest.neutral,
        "tools": ([],),
        "tool_choice": ("none", "auto"),
        "functions": ([],),
        "function_call": ("none", "auto"),
        "parallel_tool_calls": (True, False),
        "modalities": (["text"],),
        "audio": (),
        "prediction": (),
        "reasoning_effort": ("none",),
        "verbosity": ("medium",),
        "web_search_options": (),
    }

    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=20)
    response_format: ResponseFormat | None = None

    @model_validator(mode="after")
    def _go_together(self) -> ChatRequest:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs")
        if self.regex is not None and self.response_format is not None and self.response_format.type != "text":
            raise ValueError("regex and response_format exclude each other")
        return self


class EmbeddingRequest(_Request):
    """``POST /v1/embeddings``; a picture or a recording is a data URL, a row an object of its columns."""

    neutral = {"dimensions": ()}

    model: str
    input: str | dict[str, Any] | Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] = "float"


class PredictRequest(_Request):
    """``POST /v1/predict`` as JSON."""

    model: str | None = None
    rows: list[dict[str, Any]] = Field(min_length=1)


class CodeSearchRequest(_Request):
    """``POST /v1/code/search``."""

    query: str = Field(pattern=r"\S")
    limit: int = Field(default=10, ge=1, le=100)
    language: str | None = None
    kinds: list[UnitKind] | None = None
