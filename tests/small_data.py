"""Small pictures and tables for tests."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from tonggan.data.table import Table


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
