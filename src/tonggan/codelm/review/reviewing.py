"""A review: files read, rules applied, and what the user does not want to see left out."""

from __future__ import annotations

import gc
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from tonggan.codelm.review.applying import Failure, apply
from tonggan.codelm.review.example_runs import ExampleRuns, run_examples
from tonggan.codelm.review.finding import Finding
from tonggan.codelm.review.hidden import changed_lines, is_changed, is_ignored, without_linted
from tonggan.codelm.review.module import Module
from tonggan.codelm.review.registry import EXAMPLE_OUTPUT, EXAMPLE_RAISES, LEARNED, rules
from tonggan.codelm.review.repository import Repository
from tonggan.codelm.source_file import Skipped, SourceFile, read_source, why_skipped
from tonggan.codelm.walk import NEVER_SOURCE, walk
from tonggan.errors import ConfigError
from tonggan.progress import Progress

_READ = {".py", ".md", ".markdown", ".rst", ".ipynb"}
_MOST_FILES = 20_000


@dataclass(frozen=True)
class Review:
    """What a review found.

    Attributes:
        root: the folder that paths are relative to.
        findings: those of the most evidence first.
        problems: files that were not reviewed by path, and why.
        failures: rules that raised, each for the file that it raised in.
        hidden: how many findings were left out, by reason.
        num_files: that were reviewed.
        num_lines: of the Python files among them.
        seconds: that it took.
        examples: what became of those that were run.
    """

    root: Path
    findings: tuple[Finding, ...]
    problems: Mapping[str, str] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    hidden: Mapping[str, int] = field(default_factory=dict)
    num_files: int = 0
    num_lines: int = 0
    seconds: float = 0.0
    examples: ExampleRuns = field(default_factory=ExampleRuns)

    @property
    def title(self) -> str:
        """What a page calls it."""
        return self.root.name


