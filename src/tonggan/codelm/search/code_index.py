"""The index of one repository: what it holds is refreshed file by file, and found by words, meaning and symbols.

It works without an embedder too, then by words and symbols alone. Questions in Chinese find English code by the English
of their terms, and where the embedder reads Chinese by all that they say.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from tonggan.codelm.chinese_terms import has_chinese, in_english
from tonggan.codelm.search.ranking import Role, compared, expanded, fused, grouped, reranked, role_of, roles_asked
from tonggan.codelm.search.reasons import Reason, reasons_for
from tonggan.codelm.search.refreshing import Refreshed, Refreshing
from tonggan.codelm.search.unit_rows import VECTORS_VERSION, kind_and_path, name_in, text_to_embed, unit_of
from tonggan.codelm.units import Unit, UnitKind
from tonggan.codelm.words import code_words, question_words, symbol_of, symbols_in, written_as
from tonggan.data.places import cache_folder
from tonggan.errors import ConfigError, DataError
from tonggan.grammars import LANGUAGES
from tonggan.models.text_embedder import TextEmbedder
from tonggan.progress import Progress
from tonggan.retrieval.row import Row, Where
from tonggan.retrieval.store import Store

_CANDIDATES = 100  # that words, symbols and meaning each propose at least
_WORDS_VERSION = "code-words-1"
_LONGEST_QUERY = 10_000  # characters; what follows is not read
_MOST_WORDS = 64  # of a text that others are compared with
Ranking = Literal["words", "vectors", "hybrid", "reranked"]
_DEFINITIONS: tuple[UnitKind, ...] = ("function", "class")


@dataclass(frozen=True)
class Hit:
    """A unit that was found.

    Attributes:
        unit: what was found, as it was when it was indexed.
        score: comparable within one answer only.
        reasons: why: its name, then the lines that share words with the question.
    """

    unit: Unit
    score: float
    reasons: tuple[Reason, ...]

    @property
    def role(self) -> Role:
        """Whether it is code, a document, a test or history."""
        return role_of(self.unit.kind, self.unit.path)


class CodeIndex:
    """The index of the repository at ``root``; any number of processes may read it while one refreshes it."""

    def __init__(self, root: Path, store: Store, *, embedder: TextEmbedder | None) -> None:
        self.root = root
        self._store = store
        self._embedder = embedder

    @classmethod
    def open(cls, root: Path, *, folder: Path | None = None, embedder: TextEmbedder | None = None) -> CodeIndex:
        """The index as it was last refreshed; an empty one if it never was.

        Args:
            root: of the repository, or any folder with code.
            folder: where the index is kept; by default a folder of its own in the cache.
            embedder: makes vectors of units and questions. Another one than last time makes all vectors anew.

        Raises:
            CacheError: the folder cannot be used.
            DataError: there is no folder at ``root``.
            MissingExtraError: tantivy, or with an embedder faiss, is not installed.
        """
        root = root.expanduser().resolve()
        if not root.is_dir():
            raise DataError(f"folder {root}", got="no such folder", expected="a repository", remedy="Check the path")
        store = Store.open(
            folder or index_folder(root),
            analyze=code_words,
            dim=embedder.dim if embedder else None,
            version=_WORDS_VERSION,
            vector_version=f"{VECTORS_VERSION} {embedder.passage_identity}" if embedder else "",
        )
        return cls(root, store, embedder=embedder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the files."""
        self._store.close()

    def refresh(self, *, overlays: Mapping[str, str] | None = None, progress: Progress | None = None) -> Refreshed:
        """Bring the index to what the files are now. Only what changed is read; killed, it goes on where it was.

        Words and symbols of all files come first and can be searched at once; vectors follow.

        Args:
            overlays: texts that are not saved yet, by the file's path relative to the root. They are searched instead
                of what is on disk until a refresh does not name them any more.
            progress: told how far it is.

        Raises:
            DataError: the root is gone.
            MissingExtraError: tree-sitter, or jieba for Chinese comments, is not installed.
            StoreBusyError: another process refreshes this index.
        """
        work = Refreshing(self.root, self._store, embedder=self._embedder, progress=progress or Progress())
        return work.run(overlays or {})

    def count(self) -> dict[str, int]:
        """How many units of each kind there are."""
        from tonggan.codelm.units import UNIT_KINDS

        return {kind: self._store.count({"kind": kind}) for kind in UNIT_KINDS}

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        language: str | None = None,
        kinds: Collection[UnitKind] | None = None,
        ranking: Ranking = "reranked",
    ) -> list[Hit]:
        """The units that answer ``query`` best.

        Args:
            query: words in plain language, names, or both.
            limit: how many at most.
            language: only units of this language, as ``language_of`` names it.
            kinds: only units of these kinds.
            ranking: by words alone, by vectors alone, by both and symbols, or by these with the best compared word by
                word. Without an embedder it is by words and symbols in any case.

        Raises:
            ConfigError: there is no such language.
            DataError: the query is empty.
        """
        query = query[:_LONGEST_QUERY]
        candidates = max(limit, _CANDIDATES)
        scores = self.ranked(query, where=_where(language, kinds), ranking=ranking, candidates=candidates)
        keys = grouped(scores, _roles(scores), asked=roles_asked(query), limit=max(limit, 0))
        words = _words_of(query)
        return self._hits(
            {key: scores[key] for key in keys}, limit=limit, words={*words, *written_as(words)}, question=query
        )

    def ranked(
        self,
        query: str,
        *,
        where: Where | None = None,
        ranking: Ranking = "reranked",
        candidates: int = _CANDIDATES,
    ) -> dict[str, float]:
        """Keys of rows of the store and their scores, best first, as ``search`` ranks them.

        Words, symbols and meaning each propose ``candidates`` rows.
        """
        query = query[:_LONGEST_QUERY]
        if not query.strip():
            raise DataError("a search", got="an empty query", expected="words", remedy="Say what to find")
        scores = self._scores(query, where=where or {}, ranking=ranking, candidates=candidates)
        spoken = self._spoken(query)
        if ranking == "reranked" and self._embedder is not None and spoken and scores:
            rows = self._store.rows(compared(scores, _roles(scores)))
            texts = {row.key: text_to_embed(row) for row in rows}
            scores = reranked(scores, texts, question=spoken[0], embedder=self._embedder)
        return scores if where and "kind" in where else self._with_comments(scores)

    def _with_comments(self, scores: Mapping[str, float]) -> dict[str, float]:
        """``scores`` where what a comment inside a definition says counts for the definition."""
        comments = [key for key in scores if kind_and_path(key)[0] == "comment"]
        total = dict(scores)
        for row in self._store.rows(comments):
            inside = str(row.fields.get("inside", ""))
            if inside:
                total[inside] = max(total.pop(row.key), total.get(inside, -math.inf))
        return dict(sorted(total.items(), key=lambda item: -item[1]))

    def note_on(self, query: str) -> str | None:
        """What a person should know before the answer to ``query`` is read; None where there is nothing."""
        if self._embedder is None or not has_chinese(query) or self._spoken(query):
            return None
        return (
            "The embedder of this index reads no Chinese and no term of the question is known in English, so it finds "
            "Chinese words only. 'tonggan code index . --embedder e5' makes an index that finds English code too."
        )

    def _spoken(self, query: str) -> list[str]:
        """``query`` in the languages that the embedder reads; empty where it can tell nothing of it."""
        if self._embedder is None or not has_chinese(query):
            return [query] if self._embedder else []
        texts = [query, in_english(query)] if self._embedder.reads_chinese else [in_english(query)]
        return [text for text in texts if text]

    def similar(self, path: str, line: int, *, limit: int = 10) -> list[Hit]:
        """Units like the function, class or section around a line; that unit, and what it holds or is in, left out.

        Args:
            path: of the file, relative to the root, with ``/``.
            line: from 1.
            limit: how many at most.

        Raises:
            DataError: the index has no such file, or the file no such line.
        """
        unit = self.unit_at(path, line)
        related = {row.key for row in self._rows_in(path) if _overlap(unit_of(row), unit)}
        return self._similar(unit.text, limit=limit, excluded=related, kinds=(unit.kind,))

    def similar_text(self, text: str, *, limit: int = 10, exclude: str | None = None) -> list[Hit]:
        """Functions and classes like ``text``, a piece of code.

        Args:
            text: to compare with.
            limit: how many at most.
            exclude: a file, relative to the root, whose units are left out.
        """
        excluded = set(self._store.keys({"group": exclude})) if exclude else set()
        return self._similar(text, limit=limit, excluded=excluded, kinds=_DEFINITIONS)

    def symbols(self, query: str, *, limit: int = 50) -> list[Unit]:
        """Functions and classes whose names are ``query``, begin with it or hold it, however they are spelled."""
        wanted = symbol_of(query)
        likenesses = {
            key: _likeness(symbol_of(name_in(key)), wanted) for key in self._store.keys({"kind": _DEFINITIONS})
        }
        found = sorted((likeness, key) for key, likeness in likenesses.items() if likeness is not None)
        return [unit_of(row) for row in self._store.rows(key for _, key in found[:limit])]

    def definitions(self, name: str) -> list[Unit]:
        """The functions and classes of exactly this name; with dots, of this end of their qualified name."""
        last = name.rpartition(".")[2]
        found = self._store.search_words(
            code_words(last), limit=_CANDIDATES, where={"kind": _DEFINITIONS, "name": last}
        )
        units = [unit_of(row) for row in self._store.rows(found)]
        exact = [unit for unit in units if f".{unit.qualified_name}".endswith(f".{name}")]
        return sorted(exact, key=lambda unit: (unit.path, unit.start_line))

    def unit_at(self, path: str, line: int) -> Unit:
        """The innermost unit around a line of the file ``path``, relative to the root.

        Raises:
            DataError: the index has no such file, or the file no such line.
        """
        around = [unit for unit in map(unit_of, self._rows_in(path)) if unit.start_line <= line <= unit.end_line]
        if not around:
            raise DataError(
                f"line {line} of {path}",
                got="no unit of the index there",
                expected="a line of an indexed file, given relative to the root",
                remedy="Check path and line, or refresh the index",
            )
        return min(around, key=lambda unit: unit.end_line - unit.start_line)

    def _rows_in(self, path: str) -> list[Row]:
        return self._store.rows(self._store.keys({"group": path}))

    def _scores(self, query: str, *, where: Where, ranking: Ranking, candidates: int) -> dict[str, float]:
        # Definitions are sought by themselves too, or the many commits and tests would leave no room for them.
        wheres = [where] if "kind" in where else [where, {**where, "kind": _DEFINITIONS}]
        by_words: dict[str, float] = {}
        symbols: dict[str, float] = {}
        spoken = self._spoken(query)
        if ranking != "vectors" or not spoken:
            words = _words_of(query)
            tokens = expanded(words, written_as(words))
            for some in wheres:
                by_words |= self._store.search_words(tokens, limit=candidates, where=some)
            asked = in_english(query) if has_chinese(query) else query
            named: Where = {**wheres[-1], "symbol": symbols_in(asked)}
            symbols = self._store.search_words(code_words(asked), limit=candidates, where=named)
            symbols = {key: score for key, score in symbols.items() if ranking != "words"}
        meaning: dict[str, float] | None = None
        if self._embedder is not None and ranking != "words" and spoken:
            vector = self._embedder.embed(spoken).mean(axis=0)
            vector /= np.linalg.norm(vector)
            meaning = {}
            for some in wheres:
                meaning |= self._store.search_vectors(vector, limit=candidates, where=some or None)
            keys, vectors = self._store.vectors_of({*by_words, *symbols} - meaning.keys())
            meaning |= dict(zip(keys, (vectors @ vector).tolist(), strict=True))
        return self._fused(by_words, meaning, symbols)

    def _similar(self, text: str, *, limit: int, excluded: Collection[str], kinds: Collection[UnitKind]) -> list[Hit]:
        where: Where = {"kind": kinds}
        wanted = limit + len(excluded)
        words = list(dict.fromkeys(code_words(text)))[-_MOST_WORDS:]
        by_words = (
            self._store.search_words(expanded(words, ()), limit=max(wanted, _CANDIDATES), where=where) if words else {}
        )
        meaning = None
        if self._embedder is not None:
            (vector,) = self._embedder.embed([text], as_passages=True)
            meaning = self._store.search_vectors(vector, limit=max(wanted, _CANDIDATES), where=where)
            keys, vectors = self._store.vectors_of(by_words.keys() - meaning.keys())
            meaning |= dict(zip(keys, (vectors @ vector).tolist(), strict=True))
        scores = self._fused(by_words, meaning, {})
        kept = {key: score for key, score in scores.items() if key not in excluded}
        return self._hits(kept, limit=limit, words=set(question_words(text)), question="")

    def _fused(
        self, words: Mapping[str, float], meaning: Mapping[str, float] | None, symbols: Mapping[str, float]
    ) -> dict[str, float]:
        if self._embedder is None:
            return fused(words=words, meaning=None, symbols=symbols)
        return fused(words=words, meaning=meaning, symbols=symbols, temperature=self._embedder.temperature)

    def _hits(self, scores: Mapping[str, float], *, limit: int, words: Collection[str], question: str) -> list[Hit]:
        rows = self._store.rows(list(scores)[: max(limit, 0)])
        symbols = set(symbols_in(question))
        return [
            Hit(unit, scores[row.key], reasons_for(unit, words=words, symbols=symbols)) for row, unit in _units(rows)
        ]


