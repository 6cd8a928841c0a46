"""What a store was opened with, shared by its parts; it holds no state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tonggan.progress import Progress


@dataclass(frozen=True)
class StoreSettings:
    """The arguments of ``Store.open``, where they are explained."""

    folder: Path
    analyze: Callable[[str], list[str]] | None
    dim: int | None
    version: str
    vector_version: str
    word_fields: tuple[str, ...]
    progress: Progress

    @property
    def parts(self) -> tuple[str, ...]:
        """What is indexed by words: the text, then fields."""
        return ("text", *self.word_fields)

    @property
    def words_stamp(self) -> str:
        """Names how words were indexed."""
        return " ".join((self.version, *self.parts))

    @property
    def vectors_stamp(self) -> str:
        """Names how vectors were made."""
        return f"{self.vector_version} {self.dim}"
