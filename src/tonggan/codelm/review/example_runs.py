"""The examples of a repository, run in the sandbox on a copy of its tree: which do not do what they show."""

from __future__ import annotations

import ast
import doctest
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from tonggan.codelm.inside import MEMORY, PROGRAM
from tonggan.codelm.review.blocks import Example, FailedExample, blocks_in
from tonggan.codelm.review.docstring import docstring_node
from tonggan.codelm.review.module import Module
from tonggan.codelm.review.repository import Repository
from tonggan.codelm.sandbox import run_python
from tonggan.codelm.tree import copied_tree
from tonggan.progress import Progress

_EACH, _ALL, _STARTING = 10.0, 240.0, 10.0  # seconds
_LONGEST = 300  # characters of an output that are shown
_PARSER = doctest.DocTestParser()
_MOST_SPLITS = 40  # of sessions that end the process they run in
REASONS = {
    "time": "examples that take too long",
    "package": "examples that need a package that is not installed",
    "network": "examples that need the network",
    "processes": "examples that start programs",
    "file": "examples that need a file or an answer",
    "refused": "examples that need what the sandbox refuses",
    "name": "examples that use a name that their page does not define",
    "module": "examples of modules that cannot be imported alone",
    "ended": "examples that end their process",
}
"""Why an example may be left out, in words."""


@dataclass(frozen=True)
class Session:
    """The examples of one docstring or document, which share their names.

    Attributes:
        path: of the file.
        module: that path where the examples see the names of the module, else empty.
        examples: in their order.
    """

    path: str
    module: str
    examples: tuple[Example, ...]


@dataclass
class ExampleRuns:
    """What became of the examples of a repository.

    Attributes:
        failed: those that do not do what they show.
        flaky: places of those whose two runs differ.
        left_out: how many were left out, by reason.
        num_run: how many ran.
    """

    failed: list[FailedExample] = field(default_factory=list)
    flaky: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    num_run: int = 0


def run_examples(repository: Repository, *, progress: Progress | None = None) -> ExampleRuns:
    """Run the examples of the reviewed docstrings and documents; those that fail run twice.

    Raises:
        DataError: the tree is larger than what is copied.
        ConfigError: the sandbox refuses this user.
    """
    progress = progress or Progress()
    sessions = list(_sessions(repository))
    runs = ExampleRuns()
    if not sessions:
        return runs
    progress.say(f"Running {sum(len(each.examples) for each in sessions):,} examples in the sandbox")
    with copied_tree(repository.root) as (tree, _):
        known = sorted({name for module in repository.modules() for name in module.bound})
        first = _run(sessions, tree, known)
        doubtful = [number for number, found in first.items() if _failures(found)]
        again = _run([sessions[number] for number in doubtful], tree, known)
    second = {number: again[place] for place, number in enumerate(doubtful)}
    for number, session in enumerate(sessions):
        for example, outcome, got in first[number]:
            if outcome == "left out":
                runs.left_out[REASONS[got]] += 1
                continue
            runs.num_run += 1
            if outcome != "as shown":
                each = session.examples[example]
                if [example, outcome, got] in second[number]:
                    runs.failed.append(FailedExample(session.path, each, outcome == "raises", got.strip()[:_LONGEST]))
                else:
                    runs.flaky.append(f"{session.path}:{each.line}")
    return runs


def _failures(found: Sequence[Sequence[Any]]) -> bool:
    return any(outcome not in ("as shown", "left out") for _, outcome, _ in found)


def _run(sessions: Sequence[Session], tree: Path, known: list[str]) -> Mapping[int, list[list[Any]]]:
    """Results of each session by its number; where one ends the process, those before and after it run again."""
    found: dict[int, list[list[Any]]] = {}
    waiting = [list(range(len(sessions)))] if sessions else []
    for _ in range(_MOST_SPLITS):
        if not waiting:
            break
        numbers = waiting.pop()
        asked = {
            "step": "examples", "sessions": [asdict(sessions[number]) for number in numbers], "each": _EACH,
            "seconds": _ALL, "known": known,
        }  # fmt: skip
        limit = _ALL + _EACH + _STARTING
        done = run_python(PROGRAM, timeout=limit, max_memory=MEMORY, stdin=json.dumps(asked), tree=tree)
        answered = _answered(done.output)
        if answered is not None and len(answered) == len(numbers):
            found.update(zip(numbers, answered, strict=True))
        elif len(numbers) > 1:
            waiting += [numbers[len(numbers) // 2 :], numbers[: len(numbers) // 2]]
    ended = {
        number: [[place, "left out", "ended"] for place in range(len(session.examples))]
        for number, session in enumerate(sessions)
    }
    return ended | found


def _answered(output: str) -> list[list[list[Any]]] | None:
    """The results in the last line; None where there are none."""
    try:
        sessions: list[list[list[Any]]] = json.loads(output.strip().splitlines()[-1])["sessions"]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return sessions


def _sessions(repository: Repository) -> Iterator[Session]:
    for module in repository.reviewed_modules():
        if not module.is_test and ">>>" in module.source.text:
            yield from _docstrings(module)
    for path, source in sorted(repository.documents.items()):
        if path in repository.reviewed:
            found = sorted(_in_document(source.text, path), key=lambda each: each.line)
            if found:
                yield Session(path, "", tuple(found))


def _docstrings(module: Module) -> Iterator[Session]:
    for node in (module.tree, *(each.node for each in module.definitions)):
        constant = docstring_node(node)
        if constant is not None and ">>>" in str(constant.value):
            found = tuple(_prompted(str(constant.value), constant.lineno))
            if found:
                yield Session(module.path, module.path, found)


def _in_document(text: str, path: str) -> Iterator[Example]:
    if path.endswith(".rst"):
        yield from _prompted(text, 1)
    lines = text.split("\n")
    for block in blocks_in(text):
        written = "\n".join(lines[block.start - 1 : block.start - 1 + len(block.lines)])
        if block.language != "python" or (block.prompt and path.endswith(".rst")):
            continue
        if block.prompt:
            yield from _prompted(dedent(written), block.start)
        elif _is_code(block.text):
            yield Example(block.start, block.text, is_session=False)


def _prompted(text: str, line: int) -> Iterator[Example]:
    try:
        examples = _PARSER.get_examples(text)
    except ValueError:  # prompts that are not followed by a space
        return
    for each in examples:
        if not each.options.get(doctest.SKIP):
            options = tuple(name for name, flag in doctest.OPTIONFLAGS_BY_NAME.items() if each.options.get(flag))
            yield Example(line + each.lineno, each.source, each.want if not each.exc_msg else "", each.exc_msg, options)


def _is_code(text: str) -> bool:
    """Whether it is more than a sketch."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return bool(tree.body)
