"""What is wrong with data that pydantic refuses: where, as the user wrote it, and what it wants, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

_WANTED = {
    "enum": "one of {expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "one of {expected}",
    "string_pattern_mismatch": "a text with something in it",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "a text with something in it",
    "too_long": "at most {max_length} of them",
    "too_short": "at least {min_length} of them",
    "union_tag_invalid": "one of the {tag}s {expected_tags}",
    "union_tag_not_found": "{group} with a {tag}",
    "value_error": "{error}",
}
# By the first word of a type, for what is not of the right type at all.
_WANTED_OF_KIND = {
    "bool": "true or false",
    "dict": "{group}",
    "finite": "a finite number",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "mapping": "{group}",
    "missing": "a value",
    "model": "{group}",
    "path": "a path",
    "string": "a text",
}


def wanted(error: ErrorDetails, *, group: str = "a group of fields") -> str:
    """What would have been right.

    Args:
        error: one of those that pydantic found.
        group: what the user calls a mapping.
    """
    kind, context = error["type"], error.get("ctx", {})
    template = _WANTED.get(kind) or _WANTED_OF_KIND.get(kind.partition("_")[0])
    if template is not None:
        tag = context.get("discriminator", "").strip("'")
        listed = str(context.get("expected", "")).replace(" or ", ", ")
        return template.format(**{**context, "group": group, "tag": tag, "expected": listed})
    message = error["msg"]
    for opening in ("Input should be ", "Input should have ", "String should have ", "Input should "):
        message = message.removeprefix(opening)
    return message


def place_of(location: Sequence[str | int], data: Any) -> tuple[str, Any]:
    """Path and value of what is wrong, as the user wrote it: pydantic's own also names the type that it tried."""
    path = ""
    for depth, part in enumerate(location):
        if part in data if isinstance(data, Mapping) else isinstance(data, list) and isinstance(part, int):
            is_there = isinstance(data, Mapping) or int(part) < len(data)
            data = data[part] if is_there else None  # a list may have fewer items than it must
        elif depth < len(location) - 1 or not isinstance(data, Mapping):
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path, data
