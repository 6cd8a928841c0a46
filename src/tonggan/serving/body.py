"""The base of all bodies that clients send: what is ignored, what is refused, and numbers as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

_IGNORED = frozenset({
    # Who asks, how it is billed, kept, cached or shown: nothing of the answer's text.
    "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
    "cache_prompt", "id_slot", "slot_id", "timings_per_token", "return_progress", "reasoning_format", "keep_alive",
    "include_reasoning", "cache_control", "continuous_usage_stats", "include_obfuscation",
})  # fmt: skip


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 1.0 is 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _nullable(schema: dict[str, Any]) -> None:
    """Let the description of a body say that null stands for what is left out."""
    for name, field in schema.get("properties", {}).items():
        if name not in schema.get("required", ()) and {"type": "null"} not in field.get("anyOf", ()):
            about = {key: field.pop(key) for key in ("default", "description", "title") if key in field}
            schema["properties"][name] = {"anyOf": [field, {"type": "null"}], **about}


Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number."""


class Body(BaseModel):
    """Base of all bodies, and of what is inside of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, json_schema_extra=_nullable)

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Parameters that are not supported, with the values of each that have no effect."""

    media: ClassVar[frozenset[str] | None] = frozenset()
    """Names of the texts that are pictures or recordings, which have their own limits; None: all data URLs."""

    @model_validator(mode="before")
    @classmethod
    def _without_the_harmless(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        kept = {}
        for name, value in data.items():
            if name in cls.neutral:
                if value is not None and value not in cls.neutral[name]:
                    raise PydanticCustomError("unsupported", "{name} is not supported", {"name": name})
            elif value is not None and name not in _IGNORED:
                kept[name] = value
        return kept
