"""What files hold that may be damaged, or made by others: read within bounds, checked, and named where it is wrong.

``named`` stands around whatever parses a file, ``read_record`` and ``parse_record`` say what must stand in one. None of
them knows a format.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tonggan.config import explain_fields, read_json
from tonggan.errors import ConfigError, DataError, TongganError

DOWNLOAD = "Download the model again"
_MAX_SAID = 1_500  # characters of what a parser says; the kinds of all encoders have room

_RecordT = TypeVar("_RecordT", bound="Record")


class Record(BaseModel):
    """What must stand in a file; further fields are let be, since a newer program may have written them."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


@contextmanager
def named(
    who: str,
    *,
    expected: str,
    remedy: str,
    kind: type[TongganError] = DataError,
    passing: tuple[type[TongganError], ...] = (TongganError,),
) -> Iterator[None]:
    """Whatever the content of files does to what reads them becomes an error of ``kind`` that names them.

    Args:
        who: the files.
        expected: what they should hold.
        remedy: what the user can do.
        kind: of the error.
        passing: errors that say all this themselves.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, passing) or not (isinstance(error, Exception) or is_panic(error)):
            raise
        said = f"{error.got}, expected {error.expected}" if isinstance(error, TongganError) else str(error)
        got = f"{type(error).__name__}: {' '.join(said[:_MAX_SAID].split())}"
        raise kind(who, got=got, expected=expected, remedy=remedy) from error


def is_panic(error: BaseException) -> bool:
    """Whether it is what a library in Rust raises where it has no error of its own: that is no Exception."""
    return type(error).__name__ == "PanicException"


def read_object(path: Path, *, remedy: str, kind: type[TongganError] = DataError) -> dict[str, Any]:
    """The object in the JSON file ``path``.

    Raises:
        kind: there is no such file, it is no JSON in UTF-8, too large or deep, or holds no object.
    """
    try:
        return read_json(path)
    except ConfigError as error:
        raise kind(error.who, got=error.got, expected=error.expected, remedy=remedy) from error


def parse_record(
    schema: type[_RecordT], data: Any, *, who: str, remedy: str, kind: type[TongganError] = DataError
) -> _RecordT:
    """``data`` as ``schema`` says it must be.

    Raises:
        kind: it is not; the error names each field.
    """
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        got, expected = explain_fields(error, data)
        raise kind(who, got=got, expected=expected, remedy=remedy) from error


def read_record(
    schema: type[_RecordT], path: Path, *, remedy: str, kind: type[TongganError] = DataError, is_optional: bool = False
) -> _RecordT:
    """The object in the JSON file ``path`` as ``schema`` says it must be; ``kind`` is raised as by both of these.

    With ``is_optional`` a file that is missing is one with nothing in it.
    """
    if is_optional and not path.is_file():
        return schema()
    data = read_object(path, remedy=remedy, kind=kind)
    return parse_record(schema, data, who=f"file {path}", remedy=remedy, kind=kind)
