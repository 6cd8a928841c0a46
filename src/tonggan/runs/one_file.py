"""A bundle as a single file: a zip archive of the files of its folder, none of them compressed or outside of it."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from tonggan.data.fetch import sha256_of
from tonggan.data.places import cache_folder
from tonggan.errors import BundleError
from tonggan.files import whole_file, whole_folder

_REPORT = "report.html"
_NAMES = ("bundle.json", "recipe.yaml", "weights.safetensors", "inputs.json", _REPORT)
_MARK = b"PK\x03\x04"


def pack(folder: Path, file: Path) -> None:
    """Write the bundle in ``folder``, its report included, as ``file``, which appears whole or not at all.

    Raises:
        BundleError: ``file`` cannot be written.
    """
    try:
        with whole_file(file) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for name in _NAMES:
                if (folder / name).is_file():
                    archive.write(folder / name, name)
    except OSError as error:
        raise BundleError(
            f"file {file}",
            got=str(error),
            expected="a file that can be written",
            remedy="Free space or choose another file with --out",
        ) from error


def is_packed(run: Path) -> bool:
    """Whether ``run`` is a file that may hold a bundle."""
    if not run.is_file():
        return False
    with run.open("rb") as opened:
        return opened.read(len(_MARK)) == _MARK


def unpacked(run: Path) -> Path:
    """The folder of ``run``: itself, or of a bundle in one file its content, which is kept in the folder of caches.

    Raises:
        BundleError: the file is no bundle, or it is damaged.
    """
    if not run.is_file():
        return run
    try:
        if not is_packed(run):
            raise _no_bundle(run, "a file of another kind")
        folder = cache_folder() / "bundles" / sha256_of(run)[:32]
        if not folder.is_dir():
            with zipfile.ZipFile(run) as archive:
                _check(archive, run)
                with whole_folder(folder) as partial:
                    for entry in archive.infolist():
                        with archive.open(entry) as source, (partial / entry.filename).open("wb") as target:
                            shutil.copyfileobj(source, target)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        if isinstance(error, FileExistsError):  # another process has been first
            return folder
        raise _no_bundle(run, str(error)) from error
    return folder


def _check(archive: zipfile.ZipFile, run: Path) -> None:
    """Raise BundleError for an archive that ``pack`` has not made: with other names, or more than it holds itself."""
    names = [entry.filename for entry in archive.infolist()]
    strange = sorted(set(names) - set(_NAMES))
    if strange or len(names) != len(set(names)):
        raise _no_bundle(run, f"an archive with '{strange[0]}'" if strange else "an archive with a name twice")
    lacking = sorted({*_NAMES} - {_REPORT} - set(names))
    if lacking:
        raise _no_bundle(run, f"an archive without '{lacking[0]}'")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        raise _no_bundle(run, "compressed files in it")
    if sum(entry.file_size for entry in archive.infolist()) > run.stat().st_size:
        raise _no_bundle(run, "an archive that claims to hold more than it does")


def _no_bundle(run: Path, got: str) -> BundleError:
    return BundleError(
        f"bundle {run}",
        got=got,
        expected="the folder of a finished run, or a file written by 'tonggan export RUN --format bundle'",
        remedy="Check the path, or export it again",
    )
