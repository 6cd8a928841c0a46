"""Rows of a store and the conditions that choose among them.

It neither stores nor searches; it says what a row is and how a condition reads in SQL.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import DataError

Value = str | int | float


@dataclass(frozen=True)
class Compared:
    """A condition on a field other than equality: numbers are compared with numbers alone, texts with texts.

    Attributes:
        operator: how the field compares with ``value``.
        also: what the same field must hold as well, as for a range.
    """

    operator: Literal["<", "<=", ">", ">=", "!="]
    value: Value
    also: Compared | None = None

    def each(self) -> Iterator[Compared]:
        """Itself, and those that must hold as well."""
        yield self
        if self.also is not None:
            yield from self.also.each()


Where = Mapping[str, Value | Collection[Value] | Compared]
"""Each field equals the value, is one of the values, or compares with it."""

RESERVED = ("key", "group", "text")
_OF_FIELD = "(SELECT field.{} FROM json_each(fields) AS field WHERE field.key = ?)"


@dataclass(frozen=True, eq=False)
class Row:
    """One thing that can be found.

    Args:
        key: names the row; a row that is put under the same key takes its place.
        group: the file or record that the row came from; all rows of a group are deleted together.
        content_hash: of the whole group's content, the same for all its rows: an increment reads it to skip the group.
        text: what is searched by words; empty for a row that has none.
        fields: plain values to filter by and to give back; none may be named ``key``, ``group`` or ``text``.
        vector: ``[D]``, kept in half precision; None where it is not known (yet).
        tokens: ``[T, E]``, kept in half precision: vectors of its parts, which are given back and not searched.
    """

    key: str
    group: str
    content_hash: str
    text: str = ""
    fields: Mapping[str, Value] = field(default_factory=dict)
    vector: NDArray[np.float32] | None = None
    tokens: NDArray[np.floating[Any]] | None = None

    def check(self, *, dim: int | None) -> None:
        """Raises DataError where the row cannot be stored in a store of ``dim``."""
        for name, text in {"key": self.key, "group": self.group, "text": self.text, **self.fields}.items():
            if isinstance(text, str) and not text.isascii() and _has_surrogates(text):
                raise DataError(
                    f"row {self.key!r}, {name}",
                    got="text that UTF-8 cannot hold (lone surrogates)",
                    expected="text that was decoded without 'surrogateescape'",
                    remedy="Decode it with errors='replace'",
                )
        for name, value in self.fields.items():
            if name in RESERVED or not isinstance(value, str | int | float):
                raise DataError(
                    f"row '{self.key}', field '{name}'",
                    got=f"{type(value).__name__} {value!r}",
                    expected=f"text or a number, under a name other than {', '.join(RESERVED)}",
                    remedy="Rename the field or store it as text",
                )
        if self.vector is not None:
            check_vector(self.vector, who=f"row '{self.key}'", dim=dim)


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def check_vector(vector: NDArray[Any], *, who: str, dim: int | None) -> None:
    """Raises DataError unless ``vector`` is finite in half precision and ``[dim]``."""
    if vector.shape != (dim,):
        raise DataError(
            who,
            got=f"a vector of shape {vector.shape}",
            expected=f"shape ({dim},)" if dim else "no vector, because the store was opened without 'dim'",
            remedy="Open the store with the number of dimensions that the vectors have",
        )
    if not np.isfinite(vector).all() or np.abs(vector).max(initial=0.0) > np.finfo(np.float16).max:
        raise DataError(
            who,
            got="a vector with a value that is not finite in half precision",
            expected="finite numbers",
            remedy="Normalize the vector",
        )


def selection(columns: str, where: Where | None, *, since: int = 0) -> tuple[str, list[Any]]:
    """The SQL that reads ``columns`` of the rows that ``where`` chooses and that are younger than commit ``since``.

    A field is found by its name, whatever that is made of: in a JSON path quotes have no escape, and letters other than
    ASCII are not those that JSON escapes. A row without the field is not chosen.
    """
    # Statements are put together from constants only; what a caller gives is bound as parameters.
    terms: list[str] = ["generation > ?"] if since else ["TRUE"]  # For all rows no index by generation is of use.
    parameters: list[Value] = [since] if since else []
    for name, wanted in (where or {}).items():
        is_field = name not in ("key", "group")
        column = _OF_FIELD.format("atom") if is_field else f'"{name}"'
        named = [name] if is_field else []
        if isinstance(wanted, Compared):
            kind = _OF_FIELD.format("type") if is_field else "'text'"
            for one in wanted.each():
                types = "('text')" if isinstance(one.value, str) else "('integer', 'real')"
                terms.append(f"{kind} IN {types} AND {column} {one.operator} ?")
                parameters += [*named, *named, one.value]
        elif isinstance(wanted, str | int | float):
            terms.append(f"{column} = ?")
            parameters += [*named, wanted]
        else:
            terms.append(f"{column} IN (SELECT value FROM json_each(?))")  # noqa: S608
            parameters += [*named, json.dumps(list(wanted))]
    return f"SELECT {columns} FROM rows WHERE {' AND '.join(terms)}", parameters  # noqa: S608
