"""From a table to an index: rows that are new or have changed are embedded, those that have gone are forgotten."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tonggan.cells import cell_text, is_missing
from tonggan.config import apply_overrides
from tonggan.data.cache import content_hash
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.data.scan import MediaColumn
from tonggan.data.table import Table, spread
from tonggan.errors import BundleError, ConfigError
from tonggan.files import path_here
from tonggan.modalities import ColumnConfig, DateConfig, Modality, NumberConfig
from tonggan.modalities.base import MediaConfig, MediaModality
from tonggan.progress import Progress, chosen_progress
from tonggan.retrieval.row import Row, Value
from tonggan.runs.loading import scan_tables
from tonggan.space.config import MatchRecipe
from tonggan.space.features import Features, read_as
from tonggan.space.index import INPUT, field_of, row_key
from tonggan.space.index_folder import (
    DATE,
    FORMAT,
    INDEX,
    ROWS,
    SPACE,
    IndexInfo,
    open_store,
    query_modalities,
    read_info,
    write_info,
)
from tonggan.space.matcher import STARTER, Matcher, is_space, load_matcher, open_matcher
from tonggan.space.media_folder import media_below
from tonggan.space.pairs import columns_to_match

_ROWS_AT_ONCE = 512
FEWEST_ADAPTED_TO = 30
"""Rows of a collection from which on it is read by its own means and deviations."""
_MOST_ADAPTED_TO = 1_000
_LONGEST_CELL = 10_000  # characters that are kept
_KEY = 12


@dataclass(frozen=True)
class Indexed:
    """What came of it.

    Attributes:
        rows: in the index.
        embedded: that were new or had changed.
        forgotten: that had gone.
        unreadable: files that cannot be decoded or are not there.
        inputs: kind of each input that has vectors.
    """

    rows: int
    embedded: int
    forgotten: int
    unreadable: int
    inputs: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "rows": self.rows,
            "embedded": self.embedded,
            "forgotten": self.forgotten,
            "unreadable": self.unreadable,
            "inputs": dict(self.inputs),
        }


def index(
    space: str | Path,
    data: Any,
    *,
    out: str | Path,
    settings: Sequence[str] | Mapping[str, Any] = (),
    overwrite: bool = False,
    progress: Progress | bool | None = None,
) -> Indexed:
    """Make the rows of ``data`` searchable, or bring their index up to date; ``SpaceIndex.open(out)`` searches it.

    Args:
        space: folder of a run of ``fit_space``, or names of weights joined by ``+``.
        data: table, as for ``fit``, or a folder of pictures, sounds or clips.
        out: the index's folder.
        settings: kinds of columns, as ``{"columns.cover.kind": "image"}``.
        overwrite: replace an index of another table or space.
        progress: as for ``fit``.

    Raises:
        TongganError: with who, what was got, what was expected, and the remedy.
    """
    columns = MatchRecipe.parse(apply_overrides({}, settings), who="settings").columns
    shown = chosen_progress(progress)
    return index_table(str(space), data, out=Path(out), columns=columns, overwrite=overwrite, progress=shown)


def index_table(
    source: str,
    data: Any,
    *,
    out: Path,
    columns: Mapping[str, ColumnConfig] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Indexed:
    """Bring the index in ``out`` to what ``data`` holds; stopped at any moment it goes on when it is repeated.

    Args:
        source: as for ``open_matcher``.
        data: as for ``open_table``; a folder of pictures, sounds or clips as well.
        out: the index's folder.
        columns: what some columns are; the others are guessed.
        overwrite: whether ``out`` may hold an index of another table or space, which this one replaces.
        progress: told of every step.

    Raises:
        ConfigError: the space reads no column of the data.
        DataError: the data cannot be read.
        BundleError: ``out`` cannot be written, or holds something else.
        StoreBusyError: another process is writing to it.
        MissingExtraError: a package is missing.
    """
    progress = progress or Progress()
    matcher = open_matcher(source)
    cache = cache_folder()
    table = open_table(media_below(data), cache=cache, progress=progress)
    kinds, reasons = columns_to_match(table, columns or {})
    inputs = compared_inputs(table, kinds, reasons, matcher)
    named = str(Path(data).expanduser().absolute()) if isinstance(data, str | Path) else table.source
    _check_folder(out, named, matcher, overwrite=overwrite)
    _tell(inputs, kinds, matcher, progress, is_starter=source == STARTER)
    work = _Indexing(table, kinds, inputs, cache=cache, progress=progress)
    original = matcher.sha256
    matcher = work.adapted(matcher, out)
    info = IndexInfo(
        format=FORMAT,
        space=original,
        source=named,
        base=str(table.base.absolute()),
        weights={} if matcher.is_one_space else dict(matcher.weights),
        inputs={name: modality.kind for name, modality in inputs.items()},
        fields={name: _form(config) for name, config in kinds.items()},
    )
    write_info(out, info)
    done = work.run(out, matcher, info)
    write_info(out, info.model_copy(update={"rows": done.rows}))
    return done


def compared_inputs(
    table: Table, kinds: Mapping[str, ColumnConfig], reasons: Mapping[str, str], matcher: Matcher
) -> dict[str, Modality[Any]]:
    """What has vectors: each column of a kind that the space reads, and the cells that it has learned from."""
    by_kind = query_modalities(matcher)
    found = {name: by_kind[config.kind] for name, config in kinds.items() if config.kind in by_kind}
    table_input = by_kind.get("table")
    if table_input is not None and set(table_input.cells) <= set(table.names):
        found["table"] = table_input
    if not found:
        raise ConfigError(
            f"table {table.source}",
            got="; ".join(f"{name}: {kinds[name].kind} ({reason})" for name, reason in reasons.items()),
            expected=f"a column of a kind that the space reads: {', '.join(by_kind)}",
            remedy=next((told for each in kinds.values() if (told := matcher.could_read(each.kind))), None)
            or "Declare a kind, e.g. --set columns.NAME.kind=text, or use another space",
        )
    return found


def _tell(
    inputs: Mapping[str, Modality[Any]],
    kinds: Mapping[str, ColumnConfig],
    matcher: Matcher,
    progress: Progress,
    *,
    is_starter: bool,
) -> None:
    """What is compared, what is only shown, and what the space reads but the table lacks."""
    compared = {column for name, each in inputs.items() for column in (each.cells or [name])}
    shown = [name for name in kinds if name not in compared]
    progress.say(f"Compared by: {', '.join(sorted(compared))}")
    if shown:
        progress.say(f"Kept for display and filters, not compared: {', '.join(shown)}")
    for name in shown:
        if remedy := matcher.could_read(kinds[name].kind):
            progress.say(f"Warning: the space could compare '{name}', too. {remedy}")
    if is_starter and any(each.kind == "audio" for each in inputs.values()):
        progress.say("Recordings are compared by the words that are spoken in them")
    table_input = query_modalities(matcher).get("table")
    if table_input is not None and "table" not in inputs:
        lacking = [name for name in table_input.cells if name not in kinds]
        progress.say(f"Warning: numbers and categories are not compared, since the table lacks {', '.join(lacking)}")


def _check_folder(out: Path, source: str, matcher: Matcher, *, overwrite: bool) -> None:
    """Raise BundleError where ``out`` is a folder with something else, a damaged index, or one of something else."""
    if (out / INDEX).exists():
        info = read_info(out)
        weights = {} if matcher.is_one_space else dict(matcher.weights)
        if (info.source, info.space, info.weights) != (source, matcher.sha256, weights) and not overwrite:
            raise BundleError(
                f"index {out}",
                got="one by another space" if info.source == source else f"that of {info.source}",
                expected="one of the same table by the same space, to bring up to date",
                remedy="Choose another folder with --out, or replace it with --overwrite",
            )
    elif out.exists() and not (out.is_dir() and {each.name for each in out.iterdir()} <= {SPACE, ROWS}):
        raise BundleError(
            f"index {out}",
            got="something else",
            expected="a new folder, or that of an index to bring up to date",
            remedy="Choose another folder with --out",
        )


class _Indexing:
    """One pass over a table."""

    def __init__(
        self,
        table: Table,
        kinds: Mapping[str, ColumnConfig],
        inputs: Mapping[str, Modality[Any]],
        *,
        cache: Path,
        progress: Progress,
    ) -> None:
        self.table, self.kinds, self.inputs, self.cache, self.progress = table, kinds, inputs, cache, progress
        self.unreadable = 0

    def adapted(self, matcher: Matcher, out: Path) -> Matcher:
        """``matcher`` as it reads these files: the copy in ``out``, which is made where there is none.

        Raises:
            BundleError: ``out`` cannot be written.
        """
        if matcher.folder is None:
            shutil.rmtree(out / SPACE, ignore_errors=True)
            return matcher
        if (out / INDEX).exists() and read_info(out).space == matcher.sha256 and is_space(out / SPACE):
            copy = load_matcher(out / SPACE, encoders=matcher.encoders)
            if copy.weights == matcher.weights:  # and none was installed meanwhile
                return copy
        self.reader = matcher.reader(self.inputs)
        chosen = spread(len(self.table), _MOST_ADAPTED_TO)
        features = self._features(chosen)[0]
        known = matcher.space.widths
        for kind in {read_as(each.kind, known) for each in self.inputs.values() if isinstance(each, MediaModality)}:
            own = [each for name, each in features.items() if read_as(self.inputs[name].kind, known) == kind]
            joined = Features.cat(own)
            if joined.present.sum() >= FEWEST_ADAPTED_TO:
                matcher.space.adapt(kind, joined)
        return matcher.save(out / SPACE)

    def run(self, out: Path, matcher: Matcher, info: IndexInfo) -> Indexed:
        """Index the table into ``out``."""
        self.matcher, self.info = matcher, info
        self.reader = matcher.reader(self.inputs)
        self.identity = matcher.identity(self.reader) + (DATE if DATE in info.fields.values() else "")
        with open_store(out, matcher, progress=self.progress) as store:
            known = store.groups()
            seen: Counter[str] = Counter()
            embedded, keys = 0, set()
            with store.writing() as writer:
                for first in range(0, len(self.table), _ROWS_AT_ONCE):
                    rows = np.arange(first, min(first + _ROWS_AT_ONCE, len(self.table)))
                    cells = self._cells(rows)
                    named = [self._named(row, seen) for row in cells]
                    keys |= {key for key, _ in named}
                    new = [place for place, (key, digest) in enumerate(named) if known.get(key) != digest]
                    if new:
                        for place in new:
                            writer.delete_group(named[place][0])
                        writer.put(self._rows(rows[new], [cells[at] for at in new], [named[at] for at in new]))
                        writer.commit()
                        embedded += len(new)
                    self.progress.update("index", done=int(rows[-1]) + 1, total=len(self.table))
                gone = [key for key in known if key not in keys]
                for key in gone:
                    writer.delete_group(key)
            return Indexed(len(keys), embedded, len(gone), self.unreadable, self.info.inputs)

    def _cells(self, rows: Any) -> list[dict[str, Any]]:
        columns = {name: self.table.values(name, rows) for name in self.kinds}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _named(self, row: Mapping[str, Any], seen: Counter[str]) -> tuple[str, str]:
        """A row's key, from its cells, and a hash of all that it holds, files included."""
        plain = json.dumps({name: _stable(cell) for name, cell in row.items()}, ensure_ascii=False, default=str)
        name = hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16)
        seen[name.hexdigest()] += 1
        name.update(str(seen[name.hexdigest()]).encode())
        digest = hashlib.blake2b(f"{plain}\0{self.identity}".encode("utf-8", "surrogatepass"), digest_size=16)
        for column, config in self.kinds.items():
            if isinstance(config, MediaConfig) and isinstance(row[column], str):
                digest.update(self._state(row[column]))
        return name.hexdigest()[:_KEY], digest.hexdigest()

    def _features(self, rows: Any) -> tuple[dict[str, Features], dict[str, MediaColumn]]:
        """What the space reads of ``rows``, and what their files are."""
        part = self.table.select(rows)
        media, caches = scan_tables(
            {"rows": part}, self.inputs, task=None, target=[], cache=self.cache, progress=Progress()
        )
        features = self.reader.read_table(
            part, media=media["rows"], caches=caches, rows=np.arange(len(part)), progress=Progress()
        )
        return features, media["rows"]

    def _fields(self, row: Mapping[str, Any]) -> dict[str, Value]:
        """The cells that are kept: numbers and dates of columns that have such as these, whatever their spelling."""
        fields = {}
        for name, cell in row.items():
            value = _shown(cell)
            config = self.kinds[name]
            if value is not None and isinstance(config, DateConfig):
                value = value if np.isnan(moment := config.read(cell)) else config.written(moment)
            elif isinstance(value, str) and self.info.fields[name] == "number":
                value = _number(config.read(cell) if isinstance(config, NumberConfig) else value, value)
            if value is not None:
                fields[field_of(name)] = value
        return fields

    def _state(self, path: str) -> bytes:
        try:
            status = (self.table.base / path_here(path, self.table.base)).stat()
        except (OSError, ValueError):
            return b"missing"
        return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}".encode()

    def _rows(self, rows: Any, cells: Sequence[Mapping[str, Any]], named: Sequence[tuple[str, str]]) -> list[Row]:
        features, media = self._features(rows)
        kinds, space = self.info.inputs, self.matcher.space
        vectors = {name: self.matcher.embed(kinds[name], each) for name, each in features.items()}
        sets = [space.sets_of(kinds[name], each) for name, each in features.items()]
        self.unreadable += sum(int((column.status >= 2).sum()) for column in media.values())
        made = []
        for place, (row, (key, digest)) in enumerate(zip(cells, named, strict=True)):
            fields = self._fields(row)
            text = "\n".join(str(row[name]) for name, form in self.info.fields.items() if form == "text" and row[name])
            made.append(Row(row_key(key, ""), key, digest, text, {**fields, INPUT: ""}))
            made += [
                Row(row_key(key, name), key, digest, "", {**fields, INPUT: name}, vectors[name][place], tokens[place])
                for (name, each), tokens in zip(features.items(), sets, strict=True)
                if each.present[place]
            ]
        return made


def _form(config: ColumnConfig) -> str:
    if isinstance(config, MediaConfig | DateConfig):
        return DATE if isinstance(config, DateConfig) else "file"
    return "text" if config.form in ("text", "name", "names") else "number"


def _number(read: Any, written: str) -> Value:
    """A cell as a whole number or another one; as it is written where it is none."""
    try:
        number = float(read)
    except (TypeError, ValueError):
        return written
    return int(number) if number.is_integer() else number if np.isfinite(number) else written


def _stable(cell: Any) -> Any:
    """A cell as it names its row: embedded files by their content."""
    if isinstance(cell, bytes):
        return content_hash(cell).hex()
    if isinstance(cell, Mapping):
        return {key: _stable(value) for key, value in cell.items()}
    return cell


def _shown(cell: Any) -> Value | None:
    """A cell as it is kept: a number, or a text of bounded length; None where it says nothing that can be shown."""
    if isinstance(cell, Mapping):
        cell = cell.get("path")
    if isinstance(cell, bytes) or is_missing(cell):
        return None
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return cell
    text = cell_text(cell)
    return None if not text else text.encode("utf-8", "replace").decode()[:_LONGEST_CELL]
