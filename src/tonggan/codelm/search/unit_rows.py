"""Units as rows of the store, and back. It decides what of a unit is searched by words and by meaning."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from tonggan.codelm.search.ranking import Role, role_of
from tonggan.codelm.units import UNIT_KINDS, Unit, UnitKind
from tonggan.codelm.words import symbol_of
from tonggan.errors import CacheError
from tonggan.retrieval.row import Row, Value
from tonggan.stored import Record, parse_record

_END_OF_TEXT = "\x00"  # between what is shown of a unit and what is only searched
_KIND = re.compile(f"#({'|'.join(UNIT_KINDS)})#")
_NUMBER = re.compile(r"#[0-9]+$")
_REMEDY = "Delete the folder of the index, which 'tonggan code index' makes anew"
_MOST_EMBEDDED: dict[Role, int] = {"code": 4_000, "docs": 600, "tests": 240, "history": 160}  # characters
_MOST_OF_OUTLINE = 400
VECTORS_VERSION = "units-2"
"""Of ``text_to_embed``: vectors of another version are made anew."""

_NAME_WEIGHT, _DOCSTRING_WEIGHT = 2, 1  # how often they are said besides once in the text


def rows_of(units: Sequence[Unit], *, group: str, content_hash: str) -> Iterator[Row]:
    """The rows of one file or commit. Equal names in it get a number each; a comment names the definition it is in."""
    keys = list(_keys(units, group=group))
    for key, unit in zip(keys, units, strict=True):
        names = " ".join([unit.name] * _NAME_WEIGHT)
        docstrings = "\n".join([unit.docstring] * _DOCSTRING_WEIGHT)
        text = f"{unit.text}{_END_OF_TEXT}{names}\n{unit.path}\n{docstrings}"
        fields: dict[str, Value] = {
            "kind": unit.kind,
            "name": unit.name,
            "symbol": symbol_of(unit.name),
            "qualified_name": unit.qualified_name,
            "path": unit.path,
            "start_line": unit.start_line,
            "end_line": unit.end_line,
            "docstring": unit.docstring,
            "signature": unit.signature,
            "language": unit.language or "",
            "inside": _inside(unit, units, keys) if unit.kind == "comment" else "",
        }
        yield Row(key, group, content_hash, text, fields)


def _keys(units: Iterable[Unit], *, group: str) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for unit in units:
        name = f"{group}#{unit.kind}#{unit.qualified_name}"
        seen[name] += 1
        yield f"{name}#{seen[name]}"


def _inside(comment: Unit, units: Sequence[Unit], keys: Sequence[str]) -> str:
    """The key of the innermost definition around ``comment``; empty where there is none."""
    around = [
        (unit.end_line - unit.start_line, key)
        for key, unit in zip(keys, units, strict=True)
        if unit.kind in ("function", "class") and unit.start_line <= comment.start_line <= unit.end_line
    ]
    return min(around, default=(0, ""))[1]


class _Fields(Record):
    """What of a row's fields makes a unit."""

    kind: UnitKind
    name: str
    qualified_name: str
    path: str
    start_line: int
    end_line: int
    docstring: str
    signature: str
    language: str


def unit_of(row: Row) -> Unit:
    """The unit that ``rows_of`` made ``row`` of.

    Raises:
        CacheError: the index is damaged.
    """
    fields = parse_record(_Fields, row.fields, who=f"row '{row.key}' of the index", remedy=_REMEDY, kind=CacheError)
    told = fields.model_dump()
    return Unit(**{**told, "language": fields.language or None}, text=row.text.partition(_END_OF_TEXT)[0])


def name_in(key: str) -> str:
    """The name of the unit whose row has this key; ``CacheError`` where that is none of a unit."""
    kind_and_path(key)
    return key.rsplit("#", 2)[1].rpartition(".")[2]


def kind_and_path(key: str) -> tuple[UnitKind, str]:
    """The kind of the unit whose row has this key, and the path of its file; empty for a commit.

    Raises:
        CacheError: the index is damaged.
    """
    found = _KIND.search(key)
    if found is None or not _NUMBER.search(key):
        raise CacheError(
            f"key '{key[:80]}' of the index", got="no key of a unit", expected="a key as it was written", remedy=_REMEDY
        )
    kind = cast("UnitKind", found[1])
    return kind, "" if kind == "commit" else key[: found.start()]


def text_to_embed(row: Row) -> str:
    """What the vector of ``row`` is made of: the unit as it stands in the file; of what is no code, only its beginning.

    A name and a docstring alone, the code without its docstring, and means over such views were all worse. Tests,
    commits and outlines are many, and their first lines say what they are about.
    """
    text = row.text.partition(_END_OF_TEXT)[0]
    kind, path = kind_and_path(row.key)
    most = _MOST_EMBEDDED[role_of(kind, path)]
    if kind == "file":
        most = min(most, _MOST_OF_OUTLINE)
    return text if len(text) <= most else text[:most].rpartition("\n")[0] or text[:most]
