"""From the bytes of a body to what a client asks for: measured first, parsed, measured again, and then validated.

It runs beside the event loop, and costs at most what the limits of ``config`` allow.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tonggan.serving.body import Body
from tonggan.serving.config import MAX_DEPTH, MAX_VALUES, ServerConfig
from tonggan.serving.failures import RefusedError
from tonggan.validation import place_of, wanted
from tonggan.wording import shortened

_BodyT = TypeVar("_BodyT", bound=Body)
_SHOWN = 60


def require_json(headers: Mapping[str, str]) -> None:
    """Nothing, where the headers say that the body is JSON; a web page of others cannot make a browser say so.

    Raises:
        RefusedError: they say something else.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    coding = headers.get("content-encoding", "identity").strip().lower()
    if kind != "application/json" or coding != "identity":
        raise RefusedError(
            "request",
            got=f"content of type '{kind[:_SHOWN]}'" if coding == "identity" else f"the encoding '{coding[:_SHOWN]}'",
            expected="application/json (or multipart/form-data where a form is read), not compressed",
            remedy="Set the header Content-Type to application/json, and send the JSON as it is",
            status=415,
        )


def parse_body(raw: bytes, kind: type[_BodyT], config: ServerConfig) -> _BodyT:
    """The body as ``kind``.

    Raises:
        RefusedError: it is not JSON, holds too much, or is not what ``kind`` describes.
    """
    # An upper bound of the values, at the speed of memory: within texts these characters count as such.
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MAX_VALUES + config.max_characters:
        raise _too_many(f"more than {MAX_VALUES:,} values")
    try:
        data = json.loads(raw, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise RefusedError(
            "body",
            got=f"no JSON: {str(error)[:200]}",
            expected="a JSON object in UTF-8",
            remedy="Write it with a JSON library, and compare it with /openapi.json",
        ) from error
    if not isinstance(data, dict):
        raise RefusedError("body", got=_short(data), expected="a JSON object", remedy="See /openapi.json")
    _measure(data, kind, config)
    return validated(data, kind)


def validated(data: Mapping[str, Any], kind: type[_BodyT]) -> _BodyT:
    """``data`` as ``kind``.

    Raises:
        RefusedError: it is not what ``kind`` describes.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False), data, kind) from None


def _measure(data: Mapping[str, Any], kind: type[Body], config: ServerConfig) -> None:
    """Count what a body holds; nothing behind this meets more, or what text and numbers cannot hold.

    Raises:
        RefusedError: too much, an unpaired surrogate, or a number that is not finite.
    """
    rest: list[tuple[str, Any, int]] = [("", data, 0)]
    num_values = num_characters = 0
    while rest:
        name, value, depth = rest.pop()
        num_values += 1
        if isinstance(value, str):
            _check_text(value)
            is_medium = value.startswith("data:") if kind.media is None else name in kind.media
            num_characters += 0 if is_medium else len(value)
        elif isinstance(value, dict):
            for key, each in value.items():
                _check_text(key)
                num_values += 1
                num_characters += len(key)
                rest.append((key, each, depth + 1))
        elif isinstance(value, list):
            rest += [(name, each, depth + 1) for each in value]
        elif isinstance(value, float) and not math.isfinite(value):
            _refuse_constant("a number beyond 1.8e308")
        if depth > MAX_DEPTH:
            raise _too_deep()
        if num_values > MAX_VALUES:
            raise _too_many(f"more than {MAX_VALUES:,} values")
        if num_characters > config.max_characters:
            raise too_long(num_characters, config, param=None)


def too_long(num_characters: int, config: ServerConfig, *, param: str | None) -> RefusedError:
    """What to raise for texts of so many characters."""
    return RefusedError(
        param or "body",
        got=f"{num_characters:,} characters or more",
        expected=f"at most {config.max_characters:,} in all texts of a request",
        remedy="Send shorter texts, or start the server with a larger --max-characters",
        status=413,
        param=param,
        code="too_large",
    )


def _too_many(got: str) -> RefusedError:
    return RefusedError(
        "body", got=got, expected=f"at most {MAX_VALUES:,}", remedy="Send less in one request", status=413,
        code="too_large",
    )  # fmt: skip


def _too_deep() -> RefusedError:
    return RefusedError(
        "body", got="deeply nested lists and objects", expected=f"at most {MAX_DEPTH} levels",
        remedy="Send flatter JSON",
    )  # fmt: skip


def _refuse_constant(text: str) -> NoReturn:
    raise RefusedError("body", got=text, expected="finite numbers", remedy="Leave the value out, or send null")


def _check_text(text: str) -> None:
    """JSON can write an unpaired surrogate; nothing behind this can hold it, the answer included."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RefusedError(
                "body",
                got=f"an unpaired surrogate in {text[max(0, error.start - 20) : error.start + 20]!a}",
                expected="valid Unicode",
                remedy="Send both halves of the pair, or none",
            ) from error


def _explain(errors: Sequence[ErrorDetails], data: Any, kind: type[Body]) -> RefusedError:
    """What is wrong with the deepest place that is at fault.

    A field of several types has an error for each: the deepest is of the one that was meant.
    """
    deepest = max(errors, key=lambda error: sum(place_of(error["loc"], data)[0].count(mark) for mark in ".["))
    place, value = place_of(deepest["loc"], data)
    same = [error for error in errors if place_of(error["loc"], data)[0] == place]
    others = len({each for error in errors if not place.startswith(each := place_of(error["loc"], data)[0])})
    first = same[0]
    more = f" ({others} more of the body is wrong)" if others else ""
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][-1])
        near = difflib.get_close_matches(name, kind.model_fields, n=1)
        return RefusedError(
            place, got="a parameter of this name", expected=f"'{near[0]}'" if near else "one that this server knows",
            remedy=f"Correct the name, or leave it out{more}", param=place,
        )  # fmt: skip
    if first["type"] in ("missing", "union_tag_not_found"):
        place = f"{place}.type" if first["type"] != "missing" else place
        return RefusedError(place, got="nothing", expected="a value", remedy=f"Add it{more}", param=place)
    if first["type"] == "unsupported":
        name = first.get("ctx", {})["name"]
        param = f"{place}.{name}" if place else name
        return RefusedError(
            param, got=_short(value[name]), expected="none, which is all that this server supports",
            remedy=f"Leave it out{more}", param=param,
        )  # fmt: skip
    if first["type"] == "value_error":
        reason = str(first.get("ctx", {}).get("error", first["msg"]))
        return RefusedError(
            place or "request", got=_short(value) if place else "parameters that do not go together", expected=reason,
            remedy=f"Change it, or leave it out{more}", param=place or None,
        )  # fmt: skip
    expected = " or ".join(dict.fromkeys(wanted(error, group="an object") for error in same))
    return RefusedError(place, got=_short(value), expected=expected, remedy=f"Correct it{more}", param=place or None)


def _short(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"a list of {len(value)}" if isinstance(value, list) else f"an object of {len(value)}"
    return shortened(json.dumps(value, ensure_ascii=False), limit=_SHOWN)
