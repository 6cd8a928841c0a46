"""Whether a file may be written: a command never replaces a folder, nor what it reads. It writes nothing itself."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from tonggan.errors import ConfigError


def check_no_input(path: Path, inputs: Iterable[str | Path], *, option: str) -> None:
    """Raise ConfigError if ``path`` is a folder, or writing it would replace one of the ``inputs``.

    Args:
        path: what is to be written.
        inputs: files, folders or patterns of files that are read; those that do not exist are passed over.
        option: which names ``path``, e.g. ``"--out"``.
    """
    if path.is_dir():
        raise ConfigError(
            f"{option} {path}",
            got="a folder",
            expected="a file to write",
            remedy="Add the name of a file in it",
        )
    names = [name for each in inputs for name in (str(each), *glob.glob(str(each)))]  # noqa: PTH207 (absolute ones too)
    if path.exists() and any(Path(name).exists() and path.samefile(name) for name in names):
        raise ConfigError(
            f"{option} {path}",
            got="a file that is read here",
            expected="another file, since it would be replaced",
            remedy="Choose another name",
        )
