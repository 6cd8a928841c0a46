"""The folder of a run while it is at work: its own, and resumed only by the run that was started in it.

What the run is stands in ``IDENTITY``, which is written before anything is learned and removed after everything else:
as long as it is there, the same command goes on where the run was stopped, be it while its bundle was written. A run
that replaces a finished one works in ``NEXT`` inside its folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from tonggan.errors import BundleError, ConfigError
from tonggan.files import whole_file
from tonggan.runs.bundle_folder import (
    CHECKPOINTS,
    ENCODER,
    FILES,
    IDENTITY,
    INDEX,
    NEXT,
    OUT_OF_FOLD,
    RECOMMENDER,
    SPACE,
    place_next,
)
from tonggan.wording import Bilingual, Words

ALONE, TRIALS = "alone", "trials"
_RUN = Words("run", "运行")
_DIFFERENCES = 4  # fields of recipes that are told


@contextmanager
def locked(folder: Path, what: Words) -> Iterator[None]:
    """``folder`` of a run or a study, which is made where it is not there, for this process alone.

    Raises:
        BundleError: the folder is in use, or cannot be read or written.
    """
    name = what.english
    of_folder = Bilingual(f"{name} folder {folder}", f"{what.chinese}文件夹 {folder}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise BundleError(
            of_folder,
            got=Bilingual(f"another {name} at work in it", f"其中有另一个{what.chinese}正在进行"),
            expected=Bilingual(f"a folder of this {name}'s own", f"专供此{what.chinese}使用的文件夹"),
            remedy="Wait for it, or choose another folder with --out",
        ) from error
    except OSError as error:
        raise BundleError(
            of_folder,
            got=str(error),
            expected="a folder that can be written",
            remedy="Free space or choose another folder with --out",
        ) from error
    try:
        yield
    except OSError as error:
        raise BundleError(
            Bilingual(f"{name} in {folder}", f"{folder} 中的{what.chinese}"),
            got=str(error),
            expected="files that can be read and written",
            remedy="Free space or correct the permissions, and run the same command again to resume",
        ) from error
    finally:
        lock.release()


@contextmanager
def claimed(out: Path, *, overwrite: bool, index: str = INDEX) -> Iterator[None]:
    """``out`` for this run alone; a finished run in it is an error without ``overwrite``, and stays until ``finish``.

    Args:
        out: the run's folder, which is made where it is not there.
        overwrite: whether it may hold a finished run.
        index: the file that a finished run of this kind has.

    Raises:
        BundleError: the folder is in use, holds a finished run, or cannot be read or written.
    """
    made = not out.exists()
    try:
        with locked(out, _RUN):
            if (out / NEXT / INDEX).exists():
                place_next(out)
            _check_kind(out, index)
            at_work = any((folder / IDENTITY).exists() for folder in (out, out / NEXT))
            if not overwrite and (out / index).exists() and not at_work:
                raise _finished(out)
            yield
    finally:
        # It failed before there was anything to keep.
        if made and out.is_dir() and [path.name for path in out.iterdir()] == [".lock"]:
            shutil.rmtree(out, ignore_errors=True)


def _check_kind(out: Path, index: str) -> None:
    if any((out / other).exists() for other in (INDEX, SPACE, RECOMMENDER, ENCODER) if other != index):
        raise BundleError(
            f"run folder {out}",
            got="a finished run of another kind",
            expected="a new folder",
            remedy="Choose another folder with --out",
        )


def remember(out: Path, text: str, *, overwrite: bool) -> Path:
    """Write ``text``, the full recipe with what its data and its start are, before anything is learned.

    Args:
        out: the run's folder.
        text: what to write.
        overwrite: remove an unfinished run of another text that is there, and let this one replace a finished one;
            only now, so that a wrong name or a missing table costs nobody a model.

    Returns:
        The folder to work in: ``out``, or ``NEXT`` in it where a finished run stays until this one is whole.

    Raises:
        BundleError: ``out`` holds a finished run.
        ConfigError: what was left unfinished there is the run of another text.
    """
    work = out
    if (out / INDEX).exists() and _identity(out) != text:
        if not overwrite and _identity(out / NEXT) != text:
            raise _finished(out)
        finish(out)
        work = out / NEXT
    path, former = work / IDENTITY, _identity(work)
    if former == text:
        return work
    if overwrite:
        _clear(work)
    elif former is not None or any((work / CHECKPOINTS).glob("*.safetensors")):
        differences = "its own is lost" if former is None else _differences(former, text)
        raise ConfigError(
            f"run folder {out}",
            got=f"an unfinished run of another recipe, other data or another start: {differences}",
            expected="the run that was started here",
            remedy="Repeat its command to resume it, choose another folder with --out, or replace it with --overwrite",
        )
    with whole_file(path) as partial:  # Torn by a kill, it would be taken for another run's.
        partial.write_text(text, encoding="utf-8")
    return work


def unfinished(out: Path) -> Path:
    """The folder in which a run of ``out`` that was stopped has worked; ``out`` where there is none."""
    return out / NEXT if (out / NEXT / IDENTITY).exists() else out


def _identity(folder: Path) -> str | None:
    path = folder / IDENTITY
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def _finished(out: Path) -> BundleError:
    return BundleError(
        f"run folder {out}",
        got="a finished run",
        expected="a new folder, or an unfinished run to resume",
        remedy="Choose another folder with --out, or replace it with --overwrite",
    )


def finish(out: Path) -> None:
    """Once a run's bundle is whole, bring it to its place and remove what only an unfinished run needs."""
    if (out / NEXT / INDEX).exists():
        place_next(out)
    elif not (out / NEXT / IDENTITY).exists():
        shutil.rmtree(out / NEXT, ignore_errors=True)
    for name in (ALONE, TRIALS):
        shutil.rmtree(out / name, ignore_errors=True)
    for leftover in (out / CHECKPOINTS).glob("*.safetensors*"):
        leftover.unlink()
    with suppress(OSError):  # not empty
        (out / CHECKPOINTS).rmdir()
    (out / IDENTITY).unlink(missing_ok=True)


