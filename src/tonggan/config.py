"""Frozen, strict configuration: the base of every Config, and how YAML and ``--set`` become one.

Each part declares a ``Config`` subclass with ``kind: Literal[...]`` and ``build(...)``; a family of parts is a
discriminated union, so a typo is answered with the field's path and the allowed kinds.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from tonggan.errors import ConfigError

_ConfigT = TypeVar("_ConfigT", bound="Config")


class Config(BaseModel):
    """Base of all configs: frozen, nothing extra, each field documented by its ``Field(description=...)``."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _names_known_fields(cls, data: Any) -> Any:
        for name in data if isinstance(data, Mapping) else ():
            if name not in cls.model_fields:
                near = difflib.get_close_matches(str(name), cls.model_fields, n=1)
                known = f"the nearest is '{near[0]}'" if near else "one of " + ", ".join(cls.model_fields)
                raise PydanticCustomError("unknown_field", "no such field, {known}", {"known": known, "unknown": name})
        return data

    @classmethod
    def parse(cls: type[_ConfigT], data: Mapping[str, Any], *, who: str) -> _ConfigT:
        """Validate ``data``; ``who`` names its origin in an error.

        Raises:
            ConfigError: with one line for each offending field: its path, what was got, what is allowed.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise _explain(error, who, data) from error

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``parse`` reads back to an equal config."""
        return self.model_dump(mode="json")


def infer_kind(*family: type[Config], default: str | None = None) -> Callable[[Any], Any]:
    """A validator for a union of ``family``: fills in a ``kind`` that was left out.

    It takes the only kind that has all the given fields, or ``default`` where several have and it is one of them; so
    ``--set columns.photo.size=32`` needs no ``kind``.
    """

    def fill_in(data: Any) -> Any:
        if not isinstance(data, Mapping) or "kind" in data:
            return data
        kinds = [str(config.model_fields["kind"].default) for config in family if set(data) <= set(config.model_fields)]
        if len(kinds) == 1 or default in kinds:
            return {"kind": kinds[0] if len(kinds) == 1 else default, **data}
        every = [str(config.model_fields["kind"].default) for config in family]
        raise PydanticCustomError("no_kind", "name its kind, one of {kinds}", {"kinds": ", ".join(kinds or every)})

    return fill_in


def _explain(error: ValidationError, who: str, data: Mapping[str, Any]) -> ConfigError:
    problems = []
    expected = []
    for item in error.errors():
        unknown = item.get("ctx", {}).get("unknown")
        path = _path((*item["loc"], unknown) if unknown else item["loc"], data) or "(top)"
        problems.append(f"{path} = {_short(item['input'][unknown] if unknown else item['input'])}")
        expected.append(f"{path}: {item['msg']}")
    return ConfigError(
        who,
        got="; ".join(problems),
        expected="; ".join(expected),
        remedy="Correct the named fields",
    )


def _path(location: Sequence[str | int], data: Any) -> str:
    """The place of an error as the user wrote it: pydantic's own also names the chosen kind of each union."""
    parts = []
    for depth, part in enumerate(location):
        known = part in data if isinstance(data, Mapping) else isinstance(data, list) and isinstance(part, int)
        if isinstance(data, Mapping) and not known and depth < len(location) - 1:
            continue
        parts.append(str(part))
        data = data[part] if known else None
    return ".".join(parts)


def _short(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds no mapping.
    """
    who = f"file {path}"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(who, got="no such file", expected="a YAML file", remedy="Check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(who, got=detail, expected="valid YAML in UTF-8", remedy="Correct the file") from error
    if not isinstance(data, dict):
        raise ConfigError(who, got=type(data).__name__, expected="a mapping", remedy="Write 'key: value' lines")
    return data


def apply_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """``data`` with each ``a.b.c=value`` set; values are read as YAML, so ``3``, ``true``, ``[1, 2]`` have their types.

    Another ``kind`` starts from its own defaults.

    Raises:
        ConfigError: an override without ``=``, or one that goes below a value that is no mapping.
    """
    result: dict[str, Any] = {key: _copy(value) for key, value in data.items()}
    for override in overrides:
        path, sign, text = override.partition("=")
        if not sign or not path.strip():
            raise ConfigError(
                f"--set {override}",
                got="no key before '='" if sign else "no '='",
                expected="key=value",
                remedy="Write e.g. --set training.epochs=5",
            )
        *parents, last = path.strip().split(".")
        place = result
        for parent in parents:
            child = place.get(parent)
            if child is None:
                child = {}
                place[parent] = child
            if not isinstance(child, dict):
                raise ConfigError(
                    f"--set {override}",
                    got=f"'{parent}' = {_short(child)}",
                    expected="a group of fields there",
                    remedy="Run 'tonggan recipes NAME' to see the fields",
                )
            place = child
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(
                f"--set {override}",
                got=f"'{text}', which is not YAML",
                expected="a value such as 3, true, some text, [1, 2] or {kind: text}",
                remedy="Correct the value; quote it for the shell if it holds brackets or spaces",
            ) from error
        if last == "kind" and place.get("kind") not in (None, value):
            place.clear()  # the other fields belong to the former kind
        place[last] = value
    return result


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(child) for key, child in value.items()}
    return list(value) if isinstance(value, list) else value
