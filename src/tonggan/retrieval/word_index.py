"""Rows found by their words: an inverted index in a folder, ranked by BM25 (Robertson et al. 1994; k1 1.2, b 0.75).

It takes tokens, not text, and knows rows by their ids only; it does not persist which rows it should hold (the store
does), and has no phrases. Counts of a word among all rows forget deleted rows only when their segment is merged.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonggan.errors import DataError, MissingExtraError
from tonggan.retrieval.row import Value
from tonggan.stored import is_panic

_HEAP = 64_000_000
_MAX_TOKEN = 1_000  # characters; tantivy leaves out terms of more than 65,530 bytes


@dataclass(frozen=True)
class WordDocument:
    """A row as the index takes it: tokens by part, and the fields to filter by."""

    id: int
    tokens: Mapping[str, Sequence[str]]
    fields: Mapping[str, Value]


class WordIndex:
    """An index of ``parts`` (the text and further weighted fields) in ``folder``: the one there, or a new one.

    One process may update it; others may search meanwhile and see the last update after ``reload``.

    Raises:
        MissingExtraError: tantivy is not installed.
        OSError: the files are missing or damaged, or the disk is full; so do the methods.
    """

    def __init__(self, folder: Path, *, parts: Sequence[str], new: bool = False) -> None:
        tantivy = load_tantivy()
        self._tantivy = tantivy
        self.folder = folder
        builder = tantivy.SchemaBuilder().add_integer_field("id", indexed=True, fast=True)
        builder.add_text_field("filters", tokenizer_name="raw", index_option="basic")
        self._names = {part: f"part_{number}" for number, part in enumerate(parts)}
        for name in self._names.values():
            builder.add_text_field(name, tokenizer_name="whitespace", index_option="freq")
        self._schema = builder.build()
        if new:
            folder.mkdir(parents=True)
        with _file_errors():
            if new:
                self._index = tantivy.Index(self._schema, path=str(folder), reuse=False)
            else:
                self._index = tantivy.Index.open(str(folder))
            self._index.config_reader("manual", 0)
            self.reload()

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def reload(self) -> None:
        """See what was last updated."""
        self._index.reload()
        self._searcher = self._index.searcher()

    def update(self, *, removed: Iterable[int], added: Iterable[WordDocument]) -> None:
        """Remove and add rows in one step that happens whole or not at all; an id that is there is replaced."""
        with _file_errors():
            writer = self._index.writer(_HEAP, 1)
            writer.garbage_collect_files()  # A writer that was killed may have left files under names that come next.
        for row in removed:
            writer.delete_documents_by_term("id", row)
        for document in added:
            writer.delete_documents_by_term("id", document.id)
            writer.add_document(self._document(document))
        with _file_errors():
            writer.commit()
            writer.wait_merging_threads()
            self.reload()

    def _document(self, source: WordDocument) -> Any:
        document = self._tantivy.Document()
        document.add_integer("id", source.id)
        for part, tokens in source.tokens.items():
            document.add_text(self._names[part], " ".join(token[:_MAX_TOKEN] for token in tokens))
        for name, value in source.fields.items():
            document.add_text("filters", _filter_term(name, value))
        return document

    def search(
        self,
        tokens: Sequence[str],
        *,
        limit: int,
        weights: Mapping[str, float] | None = None,
        where: Mapping[str, Value | Iterable[Value]] | None = None,
    ) -> tuple[list[int], list[float]]:
        """The ids of the best rows and their scores, best first; only rows that hold at least one of ``tokens``.

        A row's score is the sum of BM25 over the parts, each times its weight (1 where ``weights`` is None, 0 for a
        part that it leaves out); a token that is asked for twice counts twice.

        Raises:
            DataError: ``weights`` names a part that is not indexed.
        """
        chosen = dict.fromkeys(self._names, 1.0) if weights is None else dict(weights)
        for part in chosen:
            if part not in self._names:
                raise DataError(
                    f"weight of '{part}'",
                    got="a part that is not indexed",
                    expected=f"one of {', '.join(self._names)}",
                    remedy="Open the store with it among 'word_fields'",
                )
        query = self._query(Counter(" ".join(token[:_MAX_TOKEN] for token in tokens).split()), chosen, where or {})
        hits = self._searcher.search(query, max(limit, 1), count=False).hits[: max(limit, 0)]
        ids = self._searcher.fast_field_values("id", [address for _, address in hits])
        return [int(row) for row in ids], [float(score) for score, _ in hits]

    def _query(
        self, counts: Mapping[str, int], weights: Mapping[str, float], where: Mapping[str, Value | Iterable[Value]]
    ) -> Any:
        query, occur = self._tantivy.Query, self._tantivy.Occur
        words = [
            (
                occur.Should,
                query.boost_query(query.term_query(self._schema, self._names[part], word, "freq"), weight * n),
            )
            for word, n in counts.items()
            for part, weight in weights.items()
            if weight
        ]
        terms = [(occur.Must, query.boolean_query(words))]
        for name, wanted in where.items():
            values = [wanted] if isinstance(wanted, str | int | float) else wanted
            either = query.term_set_query(self._schema, "filters", [_filter_term(name, value) for value in values])
            terms.append((occur.Must, query.const_score_query(either, 0.0)))
        return query.boolean_query(terms)


@contextmanager
def _file_errors() -> Iterator[None]:
    """Errors of tantivy as OSErrors: it tells of files in ValueErrors, and panics at some of what is damaged."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, ValueError) or is_panic(error):
            raise OSError(str(error)) from error
        raise


def _filter_term(name: str, value: Value) -> str:
    """A term of fixed length, equal for values that SQLite finds equal (1, 1.0 and true)."""
    plain = value if isinstance(value, str) else float(value)
    return hashlib.blake2b(json.dumps([name, plain]).encode(), digest_size=12).hexdigest()


def load_tantivy() -> Any:
    """The package, or a MissingExtraError that says how to install it."""
    try:
        import tantivy
    except ImportError as error:
        raise MissingExtraError.of("tantivy", extra="search", purpose="the search by words") from error
    return tantivy