def index_folder(root: Path) -> Path:
    """Where the index of ``root`` is kept by default."""
    return cache_folder() / "code" / hashlib.sha256(str(root).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _words_of(query: str) -> list[str]:
    """The words of a question; of one in Chinese also those of its terms in English."""
    if not has_chinese(query):
        return question_words(query)
    return list(dict.fromkeys([*question_words(query), *question_words(in_english(query))]))


def _units(rows: Iterable[Row]) -> Iterable[tuple[Row, Unit]]:
    return ((row, unit_of(row)) for row in rows)


def _where(language: str | None, kinds: Collection[UnitKind] | None) -> Where:
    where: dict[str, str | list[str]] = {}
    if language is not None and language not in LANGUAGES:
        raise ConfigError(
            "language of a search",
            got=f"'{language}'",
            expected=f"one of {', '.join(sorted(LANGUAGES))}",
            remedy="Choose one of these",
        )
    if language is not None:
        where["language"] = language
    if kinds is not None:
        where["kind"] = list(kinds)
    return where


def _roles(keys: Iterable[str]) -> dict[str, Role]:
    return {key: role_of(*kind_and_path(key)) for key in keys}


def _overlap(one: Unit, other: Unit) -> bool:
    return one.start_line <= other.end_line and other.start_line <= one.end_line


def _likeness(symbol: str, wanted: str) -> tuple[int, int] | None:
    """Sorts names: the same one first, then such that begin with what is wanted, then such that hold it, else None."""
    place = symbol.find(wanted) if wanted else -1
    return None if place < 0 else (0 if symbol == wanted else 1 if place == 0 else 2, len(symbol))
