"""Small pictures and tables for tests."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from PIL import Image

from tonggan.config import Config
from tonggan.data.dataset import TargetSource
from tonggan.data.table import Table
from tonggan.modalities import Modality, NumberConfig
from tonggan.tokens import Arrays


def png(*color: int, size: int = 8) -> bytes:
    """The bytes of a picture of one color."""
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), color).save(buffer, "PNG")
    return buffer.getvalue()


def make_table(
    folder: Path, columns: Mapping[str, Sequence[Any]], *, name: str = "train", batch_size: int = 1000
) -> Table:
    """A table of ``columns`` whose relative paths start at ``folder``."""
    path = folder / f"{name}.arrow"
    folder.mkdir(parents=True, exist_ok=True)
    data = pa.table(dict(columns))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, data.schema) as writer:
        writer.write_table(data, max_chunksize=batch_size)
    return Table(path, base=folder, source=name, fingerprint=name)


class PlainNumbers(Modality[Config]):
    """A target of numbers as they are."""

    kind = "plain_numbers"

    def collate(self, items: Sequence[float]) -> Arrays:
        return Arrays.whole(torch.tensor(items))


def number_target(table: Table, column: str) -> TargetSource:
    """The numbers of ``column`` as a target."""
    return TargetSource(PlainNumbers(Config()), table, {column: NumberConfig()})
