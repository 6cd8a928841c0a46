"""What decodes: an Engine holds a causal language model's weights, a Session the key-value cache of some sequences.

Text, pictures and sounds reach it alike, as embeddings of the model's width. Which token comes next is not its matter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Session(ABC):
    """The key-value cache of ``num_rows`` sequences, each of its own length up to ``capacity``.

    Rows are named by their numbers, int64 ``[R]``, each at most once in a call. A call that would pass ``capacity``
    is the caller's mistake and asserted.

    Attributes:
        num_rows: how many sequences there is room for.
        capacity: tokens that each of them can hold.
        lengths: int64 ``[num_rows]`` on the CPU, tokens that each of them holds now.
    """

    num_rows: int
    capacity: int
    lengths: Tensor

    @abstractmethod
    def prefill(self, values: Tensor, *, mask: Tensor, rows: Tensor) -> Tensor:
        """Append embeddings and give the logits ``[R, V]`` float32 that follow each row's last real one.

        Args:
            values: ``[R, L, D]``, right-padded.
            mask: bool ``[R, L]``, True where real: one run from the left, at least one in each row.
            rows: int64 ``[R]``.
        """

    @abstractmethod
    def step(self, ids: Tensor, *, rows: Tensor) -> Tensor:
        """Append ``ids`` int64 ``[R, n]`` to the rows and give the logits ``[R, n, V]`` float32 after each of them."""

    @abstractmethod
    def truncate(self, lengths: Tensor, *, rows: Tensor) -> None:
        """Forget what rows hold beyond ``lengths`` int64 ``[R]``."""

    @abstractmethod
    def copy(self, sources: Tensor, *, rows: Tensor) -> None:
        """Let ``rows`` hold what the rows ``sources`` int64 ``[R]`` held before the call."""


class Engine(ABC):
    """A causal language model, ready to decode.

    Attributes:
        name: ``torch`` or ``native``.
        vocab_size: V, the width of logits.
        dim: D, the width of embeddings.
        max_length: tokens a sequence can hold, prompt and continuation together.
    """

    name: ClassVar[str]
    vocab_size: int
    dim: int
    max_length: int

    @abstractmethod
    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings ``[..., D]`` of token ids ``[...]``."""

    @abstractmethod
    def hidden(self, values: Tensor, *, mask: Tensor) -> Tensor:
        """Last hidden states ``[B, L, D]`` float32 of embeddings ``[B, L, D]`` under a left-aligned mask ``[B, L]``."""

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """Logits ``[..., V]`` float32 of last hidden states ``[..., D]``."""

    @abstractmethod
    def session(self, num_rows: int, *, capacity: int) -> Session:
        """An empty cache for ``num_rows`` sequences of at most ``capacity`` tokens each."""
