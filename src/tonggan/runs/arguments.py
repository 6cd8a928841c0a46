"""What a call in Python is given, as recipes want it: tables by split, settings, the folder of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from tonggan.progress import Progress


def split_sources(tables: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """The ``tables`` that are paths, and those that are in memory."""
    paths = {name: str(table) for name, table in tables.items() if isinstance(table, str | Path)}
    return paths, {name: table for name, table in tables.items() if name not in paths and table is not None}


def chosen_folder(out: str | Path | None, target: str, shown: Progress) -> Path:
    """``out``; without it ``runs/target-date-time``, with a number where that is taken, which is said."""
    if out is not None:
        return Path(out)
    name = re.sub(r"[^\w-]+", "_", target)[:40] + f"-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    taken = (Path("runs", name if number == 1 else f"{name}-{number}") for number in count(1))
    folder = next(each for each in taken if not each.exists())
    shown.say(f"The run is in {folder}")
    return folder


def with_given(
    settings: Sequence[str] | Mapping[str, Any], given: Mapping[str, str | int | None]
) -> Sequence[str] | Mapping[str, Any]:
    """``settings`` with those that are ``given`` by arguments of their own."""
    named = {name: value for name, value in given.items() if value is not None}
    if isinstance(settings, Mapping):
        return {**named, **settings}
    return [*(f"{name}={value}" for name, value in named.items()), *settings]
