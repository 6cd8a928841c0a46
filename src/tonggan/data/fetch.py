"""Bring one named file here: from a mirror folder, a mirror URL or its public URL; resumed, verified, atomic.

Nothing is fetched unless a user asked for the data set by name, and a file that does not match its SHA-256 is
never handed out.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

from tonggan.errors import CacheError, DataError
from tonggan.progress import Progress

MIRROR_VARIABLE = "TONGGAN_MIRROR"
_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class RemoteFile:
    """A published file: its path below a mirror, its SHA-256, and the public URL of the same bytes where one exists."""

    path: str
    sha256: str
    url: str | None = None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fetch(file: RemoteFile, *, folder: Path, source: str, progress: Progress) -> Path:
    """The local path of ``file``, fetched into ``folder`` unless it is there or in a mirror folder.

    Args:
        file: what to fetch.
        folder: where fetched files are kept, with the same layout as a mirror.
        source: a page where a person can find the data, for the error message.
        progress: told how many bytes came.

    Raises:
        DataError: there is nowhere to fetch it from, the server fails, or the bytes are not the published ones.
        CacheError: ``folder`` cannot be written.
    """
    mirror = os.environ.get(MIRROR_VARIABLE)
    if mirror and "://" not in mirror:
        return _from_folder(file, Path(mirror).expanduser())
    target = folder / file.path
    if target.exists() and sha256_of(target) == file.sha256:
        return target
    url = f"{mirror.rstrip('/')}/{quote(file.path)}" if mirror else file.url
    if url is None:
        raise DataError(
            f"data file {file.path}",
            got="no public address of these exact bytes and no mirror",
            expected=f"a mirror that holds it (the data come from {source})",
            remedy=f"Set {MIRROR_VARIABLE} to a folder or URL that holds {file.path}",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not (target.exists() and sha256_of(target) == file.sha256):
                _download(url, target, file, progress)
    except OSError as error:
        if isinstance(error, urllib.error.URLError | TimeoutError | ConnectionError):
            raise _failed(url, str(error)) from error
        raise CacheError(
            f"data folder {target.parent}",
            got=str(error),
            expected="a folder that can be written",
            remedy="Set TONGGAN_CACHE to a folder with space and write permission",
        ) from error
    return target


def state_of(file: RemoteFile, *, folder: Path) -> str:
    """``"ok"``, ``"missing"`` or ``"damaged"``: how ``file`` stands in a mirror folder, or else in ``folder``."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    path = (Path(mirror).expanduser() if mirror and "://" not in mirror else folder) / file.path
    if not path.is_file():
        return "missing"
    return "ok" if sha256_of(path) == file.sha256 else "damaged"


def _from_folder(file: RemoteFile, mirror: Path) -> Path:
    path = mirror / file.path
    if not path.is_file():
        raise DataError(
            f"{MIRROR_VARIABLE}={mirror}",
            got=f"no file {file.path} in it",
            expected="a folder with that file",
            remedy=f"Put the file there or unset {MIRROR_VARIABLE}",
        )
    _verify(path, file, where=str(path))
    return path


def _download(url: str, target: Path, file: RemoteFile, progress: Progress) -> None:
    if not url.startswith(("http://", "https://")):
        raise _failed(url, "an address that is neither http nor https")
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            resumed = answer.status == 206
            total = int(answer.headers.get("Content-Length") or 0) + (have if resumed else 0)
            with part.open("ab" if resumed else "wb") as output:
                done = have if resumed else 0
                for chunk in _chunks(answer):
                    output.write(chunk)
                    done += len(chunk)
                    progress.update(f"Fetching {file.path}", done=done, total=max(total, done))
                output.flush()
                os.fsync(output.fileno())
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the part is already whole, or longer than the file: the check below tells
            raise _failed(url, f"HTTP {error.code} {error.reason}") from error
    try:
        _verify(part, file, where=url)
    except DataError:
        part.unlink()
        raise
    part.replace(target)


def _chunks(answer: object) -> Iterator[bytes]:
    while chunk := answer.read(_CHUNK):  # type: ignore[attr-defined]
        yield chunk


def _verify(path: Path, file: RemoteFile, *, where: str) -> None:
    digest = sha256_of(path)
    if digest != file.sha256:
        raise DataError(
            where,
            got=f"SHA-256 {digest[:16]}… ({path.stat().st_size:,} bytes)",
            expected=f"SHA-256 {file.sha256[:16]}… of {file.path}",
            remedy="The file is damaged or another version: fetch it again, or use another mirror",
        )


def _failed(url: str, reason: str) -> DataError:
    return DataError(
        url,
        got=reason,
        expected="the file",
        remedy=f"Check the connection and run the same command again (it resumes), or set {MIRROR_VARIABLE}",
    )
