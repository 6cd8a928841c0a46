"""Forms with files, as ``multipart/form-data`` has them: parsed in memory, each field once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from tonggan.serving.config import MAX_FIELDS
from tonggan.serving.failures import RefusedError


def read_form(headers: Any, body: bytes) -> dict[str, str | bytes]:
    """The fields by name; a file is its bytes.

    It has an event loop of its own, as starlette's parser needs one and can take its time: call it beside the server's.

    Raises:
        RefusedError: it is no such form, or has a field twice.
    """
    return asyncio.run(_parse(headers, body))


async def _parse(headers: Any, body: bytes) -> dict[str, str | bytes]:
    from starlette.formparsers import MultiPartException, MultiPartParser

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    fields: dict[str, str | bytes] = {}
    parser = MultiPartParser(headers, stream(), max_files=MAX_FIELDS, max_fields=MAX_FIELDS)
    parser.spool_max_size = len(body) + 1  # nothing of it is written to disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise RefusedError(
            "form", got=str(getattr(error, "message", error)), expected="multipart/form-data with a boundary",
            remedy="Write it with an HTTP library",
        ) from error  # fmt: skip
    for name, value in form.multi_items():
        if name in fields:
            raise RefusedError(
                "form", got=f"the field '{name}' twice", expected="one row", remedy="Send further rows as JSON"
            )
        fields[name] = value if isinstance(value, str) else await value.read()
    return fields
