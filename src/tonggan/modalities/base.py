"""What every modality can do: turn one column's values into padded Arrays, and remember what it learned to do so.

A Modality holds no weights. It is built from its column's config, fitted on the training part where it learns
something (a tokenizer, means and deviations), and saved inside the bundle as plain JSON.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.cells import cell_text, is_missing
from tonggan.config import Config
from tonggan.modalities.movement import Movement
from tonggan.parts import Part
from tonggan.tokens import Arrays
from tonggan.wording import Words

ConfigT = TypeVar("ConfigT", bound=Config)


_MAX_CHARACTERS = 600
_HEAD_BYTES = 4096


@dataclass(frozen=True)
class Cell:
    """One thing as a person sees, hears or reads it.

    ``content`` is a ``data:`` address for ``image`` and ``audio``, else the text; None where there is nothing.
    """

    name: str
    kind: Literal["image", "audio", "text"]
    content: str | None


Form = Literal["number", "name", "names", "text", "file", "other"]
"""What a cell is to whoever looks at it without a model: a number, one or several names that repeat, prose, a file, or
all else."""


@dataclass(frozen=True)
class Limit:
    """How much of each thing in a column is read.

    Attributes:
        things: what they are, with what counts them in Chinese.
        most: how much of one.
        setting: ``FIELD=VALUE`` of the column that lets more be read.
    """

    things: Words
    most: Words
    setting: str


class ColumnConfig(Part):
    """What one column of a table is.

    Attributes:
        words: what the kind is called; by default as in a recipe.
        form: what its cells are: ``read`` gives floats of a ``number``.
        joins: kind of the input that reads all such columns together; None where each is an input by itself.
        is_used: False of columns that nobody reads.
    """

    words: ClassVar[Words | None] = None
    form: ClassVar[Form] = "other"
    joins: ClassVar[str | None] = None
    is_used: ClassVar[bool] = True

    def read(self, cell: Any) -> Any:
        """A cell as it is meant; None or NaN where it says nothing."""
        return cell

    def is_unreadable(self, cell: Any) -> bool:  # noqa: ARG002
        """Whether a cell says something that is not written as those of this kind are; it then counts as missing."""
        return False

    def labels(self, cell: Any) -> Sequence[Any] | None:
        """The names in a cell of a target of classes or labels; None where it says nothing."""
        read = self.read(cell)
        return None if cell_text(read) is None else [read]

    def task(self) -> Mapping[str, Any] | None:
        """The task that predicts such a column where a recipe names none, as in a recipe; None where it must."""
        return None

    @property
    def limit(self) -> Limit | None:
        """How much of each thing in the column is read; None where that is all."""
        return None

    def exceeds(self, content: Any) -> bool:  # noqa: ARG002
        """Whether a text, or a file of so many values, is longer than its ``limit``."""
        return False


class InputConfig(Part):
    """What one input of a model is: a column with a modality of its own, or several columns together.

    Attributes:
        words: what the kind is called; by default as in a recipe.
    """

    words: ClassVar[Words | None] = None

    @abstractmethod
    def build(self) -> Modality[Any]:
        """The modality, to be fitted."""


@dataclass(frozen=True)
class GraphInput:
    """What an exported graph reads of one input in the place of Arrays: as little as other programs need to know.

    Attributes:
        tensors: by what follows the name of the input in theirs.
        note: what they hold, for people and programs.
    """

    tensors: Mapping[str, torch.Tensor]
    note: Mapping[str, Any]


class Modality(ABC, Generic[ConfigT]):
    """One input of a model, or one target: how its values become Arrays.

    Attributes:
        follows: name of the input with whose pictures its values move, as boxes do; None where they stay.
        essential: settings of the config that its Arrays depend on, beside what was fitted; an encoder may start from
            another one's weights where they are the same.
    """

    kind: ClassVar[str]
    essential: ClassVar[tuple[str, ...]] = ()
    follows: str | None = None

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @property
    def cells(self) -> Sequence[str]:
        """Columns that can be present, hidden and shuffled one by one; none where the input is one thing."""
        return ()

    @property
    def positions(self) -> Sequence[Sequence[int]]:
        """For each of the ``cells`` the positions in Arrays ``[B, C]`` that are absent without it, its own first."""
        return [[place] for place in range(len(self.cells))]

    @property
    def sizes(self) -> Sequence[int]:
        """For each position in such Arrays how many indices its category has; 0 for a number."""
        return [0] * len(self.cells)

    def columns(self, name: str) -> Mapping[str, Any]:
        """The columns of a table that the input ``name`` reads, and what each is."""
        return {name: self.config}

    def gather(self, name: str, read: Callable[[str], Sequence[Any]]) -> Sequence[Any]:
        """What ``collate`` reads of the input ``name``: one item for each row of the columns that ``read`` gives."""
        return read(name)

    def learn(self, name: str, read: Callable[[str], Iterable[Any]]) -> None:
        """Learn what it needs from the training part, whose columns ``read`` streams; nothing by default."""

    def reading(self, configs: Mapping[str, Any]) -> Self:  # noqa: ARG002
        """The same for a table that writes some columns of numbers in another way, which ``configs`` read."""
        return self

    @abstractmethod
    def collate(self, items: Sequence[Any]) -> Arrays:
        """Arrays of a batch; an item that is None is absent. ``len(items)`` may be any number from 1."""

    def movement(self, arrays: Arrays, generator: torch.Generator) -> Movement | None:  # noqa: ARG002
        """A random movement of pictures that others follow; None where they stay in their places."""
        return None

    def vary(
        self,
        arrays: Arrays,
        generator: torch.Generator,  # noqa: ARG002
        *,
        movement: Movement | None = None,  # noqa: ARG002
    ) -> Arrays:
        """A random variation for training, all randomness drawn from ``generator``; without a variation, the same.

        Pictures that others follow move by the given ``movement``.
        """
        return arrays

    def fitted(self, arrays: Arrays, extent: torch.Tensor) -> Arrays:  # noqa: ARG002
        """``arrays`` that follow pictures of ``extent`` [B, 2], height and width, as these were brought to one size."""
        return arrays

    def follow(self, arrays: Arrays, movement: Movement) -> Arrays:  # noqa: ARG002
        """``arrays`` moved as the pictures that they follow."""
        return arrays

    def hide(self, arrays: Arrays, rows: torch.Tensor, generator: torch.Generator) -> Arrays:  # noqa: ARG002
        """For training, ``rows`` [B] bool without a random part of what they hold, if they hold parts."""
        return arrays

    def show(self, name: str, item: Any) -> list[Cell]:
        """How an item of ``gather``, decoded where it is a file, reads for a person."""
        return [Cell(name, "text", shortened(item))]

    def to_graph(self, arrays: Arrays, items: Sequence[Any]) -> GraphInput:  # noqa: ARG002
        """What an exported graph reads of ``items`` of ``gather``, decoded if they are files, and of their Arrays."""
        note = {"values": f"{arrays.values.dtype} {list(arrays.values.shape)}", "mask": "bool, True where real"}
        return GraphInput({"": arrays.values, ".mask": arrays.mask}, note)

    def from_graph(self, values: torch.Tensor, *others: torch.Tensor) -> Arrays:
        """Arrays of the tensors of ``to_graph``, in operations that a graph can hold."""
        (mask,) = others
        return Arrays(values, mask)

    def vocabulary_file(self) -> str | None:
        """What turns texts into the token ids of ``to_graph``, in the format of ``tokenizers``; None without any."""
        return None

    def state(self) -> dict[str, Any]:
        """What was fitted, as JSON."""
        return {}

    @classmethod
    def load(cls, config: ConfigT, state: dict[str, Any]) -> Self:  # noqa: ARG003
        """The inverse of ``state``."""
        return cls(config)


@dataclass(frozen=True)
class Range:
    """The setting of files whose values may be of any scale: the value at which that ends.

    Attributes:
        field: the setting.
        things: such files.
        end: what the value is called.
        usual: an example of it.
        chosen: the value for a column from the greatest one that its files hold; None where the default serves.
    """

    field: str
    things: Words
    end: Words
    usual: int
    chosen: Callable[[float], float | None]


class MediaConfig(ColumnConfig, InputConfig):
    """A column of files: paths, or bytes embedded in the table.

    Attributes:
        things: what the files are, with what counts them in Chinese.
        range: the setting of their scale, if they have one.
    """

    form: ClassVar[Form] = "file"
    things: ClassVar[Words]
    range: ClassVar[Range | None] = None

    @abstractmethod
    def build(self) -> MediaModality[Any]:
        """The modality."""


Encoded: TypeAlias = bytes | Path
"""An encoded file: its bytes, or where it lies, if it is large."""


def bytes_of(source: Encoded) -> bytes:
    """All bytes of an encoded file."""
    return source if isinstance(source, bytes) else source.read_bytes()


def head_of(source: Encoded) -> bytes:
    """The first bytes of an encoded file."""
    if isinstance(source, bytes):
        return source[:_HEAD_BYTES]
    with source.open("rb") as file:
        return file.read(_HEAD_BYTES)


class Decoded(NamedTuple):
    """One file as a model reads it, and height and width of a picture before it was fitted."""

    array: NDArray[Any]
    extent: tuple[int, int] | None


class MediaModality(Modality[ConfigT]):
    """A modality whose values are encoded files, decoded once into the cache.

    Attributes:
        has_extent: whether a file has a height and a width.
        empty: why a sound file may have nothing of this modality, in the words of the error of ``decode``: its rows are
            absent and not unreadable.
        odd: by a name that ``oddities`` may give, what such files are, and what to do about it.
    """

    has_extent: ClassVar[bool] = False
    empty: ClassVar[str | None] = None
    odd: ClassVar[Mapping[str, tuple[Words, Words]]] = {}

    @abstractmethod
    def decode(self, raw: bytes) -> NDArray[Any]:
        """The array of one file's bytes.

        Raises:
            UnreadableError: the bytes are empty, truncated, too large, or of no known format.
        """

    def extent(self, raw: bytes) -> tuple[int, int] | None:  # noqa: ARG002
        """Height and width of a readable picture, as it is seen, before it is fitted; None of what has none."""
        return None

    def open(self, source: Encoded) -> Decoded:
        """What ``decode`` and ``extent`` say of one file.

        Raises:
            UnreadableError: as ``decode``.
        """
        raw = bytes_of(source)
        return Decoded(self.decode(raw), self.extent(raw))

    def collate_opened(self, items: Sequence[Decoded | None]) -> Arrays:
        """Arrays of files of ``open``; None is absent."""
        arrays = self.collate([None if item is None else item.array for item in items])
        if not self.has_extent:
            return arrays
        extents = [(0, 0) if item is None else item.extent for item in items]
        return replace(arrays, extent=torch.tensor(extents))

    @abstractmethod
    def describe(self, source: Encoded) -> dict[str, str | int]:
        """What a file's header says that a model may depend on, by name; nothing where it cannot be read.

        Texts are compared as they are, numbers as a range; see ``data.comparison``.
        """

    def oddities(self, array: NDArray[Any]) -> list[str]:  # noqa: ARG002
        """What a person should know of one decoded file, by the names of ``odd``; nothing by default."""
        return []

    def greatest(self, source: Encoded) -> float | None:  # noqa: ARG002
        """The greatest value in a file, where the ``range`` of the column counts; None elsewhere."""
        return None

    @abstractmethod
    def cache_key(self) -> str:
        """The settings that change what ``decode`` returns, as a short file-name-safe string."""


def with_lengths(arrays: Arrays, *, values: str, **note: Any) -> GraphInput:
    """``to_graph`` of sequences ``[B, L]``, where lengths stand for the mask."""
    note = {"values": values, "length": "int64 [rows], 0 where absent", **note}
    return GraphInput({"": arrays.values, ".length": arrays.mask.sum(dim=1)}, note)


def up_to(values: torch.Tensor, lengths: torch.Tensor) -> Arrays:
    """``from_graph`` of sequences ``[B, L]`` and their lengths."""
    return Arrays(values, torch.arange(values.shape[1]).unsqueeze(0) < lengths.unsqueeze(1))


def mask_of(items: Sequence[Any]) -> torch.Tensor:
    """[B] bool: True where an item is there."""
    return torch.from_numpy(np.array([item is not None for item in items], dtype=bool))


def shortened(value: Any) -> str | None:
    """A value as a text of bounded length; None where it says nothing."""
    if is_missing(value) or value == "":
        return None
    text = str(value)
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"