def _clear(out: Path) -> None:
    """Remove what a run writes from its model on, and nothing else."""
    (out / INDEX).unlink(missing_ok=True)  # Without the index, what is left of it is not taken for a model.
    for name in (CHECKPOINTS, ALONE, TRIALS):
        shutil.rmtree(out / name, ignore_errors=True)
    if any((out / other).exists() for other in (SPACE, RECOMMENDER, ENCODER)):
        return  # Such a finished run stays until the new one is written over it.
    for name in (*FILES, "report.html", OUT_OF_FOLD):
        (out / name).unlink(missing_ok=True)


def _differences(former: str, now: str) -> str:
    """The first fields that differ between two recipes, by path, and what they are in both."""
    there, here = _fields(former), _fields(now)
    differing = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    told = [f"{key} is {there.get(key, 'not there')}, now {here.get(key, 'left out')}" for key in differing]
    more = len(told) - _DIFFERENCES
    return "; ".join(told[:_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")


def _fields(text: str) -> dict[str, str]:
    """By path, what a recipe sets, and the fingerprints in the comments before it."""
    comments = (line[2:].partition(": ") for line in text.splitlines() if line.startswith("# "))
    fields = {f"the content of {name}": fingerprint[:8] for name, _, fingerprint in comments}
    try:
        groups = [("", yaml.safe_load(text) or {})]
    except yaml.YAMLError:
        return {}
    while groups:
        path, group = groups.pop(0)
        for key, value in group.items():
            if isinstance(value, dict):
                groups.append((f"{path}{key}.", value))
            else:
                fields[f"{path}{key}"] = repr(value)
    return fields
