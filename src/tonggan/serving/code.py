"""Search in the code of one repository for clients over HTTP; its index is kept by a process beside the server."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tonggan.codelm.editor.answers import hit_of
from tonggan.codelm.editor.indexing import Indexing
from tonggan.codelm.units import UnitKind
from tonggan.serving.failures import RefusedError

_REFRESHED_EVERY = 60.0  # seconds, at most, and only while somebody searches


class CodeService:
    """Answers one search after another.

    Args:
        indexing: keeps the index.
    """

    def __init__(self, indexing: Indexing) -> None:
        self._indexing = indexing
        self._searcher = ThreadPoolExecutor(1, thread_name_prefix="tonggan-code")
        self._refreshed = time.monotonic()
        indexing.start(lambda _: None)

    def search(
        self, query: str, *, limit: int, language: str | None, kinds: Collection[UnitKind] | None
    ) -> Future[list[dict[str, Any]]]:
        """Hits as JSON, the best first; the future raises a RefusedError while there is no index yet."""
        if time.monotonic() - self._refreshed > _REFRESHED_EVERY:
            self._refreshed = time.monotonic()
            self._indexing.request()
        return self._searcher.submit(self._search, query, limit, language, kinds)

    def close(self) -> None:
        """Finish what was begun, and stop refreshing."""
        self._searcher.shutdown()
        self._indexing.close()

    def _search(
        self, query: str, limit: int, language: str | None, kinds: Collection[UnitKind] | None
    ) -> list[dict[str, Any]]:
        index = self._indexing.current({})
        if index is None:
            raise RefusedError(
                "code search",
                got="an index that is not there yet",
                expected="one that can be read",
                remedy="Try again in a moment",
                status=503,
                code="index_not_ready",
            )
        return [
            hit_of(hit, root=index.root) for hit in index.search(query, limit=limit, language=language, kinds=kinds)
        ]
