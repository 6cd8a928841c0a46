"""What a client may ask: the bodies of requests in OpenAI's shapes, checked before any work begins.

Parameters that change nothing here are ignored, as ``user``; those that would change the answer and are not supported
are refused unless they ask for nothing; a name that nobody knows is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from tonggan.codelm.units import UnitKind
from tonggan.language.tools import Tool
from tonggan.serving.body import Body, Whole
from tonggan.serving.config import (
    MAX_EXTRAS,
    MAX_GRAMMAR,
    MAX_INTEGER,
    MAX_LIKES,
    MAX_MESSAGES,
    MAX_PARTS,
    MAX_PROMPT,
    MAX_RECOMMENDED,
    MAX_STOP_LENGTH,
    MAX_STOPS,
    MAX_TEXTS,
    MAX_TOOLS,
)
from tonggan.serving.tool_bodies import CALL_ID, CallBody, NamedTool, Schema, ToolBody


def _number(value: Any) -> Any:
    """A form has texts alone."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


class StreamOptions(Body):
    """How a stream ends."""

    include_usage: bool = False


# Described with the -1 that stands for no limit and is taken out before.
_MostTokens = Annotated[
    Whole,
    Field(ge=1, le=MAX_INTEGER),
    WithJsonSchema({"type": "integer", "minimum": -1, "maximum": MAX_INTEGER}),
]
_Stop = Annotated[str, Field(min_length=1, max_length=MAX_STOP_LENGTH)]
_Stops = Annotated[list[_Stop], Field(max_length=MAX_STOPS, fail_fast=True)]


class _TextRequest(Body):
    """What completions and chat share; ``top_k``, ``min_p``, ``repetition_penalty``, ``regex`` are not OpenAI's."""

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "frequency_penalty": (0,),
        "presence_penalty": (0,),
        "logit_bias": ({}, []),
        # Of vLLM and llama.cpp.
        "use_beam_search": (False,),
        "length_penalty": (1,),
        "min_tokens": (0,),
        "ignore_eos": (False,),
        "skip_special_tokens": (True,),
        "typical_p": (1,),
        "mirostat": (0,),
        "dry_multiplier": (0,),
        "xtc_probability": (0,),
    }

    model: str | None = None
    n: Whole = Field(default=1, ge=1, le=MAX_TEXTS)
    seed: Whole | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: _Stop | _Stops = Field(default_factory=list)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: Whole = Field(default=0, ge=-1, le=MAX_INTEGER)
    min_p: float = Field(default=0.0, ge=0, le=1)
    repetition_penalty: float = Field(default=1.0, ge=0.01, le=100)
    regex: str | None = Field(default=None, max_length=MAX_GRAMMAR)

    @model_validator(mode="before")
    @classmethod
    def _other_names(cls, data: Any) -> Any:
        """llama.cpp's name of a parameter, and its -1, which stands for no limit."""
        if not isinstance(data, Mapping):
            return data
        given = dict(data)
        if "repeat_penalty" in given:
            given.setdefault("repetition_penalty", given.pop("repeat_penalty"))
        for name in ("max_tokens", "max_completion_tokens"):
            if given.get(name) == -1:
                given[name] = MAX_INTEGER
        return given


class CompletionRequest(_TextRequest):
    """``POST /v1/completions``."""

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {**_TextRequest.neutral, "best_of": (1,)}

    prompt: str | list[str] | list[int] | list[list[int]]
    suffix: str | None = None
    max_tokens: Whole = Field(default=16, ge=0, le=MAX_INTEGER, json_schema_extra={"minimum": -1})
    logprobs: Annotated[Whole, Field(ge=0, le=5)] | Literal[False] | None = None
    echo: bool = False

    @field_validator("logprobs", mode="after")
    @classmethod
    def _no_logprobs(cls, value: Any) -> Any:
        return None if value is False else value

    @field_validator("prompt")
    @classmethod
    def _are_few(cls, value: Any) -> Any:
        if isinstance(value, list) and len(value) > MAX_TEXTS and not isinstance(value[0], int):
            raise ValueError(f"at most {MAX_TEXTS} of them")
        return value


