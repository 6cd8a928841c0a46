"""Where things are kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "TONGGAN_CACHE"
WEIGHTS_VARIABLE = "TONGGAN_WEIGHTS"


def cache_folder() -> Path:
    """The folder of caches and fetched data: ``$TONGGAN_CACHE``, or ``tonggan`` in the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tonggan"


def weights_folder() -> Path:
    """The folder of weights that the user has added: ``$TONGGAN_WEIGHTS``, or in the user's folder of data."""
    named = os.environ.get(WEIGHTS_VARIABLE)
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "tonggan" / "weights"
