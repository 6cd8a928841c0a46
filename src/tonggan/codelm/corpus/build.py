"""Repositories to a corpus: find, clean, leave out duplicates, tokenize, write; interrupted work goes on.

Every stage's result depends on its input alone, so a build that was killed and started again writes the same bytes as
one that was not. It trains nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonggan.codelm.corpus.cleaning import Cleaned, Found, Part, clean_part, load
from tonggan.codelm.corpus.corpus import FORMAT, MANIFEST, TOKENIZER, Corpus
from tonggan.codelm.corpus.decontaminate import Benchmarks
from tonggan.codelm.corpus.licenses import allowed_licenses
from tonggan.codelm.corpus.near_duplicates import NearDuplicates
from tonggan.codelm.corpus.report import CorpusReport
from tonggan.codelm.corpus.repositories import find_repositories, last_changes
from tonggan.codelm.corpus.shards import SHARD_TOKENS, ShardWriter, token_type
from tonggan.errors import DataError
from tonggan.files import whole_file
from tonggan.processes import isolated_children
from tonggan.progress import Progress

if TYPE_CHECKING:
    from tonggan.language.tokenizer import Tokenizer

DROPPED = "dropped.jsonl"
"""A line for each file that was left out."""

_PART_BYTES = 4_000_000
_WORK = "work"
_DOCUMENT = ("repository", "name", "language", "license", "modified", "sha256")


def build_corpus(
    paths: Sequence[Path | str],
    out: Path | str,
    *,
    tokenizer_of: str = "smollm2",
    licenses: Sequence[str] | None = None,
    against: Sequence[str] = (),
    num_processes: int = 1,
    shard_tokens: int = SHARD_TOKENS,
    progress: Progress | None = None,
) -> CorpusReport:
    """Make the corpus of the source files at and below ``paths`` in the folder ``out``.

    Run again after an interruption it goes on where it stopped; run again on the same files it does nothing; on changed
    files it makes the corpus anew, and the former one stays until the new one is whole.

    Args:
        paths: repositories, folders of them or of installed packages, or files.
        out: a folder; new, empty, or of an earlier corpus.
        tokenizer_of: the model whose vocabulary is used, as ``load_pretrained`` takes it.
        licenses: SPDX identifiers, ``permissive`` or ``unknown``: files under others are left out; None takes all.
        against: benchmarks that must not be learned from: ``humaneval``, or paths of files.
        num_processes: that clean files; more than one starts new processes.
        shard_tokens: a shard is closed when it has as many.
        progress: told how far it is.

    Raises:
        ConfigError: an unknown license or model.
        DataError: there is nothing at a path, or ``out`` holds something else or cannot be written.
        MissingExtraError: an optional package is not installed.
    """
    from tonggan.language.pretrained import load_pretrained

    progress, out = progress or Progress(), Path(out).absolute()
    wanted = None if licenses is None else allowed_licenses(licenses)
    Benchmarks.of(against)  # Here a wrong name costs no time.
    tokenizer = load_pretrained(tokenizer_of).tokenizer
    state = json.dumps(tokenizer.state(), sort_keys=True)
    _claim(out)
    parts, left_out = _divide([Path(path) for path in paths], out=out, licenses=wanted, against=against)
    identity = _identity(parts, state, shard_tokens)
    folder = out / identity[:16]
    if (out / MANIFEST).is_file() and Corpus.open(out).manifest["identity"] == identity:
        progress.say(f"The corpus in {out} is of these files already.")
        _tidy(out, folder)
        return CorpusReport.read(out)
    report = CorpusReport(against=list(against), left_out=left_out)
    made = {
        "identity": identity,
        "paths": [str(path) for path in paths],
        "licenses": None if wanted is None else sorted(wanted),
        "against": list(against),
        "tokenizer": _describe(tokenizer, tokenizer_of, state),
    }
    with _writing(out):
        _clean(parts, out / _WORK, num_processes=num_processes, progress=progress)
        writer = ShardWriter(folder, dtype=token_type(tokenizer.size), shard_tokens=shard_tokens)
        _write(parts, out, writer, tokenizer=tokenizer, report=report, progress=progress)
        _finish(out, folder, state=state, report=report, made={**made, "shards": writer.shards})
    return report


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"corpus {out}",
            got=str(error),
            expected="a folder that can be written, with space for the corpus",
            remedy="Free space or choose another --out, and run the same command again: it goes on where it stopped",
        ) from error


def _finish(out: Path, folder: Path, *, state: str, report: CorpusReport, made: dict[str, Any]) -> None:
    """Write all but the shards, the manifest last, and tidy up."""
    with whole_file(folder / TOKENIZER) as partial:
        partial.write_text(state, encoding="ascii")
    report.write(out)
    manifest = {"format": FORMAT, "folder": folder.name, **made, "kept": dict(report.kept)}
    with whole_file(out / MANIFEST) as partial:
        partial.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    _tidy(out, folder)


def _tidy(out: Path, folder: Path) -> None:
    """Remove the work, and the shards of a former corpus; where it is killed, the next build goes on with it."""
    for other in out.iterdir():
        if other.is_dir() and other != folder and (other.name == _WORK or (other / TOKENIZER).is_file()):
            shutil.rmtree(other)


def _identity(parts: Sequence[Part], state: str, shard_tokens: int) -> str:
    """Changes with everything that the shards depend on."""
    content = "\n".join([str(shard_tokens), state, *(part.fingerprint for part in parts)])
    return hashlib.sha256(content.encode()).hexdigest()


def _describe(tokenizer: Tokenizer, name: str, state: str) -> dict[str, str | int]:
    return {
        "name": name,
        "sha256": hashlib.sha256(state.encode()).hexdigest(),
        "size": tokenizer.size,
        "dtype": str(token_type(tokenizer.size)),
    }


def _claim(out: Path) -> None:
    """Make sure that nothing else is lost in ``out``."""
    if out.is_dir() and any(out.iterdir()) and not ((out / MANIFEST).is_file() or (out / _WORK).is_dir()):
        raise DataError(
            f"folder {out}",
            got="files that are no corpus",
            expected="a new or empty folder, or one with a corpus",
            remedy="Choose another --out",
        )


def _divide(
    paths: Sequence[Path],
    *,
    out: Path,
    licenses: frozenset[str] | None,
    against: Sequence[str],
) -> tuple[list[Part], dict[str, str]]:
    """The files in parts of some megabytes each, so that little work is lost by a kill; what of them is left out."""
    left_out: dict[Path, str] = {}
    parts: list[Part] = []
    contents = tuple((name, _digest(name)) for name in against)
    pending: list[Found] = []
    folders: dict[str, tuple[str, str | None]] = {}

    def close() -> None:
        used = {name: folders[name] for name in sorted({file.repository for file in pending})}
        parts.append(Part(tuple(pending), used, licenses, contents))
        pending.clear()

    for repository in find_repositories(paths, left_out=left_out):
        metadata = None if repository.metadata is None else str(repository.metadata)
        folders[repository.name] = (str(repository.folder), metadata)
        try:
            times = last_changes(repository)
        except DataError as error:
            left_out[repository.folder] = f"{error.who}: {error.got}, so files count as changed when they were written"
            times = {}
        for path in repository.files:
            if out in path.parents:
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # It vanished, so it is not part of the repository any more.
            modified = times.get(path, int(status.st_mtime))
            pending.append(Found(repository.name, str(path), status.st_size, status.st_mtime_ns, modified))
            if sum(min(file.size, _PART_BYTES) for file in pending) >= _PART_BYTES or len(pending) >= 1000:
                close()
    if pending:
        close()
    return parts, {str(path): reason for path, reason in left_out.items()}


def _digest(name: str) -> str:
    path = Path(name)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _clean(parts: Sequence[Part], work: Path, *, num_processes: int, progress: Progress) -> None:
    """Clean the parts that are not yet."""
    total = sum(file.size for part in parts for file in part.files)
    missing = [part for part in parts if not part.place(work).is_file()]
    done = total - sum(file.size for part in missing for file in part.files)
    begin, before = time.perf_counter(), done
    for size in _clean_each(missing, work, num_processes):
        done += size
        speed = (done - before) / 1e6 / (time.perf_counter() - begin)
        progress.update("Cleaning", done=done, total=total, note=f"{speed:.1f} MB/s")


def _clean_each(parts: Sequence[Part], work: Path, num_processes: int) -> Iterator[int]:
    """Clean ``parts`` in any order; yields the bytes of each that is done."""
    if num_processes == 1 or len(parts) < 2:
        yield from (clean_part(part, work) for part in parts)
        return
    # Not forked: threads of torch or of the tokenizers may hold locks.
    with isolated_children():  # the pool starts one beside those that work
        pool = ProcessPoolExecutor(
            min(num_processes, len(parts)), mp_context=get_context("spawn"), initializer=_ignore_stop
        )
        waiting = [pool.submit(clean_part, part, work) for part in parts]
    try:
        for done in as_completed(waiting):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_stop() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one.


def _write(
    parts: Sequence[Part],
    out: Path,
    writer: ShardWriter,
    *,
    tokenizer: Tokenizer,
    report: CorpusReport,
    progress: Progress,
) -> None:
    """Tokenize and write what is no duplicate; what was written before an interruption is counted only."""
    duplicates = _Duplicates()
    report.seconds = dict.fromkeys(("clean", "duplicates", "tokens"), 0.0)
    done = iter(list(writer.lengths))
    with whole_file(out / DROPPED) as partial, partial.open("w", encoding="ascii") as dropped:
        for part in progress.track(parts, label="Writing"):
            kept = []
            files, seconds = load(part.place(out / _WORK))
            report.seconds["clean"] += seconds
            begin = time.perf_counter()
            for cleaned in files:
                reason, detail = (cleaned.dropped, cleaned.detail) if cleaned.dropped else duplicates.of(cleaned)
                if reason:
                    report.drop(cleaned, reason, detail)
                    line = {"file": cleaned.key, "reason": reason, "detail": detail, "language": cleaned.language}
                    dropped.write(json.dumps(line) + "\n")
                else:
                    kept.append(cleaned)
            report.seconds["duplicates"] += time.perf_counter() - begin
            begin = time.perf_counter()
            lengths = list(islice(done, len(kept)))
            new = kept[len(lengths) :]
            for cleaned, ids in zip(new, tokenizer.encode_batch([one.text for one in new]), strict=True):
                document = {name: getattr(cleaned, name) for name in _DOCUMENT}
                writer.add(document, ids=ids, text=cleaned.text)
                lengths.append(len(ids))
                report.tokenized += len(cleaned.text.encode("utf-8")) / 1e6
            for cleaned, length in zip(kept, lengths, strict=True):
                report.keep(cleaned, num_tokens=length)
            report.seconds["tokens"] += time.perf_counter() - begin
    writer.close()


class _Duplicates:
    """The texts that were kept so far."""

    def __init__(self) -> None:
        self._near = NearDuplicates()
        self._texts: dict[bytes, str] = {}  # digest of a text -> what it is called

    def of(self, cleaned: Cleaned) -> tuple[str, str]:
        """Why ``cleaned`` is no new text, and which one it repeats; both empty where it is new."""
        first = self._texts.setdefault(hashlib.sha256(cleaned.text.encode("utf-8")).digest(), cleaned.key)
        if first != cleaned.key:
            return "duplicate", f"as {first}"
        near = self._near.add(cleaned.key, cleaned.signature) if len(cleaned.signature) else None
        return ("near-duplicate", f"{near[1]:.2f} like {near[0]}") if near else ("", "")