class ExtraContext(BaseModel):
    """A piece of another file, as plugins for llama.cpp send it."""

    filename: str = ""
    text: str


class InfillRequest(Body):
    """``POST /infill`` and ``POST /completion`` as llama.cpp has them: names that this server has not are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str | None = None
    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[ExtraContext] = Field(default_factory=list, max_length=MAX_EXTRAS)
    prompt: str = ""
    n_predict: Whole = Field(default=-1, ge=-2, le=MAX_INTEGER)
    n_indent: Whole = Field(default=0, ge=0, le=MAX_INTEGER)
    t_max_predict_ms: Whole = Field(default=-1, ge=-1, le=MAX_INTEGER)
    temperature: float = Field(default=0.0, ge=0, le=2)
    top_k: Whole = Field(default=0, ge=-MAX_INTEGER, le=MAX_INTEGER)
    top_p: float = Field(default=1.0, gt=0, le=1)
    min_p: float = Field(default=0.0, ge=0, le=1)
    repeat_penalty: float = Field(default=1.0, ge=0.01, le=100)
    seed: Whole = -1
    stop: _Stops = Field(default_factory=list)
    stream: bool = False
    response_fields: list[str] = Field(default_factory=list, max_length=MAX_STOPS)


class TextContent(Body):
    """A text in a message."""

    type: Literal["text"]
    text: str


class ImageAddress(Body):
    """Where a picture is: in the data URL itself."""

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {"detail": ("auto", "low", "high")}

    url: str


class ImageContent(Body):
    """A picture in a message."""

    type: Literal["image_url"]
    image_url: ImageAddress


class AudioData(Body):
    """A recording as base64; its first bytes tell the format."""

    data: str
    format: str | None = None


class AudioContent(Body):
    """A recording in a message."""

    type: Literal["input_audio"]
    input_audio: AudioData


Content = Annotated[TextContent | ImageContent | AudioContent, Field(discriminator="type")]


class ChatMessage(Body):
    """One turn of a conversation; which roles there are, the model says."""

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "refusal": ("",),
        "reasoning_content": ("",),
        "annotations": ([],),
        "audio": (),
        "function_call": (),
    }

    role: str
    content: str | Annotated[list[Content], Field(max_length=MAX_PARTS)] = ""
    """Null, as beside tool calls, is an empty turn."""
    name: str | None = None
    """Name of the participant; chat templates do not write it."""
    tool_calls: Annotated[list[CallBody], Field(max_length=MAX_TOOLS)] = Field(default_factory=list)
    tool_call_id: str | None = Field(default=None, pattern=CALL_ID)


class JsonSchema(Body):
    """A schema that an answer obeys."""

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {"strict": (True, False)}

    name: str = ""
    description: str | None = None
    schema_: Schema = Field(alias="schema")


class ResponseFormat(Body):
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

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **_TextRequest.neutral,
        "functions": ([],),
        "function_call": ("none", "auto"),
        "modalities": (["text"],),
        "audio": (),
        "prediction": (),
        "reasoning_effort": ("none",),
        "verbosity": ("medium",),
        "web_search_options": (),
        "chat_template_kwargs": ({}, {"enable_thinking": False}),
        # Of Ollama, Qwen, GLM and vLLM.
        "think": (False,),
        "enable_thinking": (False,),
        "thinking": ({"type": "disabled"},),
        "stop_token_ids": ([],),
        "best_of": (1,),
        "add_generation_prompt": (True,),
        "echo": (False,),
    }

    media = frozenset({"url", "data"})

    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_tokens: _MostTokens | None = None
    max_completion_tokens: _MostTokens | None = None
    logprobs: bool = False
    top_logprobs: Whole = Field(default=0, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: Annotated[list[ToolBody], Field(max_length=MAX_TOOLS)] = Field(default_factory=list)
    tool_choice: Literal["none", "auto", "required"] | NamedTool = "auto"
    parallel_tool_calls: bool = True

    @property
    def callable_tools(self) -> list[Tool]:
        """The functions that the answer may call."""
        if self.tool_choice == "none":
            return []
        name = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else None
        return [each.function.tool for each in self.tools if name in (None, each.function.name)]

    @model_validator(mode="after")
    def _tools_go_together(self) -> ChatRequest:
        names = [each.function.name for each in self.tools]
        if len(set(names)) < len(names):
            raise ValueError("tools of one name")
        if self.tool_choice not in ("none", "auto") and not self.callable_tools:
            raise ValueError("tool_choice names no function that is among the tools")
        form = self.response_format is not None and self.response_format.type != "text"
        if self.callable_tools and (form or self.regex is not None):
            raise ValueError("tools exclude response_format and regex")
        return self

    @model_validator(mode="after")
    def _go_together(self) -> ChatRequest:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs")
        if self.regex is not None and self.response_format is not None and self.response_format.type != "text":
            raise ValueError("regex and response_format exclude each other")
        return self


class EmbeddingRequest(Body):
    """``POST /v1/embeddings``; a picture or a recording is a data URL, a row an object of its columns."""

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {"dimensions": ()}

    model: str | None = None
    input: str | dict[str, Any] | Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] = "float"

    media = None

    @field_validator("input", mode="before")
    @classmethod
    def _no_token_ids(cls, value: Any) -> Any:
        if isinstance(value, list) and value and isinstance(value[0], int | list):
            raise ValueError(
                "texts: token ids are of another model's vocabulary (LangChain: check_embedding_ctx_length=False)"
            )
        return value


class PredictRequest(Body):
    """``POST /v1/predict`` as JSON."""

    model: str | None = None
    rows: list[dict[str, Any]] = Field(min_length=1)

    media = None


class RecommendRequest(Body):
    """``POST /v1/recommend``: for a known ``user``, for who ``likes`` some items, or what is ``similar`` to one."""

    model: str | None = None
    user: str | int | float | None = None
    likes: Annotated[list[str | int | float], Field(max_length=MAX_LIKES)] | None = None
    similar: str | int | float | None = None
    k: Whole = Field(default=10, ge=1, le=MAX_RECOMMENDED)
    include_seen: bool = False
    few_likes: bool = False

    @model_validator(mode="before")
    @classmethod
    def _without_the_harmless(cls, data: Any) -> Any:
        # Here ``user`` is not who asks, but whom it is asked for.
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, Mapping) else data

    @model_validator(mode="after")
    def _one_of(self) -> RecommendRequest:
        if sum(given is not None for given in (self.user, self.likes, self.similar)) != 1:
            raise ValueError("exactly one of user, likes and similar")

        return self


class CodeSearchRequest(Body):
    """``POST /v1/code/search``."""

    query: str = Field(pattern=r"\S")
    limit: Whole = Field(default=10, ge=1, le=100)
    language: str | None = None
    kinds: list[UnitKind] | None = None


class TranscriptionRequest(Body):
    """``POST /v1/audio/transcriptions``: the fields of the form beside its file; all of them are texts there."""

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "stream": ("false", "False", "0", ""),
        "timestamp_granularities": ("segment",),
        "timestamp_granularities[]": ("segment",),
        "chunking_strategy": ("auto",),
    }

    model: str | None = None
    language: str | None = Field(default=None, max_length=20)
    prompt: str | None = Field(default=None, max_length=MAX_PROMPT)
    response_format: Literal["json", "text", "srt", "vtt", "verbose_json"] = "json"
    temperature: Annotated[float, BeforeValidator(_number)] = Field(default=0.0, ge=0, le=1)
