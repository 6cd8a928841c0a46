"""One pass over a column of masks: read the files of each row, bring them to the size of their picture, keep them.

A row that has no usable mask says why; which values are classes is learned from the training part.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.data.cache import DecodeCache, content_hash
from tonggan.data.scan import MediaColumn, MediaStatus, read_media
from tonggan.data.table import Table
from tonggan.errors import DataError, UnreadableError
from tonggan.modalities.regions import Regions, read_mask_paths
from tonggan.progress import Progress

_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class RegionColumn(MediaColumn):
    """What a scan found.

    Attributes:
        values: by row, which values its mask has.
    """

    values: Mapping[int, frozenset[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Mask:
    """The files of one row, height and width of its picture, and whether each file is an object of its own."""

    files: Sequence[bytes]
    extent: tuple[int, int]
    by_object: bool

    @property
    def key(self) -> bytes:
        """The hash of all that its array depends on."""
        hashes = b"".join(map(content_hash, self.files))
        return content_hash(hashes + f"{self.extent}{self.by_object}".encode())

    def decode(self, modality: Regions) -> NDArray[np.int32] | str:
        """Its array, or why there is none."""
        if not all(self.extent):
            return "a mask without its picture"
        try:
            return modality.decode(self.files, self.extent, by_object=self.by_object)
        except UnreadableError as error:
            return error.got


def scan_regions(
    table: Table, name: str, modality: Regions, cache: DecodeCache, *, extents: NDArray[np.int64], progress: Progress
) -> RegionColumn:
    """Bring the masks in the column ``name`` of ``table`` into ``cache``.

    Args:
        table: where the column is.
        name: the column.
        modality: decodes them.
        cache: where the arrays go.
        extents: ``[N, 2]``, height and width of each row's picture; 0 where it has none.
        progress: is told of the rows done.

    Raises:
        CacheError: the cache cannot be written.
    """
    slots = np.full(len(table), -1, dtype=np.int64)
    status = np.full(len(table), MediaStatus.ABSENT, dtype=np.uint8)
    problems: dict[int, str] = {}
    first = 0
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="masks") as pool:
        for cells in table.iterate(name, batch_size=_ROWS_AT_ONCE):
            sizes = extents[first : first + len(cells)].tolist()
            read = dict(enumerate(pool.map(partial(_read, base=table.base), cells, sizes), start=first))
            masks = {row: mask for row, mask in read.items() if isinstance(mask, _Mask)}
            found = _keep(list(masks.values()), modality, cache, pool)
            for row, mask in read.items():
                slot = found[mask.key] if isinstance(mask, _Mask) else -1
                problem = cache.problem(slot) if isinstance(mask, _Mask) else mask
                if problem is not None:
                    status[row], problems[row] = MediaStatus.UNREADABLE, problem
                elif slot >= 0:
                    slots[row], status[row] = slot, MediaStatus.PRESENT
            first += len(cells)
            progress.update(f"reading {name}", done=first, total=len(table))
    return RegionColumn(slots, status, problems, values=_values(slots, cache))


def _read(cell: Any, extent: Sequence[int], *, base: Path) -> _Mask | str | None:
    """What a cell names or holds, or why it cannot be read; None where it says nothing."""
    height, width = extent
    if isinstance(cell, bytes) or (isinstance(cell, Mapping) and cell.get("bytes") is not None):
        raw = read_media(cell, base=base)
        return None if raw is None else _Mask([raw], (height, width), by_object=False)
    cell = cell.get("path") if isinstance(cell, Mapping) else cell
    try:
        paths = read_mask_paths(cell)
    except DataError as error:
        return error.got
    if paths is None:
        return None
    files = [read_media(path, base=base) for path in paths]
    missing = [path for path, raw in zip(paths, files, strict=True) if raw is None]
    if missing:
        return f"no file {missing[0]}"
    is_one = isinstance(cell, str) and not cell.lstrip().startswith("[")
    return _Mask([raw for raw in files if raw is not None], (height, width), by_object=not is_one)


def _keep(masks: Sequence[_Mask], modality: Regions, cache: DecodeCache, pool: ThreadPoolExecutor) -> dict[bytes, int]:
    """The slot of each mask by its key; those that are new are decoded."""
    by_key = {mask.key: mask for mask in masks}
    slots = cache.find(by_key)
    new = [key for key in by_key if key not in slots]
    decoded = pool.map(lambda key: by_key[key].decode(modality), new)
    return slots | cache.put(dict(zip(new, decoded, strict=True)))


def _values(slots: NDArray[np.int64], cache: DecodeCache) -> dict[int, frozenset[int]]:
    found = {}
    for row in np.flatnonzero(slots >= 0).tolist():
        (array,) = cache.read(slots[row : row + 1])
        if array is not None:
            found[row] = frozenset(np.unique(array[array >= 0]).tolist())
    return found