@contextmanager
def trees_kept() -> Iterator[None]:
    """Inside, memory is not searched for circles: trees stay until the end, and the search takes half of a review."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@trees_kept()
def review(
    paths: Sequence[Path],
    *,
    only: Sequence[str] = (),
    diff: str | None = None,
    baseline: Collection[str] = (),
    budget: int | None = None,
    detector: Path | None = None,
    with_examples: bool = False,
    progress: Progress | None = None,
) -> Review:
    """Review the files at ``paths``; the rest of their repository is read as context.

    Nothing of it is run, but for examples where this is asked for.

    Args:
        paths: files and folders of one repository.
        only: names of the rules to apply; all by default.
        diff: a commit; only what has to do with lines that changed since is told.
        baseline: fingerprints of findings that are not told.
        budget: how many findings are told at most, those of the most evidence.
        detector: a file of ``tonggan code learn-bugs``, or ``starter`` for the one that comes along, whose suspicions
            are told as well.
        with_examples: whether examples of docstrings and documents are run, in the sandbox on a copy of the tree.
        progress: told of each rule.

    Raises:
        ConfigError: there is no rule of a name, no such commit, not what a rule wants that is asked for, or the sandbox
            refuses this user.
        DataError: there is nothing at a path, the detector is damaged, or the tree is too large to copy.
    """
    start = time.perf_counter()
    progress = progress or Progress()
    chosen = chosen_rules(only, has_detector=detector is not None, with_examples=with_examples)
    changed = None if diff is None else changed_lines(root_of(paths), diff)
    repository = read_repository(paths, only=changed)
    with_detector(repository, detector)
    runs = run_examples(repository, progress=progress) if with_examples else ExampleRuns()
    repository.failed_examples = runs.failed
    findings: list[Finding] = []
    failures: list[Failure] = []
    for name in progress.track(chosen, label="reviewing"):
        found, failed = apply(name, repository)
        findings += found
        failures += failed
    kept, hidden = _wanted(
        ranked(with_fingerprints(findings, repository)), repository, changed=changed, baseline=baseline, budget=budget
    )
    return Review(
        repository.root,
        tuple(kept),
        repository.problems | dict.fromkeys(runs.flaky, "an example whose two runs differ"),
        tuple(failures),
        hidden | runs.left_out,
        len(repository.reviewed),
        sum(len(module.source.text.splitlines()) for module in repository.reviewed_modules()),
        time.perf_counter() - start,
        runs,
    )


def with_detector(repository: Repository, detector: Path | None) -> Repository:
    """``repository``, which the detector in this file is to read, where one is given."""
    if detector is not None:
        from tonggan.codelm.review.learned.detector import BugDetector  # torch, which takes seconds

        repository.detector = BugDetector.open(detector)
    return repository


def _wanted(
    findings: list[Finding],
    repository: Repository,
    *,
    changed: Mapping[str, Collection[int]] | None,
    baseline: Collection[str],
    budget: int | None,
) -> tuple[list[Finding], dict[str, int]]:
    """What is left of the findings, and how many are not, by reason."""
    steps: dict[str, Callable[[list[Finding]], list[Finding]]] = {
        "on lines that did not change": lambda left: [
            each for each in left if changed is None or is_changed(each, changed, repository)
        ],
        "ignored by a comment": lambda left: [each for each in left if not is_ignored(each, repository)],
        "that ruff already reports": lambda left: without_linted(left, repository),
        "in the baseline": lambda left: [each for each in left if each.fingerprint not in baseline],
        "beyond the budget": lambda left: left[:budget],
    }
    hidden: dict[str, int] = {}
    for reason, step in steps.items():
        left = step(findings)
        hidden |= {reason: len(findings) - len(left)} if len(left) < len(findings) else {}
        findings = left
    return findings, hidden


def chosen_rules(names: Sequence[str], *, has_detector: bool = False, with_examples: bool = False) -> list[str]:
    """The rules of these names, all where there are none.

    Raises:
        ConfigError: one does not exist, or wants a detector or examples that are run.
    """
    known = rules()
    if LEARNED in names and not has_detector:
        raise ConfigError(
            "--rule",
            got=f"'{LEARNED}' without a detector",
            expected="--detector starter, or a file of 'tonggan code learn-bugs'",
            remedy="Name one, or leave the rule out",
        )
    for name in {EXAMPLE_OUTPUT, EXAMPLE_RAISES}.intersection(() if with_examples else names):
        raise ConfigError(
            "--rule",
            got=f"'{name}' without examples that are run",
            expected="--run-examples as well",
            remedy="Add it, or leave the rule out",
        )
    for name in names:
        if name not in known:
            raise ConfigError(
                "--rule", got=f"'{name}'", expected=f"one of {', '.join(known)}", remedy="Choose one of these"
            )
    return [name for name in known if not names or name in names]


def read_repository(
    paths: Sequence[Path],
    *,
    only: Collection[str] | None = None,
    former: Repository | None = None,
    overlays: Mapping[str, str] | None = None,
) -> Repository:
    """The repository that ``paths`` are in, with only what is at them reviewed.

    Args:
        paths: files and folders.
        only: of them, the files that are reviewed, by their paths in the repository.
        former: as it was read before; files that have not changed are not parsed again.
        overlays: texts by relative path that stand in the place of what is on the disk.

    Raises:
        DataError: there is nothing at a path.
    """
    root = root_of(paths)
    left_out: dict[Path, str] = {}
    wanted = [
        path for each in paths for path in walk(each.resolve(), left_out=left_out) if path.suffix.lower() in _READ
    ]
    context = (path for path in walk(root, left_out=left_out) if path.suffix.lower() in _READ)
    every = dict.fromkeys([*wanted, *islice(context, _MOST_FILES)])
    files: list[SourceFile] = []
    problems = {str(path): reason for path, reason in left_out.items()}
    problems |= {
        str(each): f"not one of the files that are read: {', '.join(sorted(_READ))}"
        for each in paths
        if each.is_file() and each.suffix.lower() not in _READ
    }
    for path in every:
        source = read_source(path, root=root)
        if isinstance(source, Skipped):
            problems[source.name] = why_skipped(source.reason, source.detail)
        else:
            files.append(_overlaid(source, overlays or {}))
    reviewed = {path.relative_to(root).as_posix() for path in wanted}
    if only is not None:  # documents may speak of what has changed elsewhere
        reviewed = {path for path in reviewed if path in only or not path.endswith(".py")}
    repository = Repository(root, files, reviewed=reviewed, former=former)
    repository.problems |= problems
    return repository


def _overlaid(source: SourceFile, overlays: Mapping[str, str]) -> SourceFile:
    text = overlays.get(source.name)
    if text is None:
        return source
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return replace(source, text=text, sha256=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def root_of(paths: Sequence[Path]) -> Path:
    """The repository that all ``paths`` are in: the nearest folder with ``.git`` above, else one that holds all."""
    resolved = [path.resolve() for path in paths]
    folders = [path if path.is_dir() else path.parent for path in resolved]
    common = next(
        folder for folder in (folders[0], *folders[0].parents) if all(each.is_relative_to(folder) for each in folders)
    )
    for folder in (common, *common.parents):
        if (folder / ".git").exists() and NEVER_SOURCE.isdisjoint(common.relative_to(folder).parts):
            return folder
    return common


def with_fingerprints(findings: Iterable[Finding], repository: Repository) -> Iterator[Finding]:
    """The findings in the order of their places, each with what it is recognized by when lines move."""
    seen: Counter[str] = Counter()
    for finding in sorted(findings, key=lambda each: (each.path, each.start_line, each.start_column, each.rule)):
        module, lines = repository.at(finding.path), repository.lines_of(finding.path)
        inside = _enclosing(module, finding.start_line) if module else ""
        source = " ".join(lines[finding.start_line - 1].split())
        key = "\0".join((finding.rule, finding.path, inside, source))
        seen[key] += 1
        digest = hashlib.sha256(f"{key}\0{seen[key]}".encode("utf-8", "replace")).hexdigest()
        yield replace(finding, fingerprint=digest[:32])


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """The most certain first, then by place."""
    return sorted(findings, key=lambda each: (-round(each.confidence, 2), each.path, each.start_line, each.rule))


def _enclosing(module: Module, line: int) -> str:
    """The innermost function or class around a line."""
    inside = ""
    for each in module.definitions:
        first = min([each.node.lineno, *(decorator.lineno for decorator in each.node.decorator_list)])
        if first <= line <= (each.node.end_lineno or first):
            inside = each.qualified_name
    return inside
