"""Rows of a table that are found by words, pictures, sounds, clips, or other rows.

Each row of the table has a vector for each of its inputs. A row that has not changed is not embedded again, and one
that has gone is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.alignment.token_sets import rescored
from tonggan.cells import cell_text
from tonggan.errors import BundleError, ConfigError, DataError, UnreadableError
from tonggan.modalities import MediaModality
from tonggan.progress import Progress
from tonggan.retrieval.rankings import by_reciprocal_rank
from tonggan.retrieval.row import Value, Where
from tonggan.retrieval.store import Store
from tonggan.space.conditions import check_wanted, of_dates
from tonggan.space.features import TokenSets, read_as
from tonggan.space.index_folder import DATE, SPACE, IndexInfo, open_store, query_modalities, read_info
from tonggan.space.matcher import Matcher, frozen_matcher, load_matcher

INPUT = "tonggan:input"
"""The field of a stored vector that says which input of the row it is of."""
WORDS = "words"
"""What is told to have found a row by its words."""
_OF_OTHER_KIND = 0.3  # what a ranking by another kind than the query's counts: it is far less sure
_CANDIDATES = 100  # of each ranking at least


@dataclass(frozen=True)
class Hit:
    """A row that was found.

    Attributes:
        key: names the row in this index.
        score: comparable within one answer only.
        row: its cells.
        found_by: how alike each of its inputs is, by name, and how well its ``words`` fit.
    """

    key: str
    score: float
    row: Mapping[str, Value]
    found_by: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"key": self.key, "score": self.score, "found_by": dict(self.found_by), "row": dict(self.row)}


@dataclass(frozen=True)
class _Ranking:
    """Rows by score, best first, and how much the ranking counts beside others."""

    name: str
    scores: Mapping[str, float]
    weight: float = 1.0


@dataclass(frozen=True)
class _Asked:
    """What is asked for: its vector, and where sets are compared its tokens ``[T, E]``."""

    vector: NDArray[np.float32]
    tokens: NDArray[Any] | None


class SpaceIndex:
    """An index that is open for searches.

    Args:
        folder: of the index.
        info: what it holds.
        matcher: makes vectors.
        store: holds rows.
    """

    def __init__(self, folder: Path, info: IndexInfo, matcher: Matcher, store: Store) -> None:
        self.folder, self.info, self.matcher, self.store = folder, info, matcher, store
        self.modalities = query_modalities(matcher)
        self._reader = matcher.reader(self.modalities)

    @classmethod
    def open(cls, folder: str | Path, *, progress: Progress | None = None) -> Self:
        """The index in ``folder``.

        Raises:
            BundleError: there is none, or it is damaged or of a newer format.
            MissingExtraError: a package that searches is not installed.
        """
        folder = Path(folder)
        info = read_info(folder)
        matcher = load_matcher(folder / SPACE) if (folder / SPACE).is_dir() else frozen_matcher(info.weights)
        opened = cls(folder, info, matcher, open_store(folder, matcher, progress=progress))
        opened._check_rows(progress or Progress())
        return opened

    def _check_rows(self, progress: Progress) -> None:
        """Tell of an index whose making was stopped; raise BundleError where rows are gone."""
        if self.info.rows is None:
            progress.say(
                f"Warning: the index is unfinished, {len(self):,} rows so far; repeat its command to go on with it"
            )
        elif (count := len(self)) < self.info.rows:
            self.close()
            raise BundleError(
                f"index {self.folder}",
                got=f"{count:,} of its {self.info.rows:,} rows",
                expected="all of them",
                remedy="Make the index again: tonggan index RUN DATA --out FOLDER",
            )

    def __len__(self) -> int:
        return len(self.store.groups())

    def close(self) -> None:
        """Free the store."""
        self.store.close()

    def search(
        self,
        text: str | None = None,
        *,
        image: bytes | None = None,
        audio: bytes | None = None,
        video: bytes | None = None,
        row: Mapping[str, Any] | None = None,
        where: Where | None = None,
        inputs: Sequence[str] | None = None,
        limit: int = 10,
        exact: bool = False,
    ) -> list[Hit]:
        """The rows that are most like what is asked for, best first.

        Args:
            text: is compared with words, and with every input that the space relates to texts.
            image: an encoded picture.
            audio: an encoded recording.
            video: an encoded clip.
            row: cells by column, of which each input is compared.
            where: only rows whose fields it chooses.
            inputs: compare with these alone; without it with all.
            limit: how many rows at most.
            exact: compare with every vector, of however many.

        Raises:
            ConfigError: a kind, a field or an input that the index lacks.
            UnreadableError: the picture, recording or clip cannot be decoded.
        """
        self._check(where, inputs)
        if text is not None:
            self._check_text(text, inputs)
        found: list[_Ranking] = []
        if text is not None and inputs is None:
            words = self.store.search_words(text, limit=self._candidates(limit), where=self._stored(where))
            found.append(_Ranking(WORDS, self._of_rows(words)))
        for kind, one in self._asked(text, {"image": image, "audio": audio, "video": video}, row=row):
            for name in self._comparable(kind, inputs):
                ranking = self._by_vector(one, name, where=where, limit=limit, exact=exact)
                found.append(_Ranking(name, ranking, 1.0 if self._are_alike(kind, name) else _OF_OTHER_KIND))
        return self._hits(found, limit=limit)

    def similar(
        self,
        key: str,
        *,
        where: Where | None = None,
        inputs: Sequence[str] | None = None,
        limit: int = 10,
        exact: bool = False,
    ) -> list[Hit]:
        """The rows most like the row ``key``, each input compared with the same input; the row itself is left out.

        Raises:
            DataError: there is no such row.
            ConfigError: a field or an input that the index lacks.
        """
        self._check(where, inputs)
        keys = [row_key(key, name) for name in self.info.inputs if inputs is None or name in inputs]
        rows = [row for row in self.store.rows(keys) if row.vector is not None]
        if not rows:
            raise DataError(
                f"index {self.folder}",
                got=f"no row '{key}'",
                expected="a key shown by a search",
                remedy="Search first; each row is shown with its key",
            )
        rankings, sets = [], self._token_sets(keys)
        for row in rows:
            name = str(row.fields[INPUT])
            assert row.vector is not None
            asked = _Asked(row.vector, sets.get(row.key))
            found = self._by_vector(asked, name, where=where, limit=limit + 1, exact=exact)
            found.pop(key, None)
            rankings.append(_Ranking(name, found))
        return self._hits(rankings, limit=limit)

    def _asked(
        self, text: str | None, files: Mapping[str, bytes | None], *, row: Mapping[str, Any] | None
    ) -> list[tuple[str, _Asked]]:
        """Each thing that is asked for, and its kind."""
        items: list[tuple[str, Any]] = []
        if text is not None and "text" in self.modalities:
            items.append(("text", text))
        for kind, raw in files.items():
            if raw is not None:
                modality = self.modalities.get(kind)
                if not isinstance(modality, MediaModality):
                    raise self._lacks(kind)
                items.append((kind, modality.decode(raw)))
        items += self._cells(row or {})
        asked = []
        for kind, item in items:
            features = self._reader.read(kind, [item])
            if features.present[0]:
                (vector,) = self.matcher.embed(kind, features, as_query=True)
                asked.append((kind, _Asked(vector, self.matcher.space.sets_of(kind, features)[0])))
            elif kind == "table":
                told = ", ".join(f"{name}={cell}" for name, cell in item.items() if cell_text(cell))
                raise DataError(
                    "the row that is asked for",
                    got=told or "empty cells",
                    expected="a cell that is read as its column's are",
                    remedy="Write numbers as in the table, e.g. 12.5",
                )
        return asked

    def _cells(self, row: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """What the cells of a row are to the space, by kind."""
        items: list[tuple[str, Any]] = []
        unknown = set(row) - set(self.info.fields)
        if unknown:
            raise self._no_field(sorted(unknown)[0])
        for name, cell in row.items():
            kind = self.info.inputs.get(name)
            modality = self.modalities.get(kind or "")
            if kind == "text" and cell_text(cell):
                items.append(("text", str(cell)))
            elif isinstance(modality, MediaModality) and kind is not None and cell:
                items.append((kind, modality.decode(bytes_of(str(cell), self.info.base))))
        table = self.modalities.get("table")
        if table is not None and set(table.cells) & set(row):
            items.append(("table", {column: row.get(column) for column in table.cells}))
        if row and not items:
            got = f"cells of {', '.join(row)} alone, which are empty or not compared"
            expected = f"a cell of {', '.join([*self.info.inputs, *(table.cells if table else ())])}"
            remedy = "Ask for one of these; --where keeps rows by the others"
            raise ConfigError(f"index {self.folder}", got=got, expected=expected, remedy=remedy)
        return items

    def _comparable(self, kind: str, inputs: Sequence[str] | None) -> list[str]:
        return [
            name
            for name in self.info.inputs
            if (inputs is None or name in inputs) and (self.matcher.is_one_space or self._are_alike(kind, name))
        ]

    def _are_alike(self, kind: str, name: str) -> bool:
        """Whether a query of ``kind`` and the input ``name`` are read by the same encoder."""
        return len({read_as(each, self.matcher.space.widths) for each in (kind, self.info.inputs[name])}) == 1

    def _by_vector(self, asked: _Asked, name: str, *, where: Where | None, limit: int, exact: bool) -> dict[str, float]:
        only = {} if len(self.info.inputs) == 1 else {INPUT: name}
        found = self.store.search_vectors(
            asked.vector, limit=self._candidates(limit), where={**self._stored(where), **only} or None, exact=exact
        )
        return self._of_rows(found if asked.tokens is None else self._ranked_again(found, asked.tokens))

    def _ranked_again(self, found: Mapping[str, float], asked: NDArray[Any]) -> dict[str, float]:
        """``found`` with sets of tokens compared in place of their means, best first."""
        sets, space = self._token_sets(found), self.matcher.space
        keys = [key for key in found if key in sets]
        if not keys:
            return dict(found)
        scores = rescored(
            torch.tensor([[found[key] for key in keys]]),
            TokenSets.of([asked]).tokens(),
            TokenSets.of([sets[key] for key in keys]).tokens(),
            space.matching,
            share=1 - space.share,
        )
        ranked = dict(zip(keys, scores[0].tolist(), strict=True))
        return dict(sorted(ranked.items(), key=lambda pair: -pair[1]))

    def _token_sets(self, keys: Iterable[str]) -> dict[str, NDArray[np.float16]]:
        return self.store.token_sets(keys) if self.matcher.space.compares_sets else {}

    def _candidates(self, limit: int) -> int:
        return max(_CANDIDATES, 3 * limit)

    @staticmethod
    def _of_rows(found: Mapping[str, float]) -> dict[str, float]:
        """Scores of stored vectors or texts by row, that of its best one."""
        rows: dict[str, float] = {}
        for key, score in found.items():
            rows.setdefault(key.partition("/")[0], score)
        return rows

    def _hits(self, rankings: Sequence[_Ranking], *, limit: int) -> list[Hit]:
        filled = [each for each in rankings if each.scores]
        if not filled:
            return []
        total: Mapping[str, float] = filled[0].scores
        if len(filled) > 1:
            total = by_reciprocal_rank([each.scores for each in filled], weights=[each.weight for each in filled])
        best = list(total.items())[:limit]
        stored = {row.group: row for row in self.store.rows(self._first_keys([key for key, _ in best]))}
        hits = []
        for key, score in best:
            if key in stored:
                found_by = {each.name: each.scores[key] for each in filled if key in each.scores}
                cells = {
                    name: value
                    for name in self.info.fields
                    if (value := stored[key].fields.get(field_of(name))) is not None
                }
                hits.append(Hit(key, score, cells, found_by))
        return hits

    def _first_keys(self, keys: Sequence[str]) -> list[str]:
        return [row_key(key, name) for key in keys for name in ("", *self.info.inputs)]

    def _stored(self, where: Where | None) -> Where:
        dates = {name for name, form in self.info.fields.items() if form == DATE}
        return {field_of(n): of_dates(each, n) if n in dates else each for n, each in (where or {}).items()}

    def _check(self, where: Where | None, inputs: Sequence[str] | None) -> None:
        for name, wanted in (where or {}).items():
            if name not in self.info.fields:
                raise self._no_field(name)
            check_wanted(self.store, field_of(name), wanted, column=name)
        for name in inputs or ():
            if name not in self.info.inputs:
                raise ConfigError(
                    f"index {self.folder}",
                    got=f"no input '{name}'",
                    expected="one of " + ", ".join(self.info.inputs),
                    remedy="Correct the name",
                )

    def _check_text(self, text: str, inputs: Sequence[str] | None) -> None:
        if not text.strip():
            raise ConfigError(
                f"index {self.folder}", got="no words", expected="what to look for", remedy="Write a word or more"
            )
        has_words = inputs is None and "text" in self.info.fields.values()
        if not has_words and not ("text" in self.modalities and self._comparable("text", inputs)):
            raise self._lacks("text")

    def _no_field(self, name: str) -> ConfigError:
        return ConfigError(
            f"index {self.folder}",
            got=f"no column '{name}'",
            expected="one of " + ", ".join(self.info.fields),
            remedy="Correct the name",
        )

    def _lacks(self, kind: str) -> ConfigError:
        got, known = f"a query of kind '{kind}'", ", ".join(self.modalities)
        remedy = self.matcher.could_read(kind) or "Index with a space that reads it, of tonggan fit TABLE --task match"
        return ConfigError(
            f"index {self.folder}", got=got, expected=f"one of {known}, which its space reads", remedy=remedy
        )


def field_of(column: str) -> str:
    """How the store calls a column: some names of its own would not do."""
    return f"column:{column}"


def row_key(key: str, name: str) -> str:
    """How the store names the vector of the input ``name`` of a row, or, without a name, its words."""
    return f"{key}/{name}"


def bytes_of(path: str, base: str) -> bytes:
    """The content of a file that a cell names.

    Raises:
        UnreadableError: it cannot be read.
    """
    try:
        return (Path(base) / path).read_bytes()
    except OSError as error:
        raise UnreadableError(
            f"file {path}",
            got=error.strerror or str(error),
            expected="a file that can be read",
            remedy="Check the path",
        ) from error
