"""Reads the variables of CTranslate2's ``model.bin`` into plain float32 tensors, those of 8 and 16 bits among them.

The format (version 6) is a version, the name and revision of the specification, the variables (name, shape, dtype,
bytes) and aliases. It knows no network; what was quantized is multiplied by its scales.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.errors import DataError

_VERSION = 6
_DTYPES = ("<f4", "<i1", "<i2", "<i4", "<f2", "<u2")
_BFLOAT16 = 5
_MOST_DIMENSIONS = 8


def joined_files(files: Mapping[str, Path]) -> dict[str, bytes]:
    """The content of files by name, without folders; parts, whose names end in ``.part1`` and so on, as one."""
    contents: dict[str, bytes] = {}
    for path in sorted(files.values(), key=lambda path: path.name):
        name, _, part = path.name.rpartition(".part")
        name = name if part.isdigit() and name else path.name
        contents[name] = contents.get(name, b"") + path.read_bytes()
    return contents


def read_ctranslate2(
    content: bytes, *, who: str, remedy: str, wanted: Callable[[str], bool] = lambda _: True
) -> Mapping[str, Tensor]:
    """Variables by name, weights as float32; single integers stay as they are.

    Args:
        content: of the file.
        who: the file, for errors.
        remedy: what the user can do where it is damaged.
        wanted: which names are read.

    Raises:
        DataError: it is truncated, of another version, or no such file.
    """
    reader = _Reader(content, who=who, remedy=remedy)
    version = reader.integer("<u4")
    if version != _VERSION:
        raise reader.error(f"version {version}", expected=f"CTranslate2's format of version {_VERSION}")
    reader.text()
    reader.integer("<u4")
    found = {}
    for _ in range(reader.integer("<u4")):
        name = reader.text()
        found[name] = reader.variable()
    for _ in range(reader.integer("<u4")):
        alias, name = reader.text(), reader.text()
        if name not in found:
            raise reader.error(f"'{alias}', another name of '{name}'", expected="a variable of that name")
        for suffix in ("", "_scale"):
            if name + suffix in found:
                found[alias + suffix] = found[name + suffix]
    if reader.position != len(content):
        raise reader.error(f"{len(content) - reader.position:,} more bytes", expected="its end after the last alias")
    return {
        name: _as_weight(array, found.get(f"{name}_scale"))
        for name, array in found.items()
        if wanted(name) and not name.endswith("_scale")
    }


class _Reader:
    def __init__(self, content: bytes, *, who: str, remedy: str) -> None:
        self.content, self.who, self.remedy = memoryview(content), who, remedy
        self.position = 0

    def error(self, got: str, *, expected: str) -> DataError:
        return DataError(self.who, got=got, expected=expected, remedy=self.remedy)

    def take(self, length: int) -> memoryview:
        if self.position + length > len(self.content):
            raise self.error(
                f"{len(self.content):,} bytes", expected=f"at least {self.position + length:,}, as it promises"
            )
        self.position += length
        return self.content[self.position - length : self.position]

    def integer(self, dtype: str) -> int:
        return int(np.frombuffer(self.take(np.dtype(dtype).itemsize), dtype)[0])

    def text(self) -> str:
        """Its length counts the zero at its end."""
        return str(self.take(self.integer("<u2"))[:-1], "utf-8", errors="replace")

    def variable(self) -> NDArray[np.generic]:
        rank = self.integer("<u1")
        if rank > _MOST_DIMENSIONS:
            raise self.error(f"a variable of {rank} dimensions", expected=f"at most {_MOST_DIMENSIONS}")
        shape = [self.integer("<u4") for _ in range(rank)]
        kind, length = self.integer("<u1"), self.integer("<u4")
        if kind >= len(_DTYPES) or math.prod(shape) * np.dtype(_DTYPES[kind]).itemsize != length:
            raise self.error(f"{length:,} bytes of dtype {kind} for the shape {shape}", expected="bytes that fit it")
        array = np.frombuffer(self.take(length), _DTYPES[kind]).reshape(shape)
        if kind == _BFLOAT16:  # the upper half of a float32
            return (array.astype("<u4") << 16).view("<f4")
        return array


def _as_weight(array: NDArray[np.generic], scale: NDArray[np.generic] | None) -> Tensor:
    if scale is not None:
        # One scale for each row in int8, one for all in int16: what was stored is the weight times it.
        scales = scale.astype(np.float32)
        array = array.astype(np.float32) / (scales.reshape(-1, *[1] * (array.ndim - 1)) if scales.ndim else scales)
    elif array.ndim or array.dtype.kind == "f":
        array = array.astype(np.float32)
    return torch.from_numpy(array.copy())
