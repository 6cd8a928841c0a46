"""The tables of items and of users: whose row is which, and what it says as attributes and vectors.

A frozen encoder is never trained here; without one installed, texts are their words alone, and pictures are not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.cells import cell_text
from tonggan.data.findings import Finding
from tonggan.data.kinds import guess_columns
from tonggan.data.languages import is_latin, languages_of
from tonggan.data.media_range import settle_ranges
from tonggan.data.readers import open_table
from tonggan.data.table import Table, spread
from tonggan.errors import DataError
from tonggan.floor.frozen import installed_weights
from tonggan.floor.reader import Reader
from tonggan.floor.tfidf import characters, words
from tonggan.modalities import ColumnConfig, NumericConfig, TextConfig
from tonggan.modalities.base import MediaConfig
from tonggan.progress import Progress
from tonggan.recommendation.base import Content, Places
from tonggan.recommendation.ids import Ids
from tonggan.recommendation.interactions import called_like
from tonggan.runs.loading import FEATURES, build_dataset, fit_modalities, scan_tables
from tonggan.tokens import Arrays
from tonggan.wording import listed

_SEPARATORS = re.compile(r"\s*[|;,/、，；]\s*")
_TITLE = re.compile(r"(.*[\W_])?(title|name|headline|label|标题|名称|片名|书名)([\W_:].*)?", re.IGNORECASE)
_IDEOGRAPH = re.compile("[\u3040-\u9fff]")
_MOST_ATTRIBUTES = 20_000  # of one column
_MOST_CHARACTERS = 4_000  # of a text
_MOST_ENCODED = 20_000  # rows that a frozen encoder reads; more take many minutes on a CPU
_FEW_WORDS = 0.5  # of the different cells: names that are put together of so few words are split into them
_FEW_NAMES = 0.2  # of the cells: lists of so few names are no prose
_CENTERS = 8  # of a number's quantiles
_ROWS_AT_ONCE = 256
_SAMPLE = 200
_MOST_SHARED = 3
_LEAST_KNOWN = 0.5  # of the ids of a column, for it to be the ids without being called so
_WORDS = {"item": ("items", "物品"), "user": ("users", "用户")}
Role = Literal["item", "user"]


@dataclass(frozen=True, eq=False)
class Attributes:
    """What items are and are called, for reasons and for people.

    Attributes:
        titles: of each item; None where the table of items has none.
        names: of F attributes.
        matrix: SciPy CSR float32 ``[I, F]``, how much each attribute tells of an item.
    """

    titles: Sequence[str | None]
    names: Sequence[str] = ()
    matrix: Any = None

    def shared(self, history: Places, item: int) -> list[str]:
        """The attributes of ``item`` that tell most of the items of ``history`` too."""
        if self.matrix is None or not len(history):
            return []
        common = self.matrix[item].multiply(self.matrix[history].mean(axis=0)).tocoo()
        order = np.argsort(-common.data, kind="stable")
        found = [self.names[common.col[place]] for place in order if common.data[place] > 0]
        return [name for name in found if name][:_MOST_SHARED]


def attributes_of(content: Content | None, num_items: int) -> Attributes:
    """What reasons are taken from."""
    if content is None:
        return Attributes([None] * num_items)
    return Attributes(content.titles, content.names, content.attributes.astype(np.float32))


def read_things(
    source: Any,
    ids: Ids,
    *,
    role: Role,
    column: str,
    kinds: Mapping[str, ColumnConfig],
    cache: Path,
    progress: Progress,
) -> tuple[Ids, Content, list[Finding]]:
    """All items or users, those of the table alone behind those of the interactions, and what is known of them.

    Args:
        source: the table; whatever ``open_table`` takes.
        ids: those of the interactions.
        role: which of the two.
        column: what the column of ids is called in the table of interactions.
        kinds: of the table's columns that are not to be guessed.
        cache: folder of caches.
        progress: told of every step.

    Raises:
        DataError: the table cannot be opened, or none of its columns has these ids.
    """
    table = open_table(source, cache=cache, progress=progress)
    name = _id_column(table, ids, role=role, column=column)
    cells = table.values(name)
    texts = [cell_text(cell) for cell in cells]
    more = [cell for cell, text in zip(cells, texts, strict=True) if text is not None and ids.find(cell) is None]
    known = ids.extended(more, stored_as=table.stored_as(name)) if more else ids
    rows = np.full(len(known), -1)
    again = []
    for row, cell in enumerate(cells):
        place = known.find(cell)
        if place is not None and rows[place] >= 0:
            again.append(row)
        elif place is not None:
            rows[place] = row
    content, columns = read_content(table, rows.tolist(), without=name, kinds=kinds, cache=cache, progress=progress)
    things, _ = _WORDS[role]
    said = ", ".join(f"{each} ({kind})" for each, kind in columns.items())
    progress.say(f"Table of {things}, by '{name}': {said or 'no further column that says anything'}")
    return known, content, _findings(table, name, ids, known, rows, texts, again, role=role)


def _id_column(table: Table, ids: Ids, *, role: Role, column: str) -> str:
    """The column of ``table`` that has the ids: of the same name, or called like it, or with most of them in it."""
    shares = {}
    for name in dict.fromkeys([column, called_like(role, table.names), *table.names]):
        if name in table.names:
            found = {ids.find(cell) for cell in table.values(str(name))} - {None}
            shares[str(name)] = len(found) / len(ids)
            if name in (column, called_like(role, table.names)) and found:
                return str(name)
    best = max(shares, key=shares.__getitem__)
    if shares[best] >= _LEAST_KNOWN:
        return best
    things, _ = _WORDS[role]
    named = column if column in table.names else called_like(role, table.names)
    got = f"the columns {', '.join(table.names[:20])}, none of which holds ids of {things}"
    if named is not None:
        held, _ = listed([text for cell in table.values(named) if (text := cell_text(cell)) is not None], limit=3)
        got = f"{held or 'nothing'} in '{named}'"
    raise DataError(
        f"table {table.source}",
        got=got,
        expected=f"the ids of {things} that '{column}' holds in the interactions, such as {ids.names[0]}",
        remedy=f"Check that the table is of the {things} of these interactions, and call its column of ids '{column}'",
    )


def _findings(
    table: Table,
    name: str,
    ids: Ids,
    known: Ids,
    rows: Any,
    texts: list[str | None],
    again: list[int],
    *,
    role: Role,
) -> list[Finding]:
    things, things_zh = _WORDS[role]
    findings = []
    absent = [ids.names[place] for place in np.flatnonzero(rows[: len(ids)] < 0).tolist()]
    if absent:
        shown, shown_zh = listed(absent, limit=3)
        findings.append(
            _finding(
                name, things, len(absent), "warning",
                f"{len(absent):,} of {len(ids):,} {things} are not in {table.source}, e.g. {shown}; nothing but who "
                "took them is known." if role == "item" else
                f"{len(absent):,} of {len(ids):,} {things} are not in {table.source}, e.g. {shown}.",
                f"{len(ids):,} 个{things_zh}中有 {len(absent):,} 个不在 {table.source} 中，例如 {shown_zh}。",
                "Add rows for them", "请为它们补充行",
            )
        )  # fmt: skip
    alone = known.names[len(ids) :]
    if alone:
        shown, shown_zh = listed(alone, limit=3)
        findings.append(
            _finding(
                name, things, len(alone), "note",
                f"{len(alone):,} {things} of {table.source} are in no interaction, e.g. {shown}"
                + ("; only what they are speaks for them." if role == "item" else "; they get the most popular."),
                f"{table.source} 中有 {len(alone):,} 个{things_zh}没有任何交互，例如 {shown_zh}。",
                "Nothing; they are kept", "无需处理；它们会被保留",
            )
        )  # fmt: skip
    if again:
        findings.append(
            _finding(
                name, things, len(again), "warning",
                f"{len(again):,} rows of {table.source} repeat an id in '{name}', e.g. row {again[0] + 1}; the first "
                "of each counts.",
                f"{table.source} 中有 {len(again):,} 行重复了“{name}”中的编号，例如第 {again[0] + 1} 行；只计第一行。",
                "Remove the repeats", "请删除重复的行",
            )
        )  # fmt: skip
    empty = [row for row, text in enumerate(texts) if text is None]
    if empty:
        findings.append(
            _finding(
                name, things, len(empty), "warning",
                f"{len(empty):,} rows of {table.source} have no id in '{name}' and are left out, e.g. row "
                f"{empty[0] + 1}.",
                f"{table.source} 中有 {len(empty):,} 行在“{name}”中没有编号，已略去，例如第 {empty[0] + 1} 行。",
                "Fill the ids in", "请补全编号",
            )
        )  # fmt: skip
    return findings


def _finding(
    column: str, part: str, count: int, severity: Literal["warning", "note"], message: str, message_zh: str,
    remedy: str, remedy_zh: str,
) -> Finding:  # fmt: skip
    return Finding(severity, column, part, count, message, message_zh, remedy, remedy_zh)


def read_content(
    table: Table,
    rows: Sequence[int],
    *,
    without: str,
    kinds: Mapping[str, ColumnConfig],
    cache: Path,
    progress: Progress,
) -> tuple[Content, dict[str, str]]:
    """What ``table`` says of the things in ``rows``, and what each of its columns was taken for.

    Args:
        table: one row for each thing.
        rows: its row of each thing; -1 of one that it does not have.
        without: the column of ids, which says nothing.
        kinds: of columns that are not to be guessed.
        cache: folder of caches.
        progress: told of every step.

    Raises:
        DataError: a column of ``kinds`` is not there.
    """
    from scipy.sparse import csr_matrix, hstack

    guesses = settle_ranges(table, guess_columns(table, target=(), declared=kinds))
    columns = {name: guess.config for name, guess in guesses.items() if name != without and guess.config.is_used}
    places = np.array(rows, dtype=np.int64)
    there = places >= 0
    sparse, names, dense = [csr_matrix((len(rows), 0))], [], [np.zeros((len(rows), 0), dtype=np.float32)]
    for name, config in columns.items():
        if isinstance(config, MediaConfig):
            dense.append(_media_vectors(table, name, config, places, cache=cache, progress=progress))
            continue
        values = table.values(name, places[there])
        cells: list[Any] = [None] * len(rows)
        for place, value in zip(np.flatnonzero(there).tolist(), values, strict=True):
            cells[place] = value
        if isinstance(config, NumericConfig):
            dense.append(_near_numbers(np.array([config.read(cell) for cell in cells], dtype=np.float64)))
            continue
        texts = [cell_text(cell) for cell in cells]
        block, found = _attributes(name, texts, is_text=isinstance(config, TextConfig) and not _are_lists(texts))
        sparse.append(block)
        names += found
        if isinstance(config, TextConfig):
            dense.append(_text_vectors(texts, config, cache=cache))
    content = Content(hstack(sparse).tocsr(), names, np.hstack(dense), _titles(table, columns, places))
    return content, {name: f"{config.kind}" for name, config in columns.items()}


def _titles(table: Table, columns: Mapping[str, ColumnConfig], places: NDArray[np.int64]) -> list[str | None]:
    """The cells of the column that is called like a title, else of the first text."""
    named = [name for name, config in columns.items() if _TITLE.fullmatch(name) and not isinstance(config, MediaConfig)]
    found = named + [name for name, config in columns.items() if isinstance(config, TextConfig)]
    titles: list[str | None] = [None] * len(places)
    if found:
        there = np.flatnonzero(places >= 0)
        for place, value in zip(there.tolist(), table.values(found[0], places[there]), strict=True):
            text = cell_text(value)
            titles[place] = None if text is None else text[:200]
    return titles


def _attributes(name: str, texts: Sequence[str | None], *, is_text: bool) -> tuple[Any, list[str]]:
    """Inverse document frequencies of the names or words in each cell ``[N, F]``, rows of length 1."""
    from scipy.sparse import csr_matrix, diags

    split = _words_of if is_text else _names_of(texts)
    parts = [list(dict.fromkeys(split(text))) if text else [] for text in texts]
    counts = Counter(part for row in parts for part in row)
    kept = [part for part, count in counts.most_common(_MOST_ATTRIBUTES) if count > 1]
    column = {part: place for place, part in enumerate(kept)}
    rows = [[column[part] for part in row if part in column] for row in parts]
    starts = np.cumsum([0, *map(len, rows)])
    columns = np.array([place for row in rows for place in row], dtype=np.int64)
    weights = np.log((1 + len(texts)) / (1 + np.array([counts[part] for part in kept], dtype=np.float64))) + 1
    matrix = csr_matrix((weights[columns], columns, starts), shape=(len(texts), len(kept)))
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1)).A1
    scaled = diags(np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)) @ matrix
    return scaled.tocsr(), ["" if is_text else f"{name.partition(':')[0]}: {part}" for part in kept]


def _are_lists(texts: Sequence[str | None]) -> bool:
    """Whether most cells are names out of few, separated by commas and the like, as genres are."""
    rows = [[part for part in _SEPARATORS.split(text) if part] for text in texts if text]
    different = {part for row in rows for part in row}
    return sum(map(len, rows)) > len(rows) and len(different) <= _FEW_NAMES * len(rows)


def _names_of(texts: Sequence[str | None]) -> Any:
    """What splits a cell into names: at commas and the like; at blanks where all cells are made of few words."""
    different = {text for text in texts if text}
    if not any(_SEPARATORS.search(text) for text in different):
        single = {word for text in different for word in text.split()}
        if any(" " in text for text in different) and len(single) <= _FEW_WORDS * len(different):
            return str.split
    return lambda text: [part for part in _SEPARATORS.split(text) if part]


def _words_of(text: str) -> list[str]:
    """Words, or runs of up to three characters where a text is written without blanks."""
    text = text[:_MOST_CHARACTERS]
    if len(_IDEOGRAPH.findall(text)) > 0.3 * len(text):
        return characters(text, 1, 3)
    return words(text, 1, 1)


def _near_numbers(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """``[N, 8]``: how near each number is to quantiles of all, so that like numbers have like rows; length 1."""
    known = np.isfinite(numbers)
    found = np.zeros((len(numbers), _CENTERS), dtype=np.float32)
    if known.any():
        ordered = np.sort(numbers[known])
        ranks = (np.searchsorted(ordered, numbers[known]) + np.searchsorted(ordered, numbers[known], "right")) / 2
        centers = (np.arange(_CENTERS) + 0.5) / _CENTERS
        near = np.exp(-(((ranks[:, None] / len(ordered)) - centers) ** 2) * _CENTERS**2 / 2)
        found[known] = near / np.linalg.norm(near, axis=1, keepdims=True)
    return found


def _text_vectors(texts: Sequence[str | None], config: TextConfig, *, cache: Path) -> NDArray[np.float32]:
    said = [text for text in texts if text]
    sample = [said[place] for place in spread(len(said), _SAMPLE).tolist()]
    latin = all(map(is_latin, languages_of(sample or [""]).split(", ")))
    weights = installed_weights("text", is_latin=latin)
    if weights is None or not 0 < len(said) <= _MOST_ENCODED:
        return np.zeros((len(texts), 0), dtype=np.float32)
    reader = Reader(config.build(), weights=weights, cache=cache / FEATURES)
    mask = torch.tensor([bool(text) for text in texts])
    given = np.array([text or "" for text in texts], dtype=object)
    return _centered(reader, [Arrays(torch.zeros(len(texts), 1), mask[:, None], texts=given)])


def _media_vectors(
    table: Table,
    name: str,
    config: MediaConfig,
    places: NDArray[np.int64],
    *,
    cache: Path,
    progress: Progress,
) -> NDArray[np.float32]:
    weights = installed_weights(config.kind, is_latin=True)
    there = np.flatnonzero(places >= 0)
    if weights is None or not 0 < len(there) <= _MOST_ENCODED:
        return np.zeros((len(places), 0), dtype=np.float32)
    own = table.select(places[there])
    modalities = {name: config.build()}
    fit_modalities(modalities, own, progress=progress)
    media, caches = scan_tables({"items": own}, modalities, task=None, target=(), cache=cache, progress=progress)
    dataset = build_dataset(own, modalities, media=media["items"], caches=caches)
    starts = range(0, len(there), _ROWS_AT_ONCE)
    batches = (
        dataset.batch(np.arange(start, min(start + _ROWS_AT_ONCE, len(there)))).inputs[name].expand()
        for start in progress.track(starts, label=f"Reading {name}", total=len(starts))
    )
    vectors = _centered(Reader(modalities[name], weights=weights, cache=cache / FEATURES), batches)
    found = np.zeros((len(places), vectors.shape[1]), dtype=np.float32)
    found[there] = vectors
    return found


def _centered(reader: Reader, batches: Any) -> NDArray[np.float32]:
    """The vectors of a frozen encoder less their mean, which all share and which tells nothing; of length 1."""
    readings = [reader.read(arrays) for arrays in batches]
    vectors = np.concatenate([reading.vectors for reading in readings if reading.vectors is not None])
    present = np.concatenate([reading.present for reading in readings])
    vectors[present] -= vectors[present].mean(axis=0)
    vectors[~present] = 0
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-6)
    return scaled
