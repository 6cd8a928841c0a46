"""Frozen, strict configuration: the base of every Config, and how YAML and ``--set`` become one.

A typo is answered with the field's path and what is allowed there. Configs of one family differ by their ``kind``;
see ``parts``.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from tonggan.errors import ConfigError
from tonggan.validation import place_of, wanted
from tonggan.wording import Bilingual, Words, shortened, translated

MAX_FILE = 256 << 20
"""Bytes of a file of settings, or of what was fitted: the longest lists of names have some megabytes."""
MAX_DEPTH, MAX_VALUES = 64, 4_000_000
"""How deep values in such a file may be nested, and how many there may be."""
_MOST_FIELDS = 8  # that one message names

_ConfigT = TypeVar("_ConfigT", bound="Config")


class Config(BaseModel):
    """Base of all configs: frozen, nothing extra, each field documented by the text below it (``docs/fields.py``)."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

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
        return self.model_dump(mode="json", serialize_as_any=True)

    def to_yaml(self) -> str:
        """The same as YAML."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=120)


def _explain(error: ValidationError, who: str, data: Mapping[str, Any]) -> ConfigError:
    got, expected = explain_fields(error, data)
    return ConfigError(who, got=got, expected=expected, remedy="Correct the named fields")


def explain_fields(error: ValidationError, data: Any) -> tuple[str, str]:
    """What ``data`` has in the fields that ``error`` is about, and what they want; of many fields the first."""
    problems = []
    expected = []
    for item in error.errors()[:_MOST_FIELDS]:
        unknown = item.get("ctx", {}).get("unknown")
        path, value = place_of((*item["loc"], unknown) if unknown else item["loc"], data)
        path = path or "(top)"
        is_missing, want = item["type"] == "missing", wanted(item)
        problem = f"{path} = {_short(value)}"
        problems.append(Words(f"no {path}", f"没有 {path}") if is_missing else Words(problem, problem))
        expected.append(Words(f"{path}: {want}", f"{path}：{translated(want)}"))
    return _joined(problems), _joined(expected)


def _joined(said: Sequence[Words]) -> str:
    return Bilingual("; ".join(each.english for each in said), "；".join(each.chinese for each in said))


def _short(value: object) -> str:
    return shortened(repr(value), limit=80)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: the file is missing, is not YAML, is too large or deep, or holds no mapping.
    """
    return _read(path, parse_yaml, language="YAML", remedy="Correct the file")


def parse_yaml(text: str) -> Any:
    """What ``text`` says in YAML, in plain values.

    Raises:
        yaml.YAMLError: it is not YAML.
        ValueError: it is nested too deep.
    """
    # Ten times faster where PyYAML was compiled with libyaml, which has no bound of its own on how deep it goes.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"values more than {MAX_DEPTH} deep")
    return yaml.load(text, Loader=loader)  # noqa: S506 (either is safe)


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file.

    Raises:
        ConfigError: as ``read_yaml``.
    """
    return _read(path, json.loads, language="JSON", remedy="Restore the file")


def _read(path: Path, parse: Callable[[str], Any], *, language: str, remedy: str) -> dict[str, Any]:
    who = f"file {path}"
    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            raise ValueError(f"{size:,} bytes, more than {MAX_FILE:,}")
        data = parse(path.read_text(encoding="utf-8"))
        _check_size(data)
    except FileNotFoundError as error:
        raise ConfigError(who, got="no such file", expected=f"a {language} file", remedy="Check the path") from error
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(who, got=_problem(error), expected=f"valid {language} in UTF-8", remedy=remedy) from error
    if not isinstance(data, dict):
        raise ConfigError(who, got=type(data).__name__, expected="a mapping", remedy=remedy)
    return data


def _problem(error: Exception) -> str:
    """What is wrong with a file, and where if its parser knows."""
    if isinstance(error, RecursionError):
        return "values that are nested too deep"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error)[:400].split())


def _check_size(data: Any) -> None:
    """Raise ValueError where ``data`` is deep or large: a few lines of YAML may name one part many times."""
    level, count = [data], 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            below.extend(children)
            count += len(children)
            if count > MAX_VALUES:
                raise ValueError(f"more than {MAX_VALUES:,} values")
        if not below:
            return
        level = below
    raise ValueError(f"values more than {MAX_DEPTH} deep")


def apply_overrides(data: Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """``data`` with each of the ``overrides`` set.

    Another ``kind`` starts from its own defaults.

    Args:
        data: what is changed; it stays as it is.
        overrides: texts ``a.b.c=value``, whose values are read as YAML, so ``3``, ``true``, ``[1, 2]`` have their
            types; or a mapping, nested or with keys such as ``"a.b.c"``.

    Raises:
        ConfigError: an override without ``=``, or one that goes below a value that is no mapping.
    """
    result: dict[str, Any] = _copy(data)
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            for path, leaf in _leaves(str(key).split("."), value):
                _set(result, path, leaf, who=f"setting {'.'.join(path)}")
    else:
        for override in overrides:
            _set(result, *_read_override(override), who=f"--set {override}")
    return result


def _leaves(path: list[str], value: Any) -> Iterator[tuple[list[str], Any]]:
    """The single fields below ``path``, each kind before the fields that belong to it."""
    if not isinstance(value, Mapping) or not value:
        yield path, list(value) if isinstance(value, tuple) else value
        return
    for key in sorted(value, key=lambda key: key != "kind"):
        yield from _leaves([*path, str(key)], value[key])


def _read_override(override: str) -> tuple[list[str], Any]:
    if not isinstance(override, str):
        raise ConfigError(
            "settings",
            got=f"{_short(override)} in a list",
            expected="a list of texts key=value, or a mapping",
            remedy="Write e.g. settings={'training.epochs': 5}",
        )
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise ConfigError(
            f"--set {override}",
            got="no key before '='" if equals else "no '='",
            expected="key=value",
            remedy="Write e.g. --set training.epochs=5",
        )
    try:
        return path.strip().split("."), yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"--set {override}",
            got=f"'{text}', which is not YAML",
            expected="a value such as 3, true, some text, [1, 2] or {kind: text}",
            remedy="Correct the value; quote it for the shell if it holds brackets or spaces",
        ) from error


def _set(place: dict[str, Any], path: Sequence[str], value: Any, *, who: str) -> None:
    *parents, last = path
    for parent in parents:
        child = place.get(parent)
        if child is None:
            child = place[parent] = {}
        if not isinstance(child, dict):
            raise ConfigError(
                who,
                got=f"'{parent}' = {_short(child)}",
                expected="a group of fields there",
                remedy="Run 'tonggan recipes NAME' to see the fields",
            )
        place = child
    if last == "kind" and place.get("kind") not in (None, value):
        place.clear()  # the other fields belong to the former kind
    place[last] = value


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(child) for key, child in value.items()}
    return list(value) if isinstance(value, list) else value
