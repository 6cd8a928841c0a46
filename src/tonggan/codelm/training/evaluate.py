"""Is a trained model worth using? It and what is in use now complete the same lines of files that neither has seen.

Both read what retrieval finds in the rest of the repositories, for that is what they compete with. Lines are drawn
fairly, and an answer is judged by how near it comes to what stood there. It promotes nothing.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from tonggan.codelm.completion.completer import Completer
from tonggan.codelm.completion.config import CompletionConfig
from tonggan.codelm.completion.context import ContextFinder
from tonggan.codelm.completion.document import Document as OpenDocument
from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.completion.prompt import PromptWriter
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.workspace import Workspace
from tonggan.errors import DataError
from tonggan.grammars import PROSE, has_grammar, nodes_of, parse
from tonggan.language.infill import InfillTokens
from tonggan.language.model import LanguageModel
from tonggan.language.prompt import Prompt
from tonggan.progress import Progress
from tonggan.tasks.edit_distance import edit_distance
from tonggan.training.budget import Budget

if TYPE_CHECKING:
    from tonggan.codelm.corpus.corpus import Corpus

_LEAST_LETTERS = 4  # a line of brackets tells nothing
_LONGEST = 200  # characters; longer lines are data
_LEAST_LINES = 100  # fewer are no evidence
_INDEXING = 0.4  # of the time left goes to what retrieval looks up, at most
_FILES_AT_ONCE = 16
_REPEATS = 1000
_FILES_PER_LINE = 2

Contender = tuple[LanguageModel, InfillTokens | None]


@dataclass(frozen=True)
class Line:
    """A cursor in a file, and what followed it on its line.

    Attributes:
        name: of the file.
        language: of the file.
        text: the file without the rest of the cursor's line, as it is while one types.
        offset: of the cursor.
        target: what stood there.
    """

    name: str
    language: str
    text: str
    offset: int
    target: str


def is_code(language: str | None) -> bool:
    """Whether files of ``language`` hold lines to complete."""
    return has_grammar(language) and language not in PROSE


def draw_lines(
    files: Sequence[tuple[str, str, str]], *, count: int, generator: np.random.Generator, per_file: int = 4
) -> list[Line]:
    """At most ``count`` lines, in random order, no more than ``per_file`` of one file.

    Only code counts: no blank lines, no comments, no documentation or other texts, no lines of brackets alone. Half of
    the cursors stand at the first character of a line, after its indentation, the others inside it.

    Args:
        files: name, language and text of each, with plain line feeds; those that are no code are passed over.
        count: how many.
        generator: of the draws.
        per_file: so that long files are not all there is.
    """
    drawn: list[Line] = []
    for name, language, text in files:
        places = _places(text, language) if is_code(language) else []
        for place in generator.permutation(len(places))[:per_file]:
            start, end = places[place]
            offset = start if generator.random() < 0.5 else int(generator.integers(start + 1, end))
            rest = text[offset:end].rstrip()
            drawn.append(Line(name, language, text[:offset] + text[end:], offset, rest))
    return [drawn[place] for place in generator.permutation(len(drawn))[:count]]


def completed(line: Line, *, text: str, start: int, end: int) -> str:
    """What stands from the cursor to the end of its line, once ``text`` has replaced ``start`` to ``end``."""
    after = line.text[:start] + text + line.text[end:]
    return after[line.offset :].split("\n", 1)[0].rstrip()


def edit_similarity(one: str, other: str) -> float:
    """1 for equal texts, 0 where nothing is alike: one minus the edit distance over the longer length."""
    longer = max(len(one), len(other))
    return 1.0 - edit_distance(one, other) / longer if longer else 1.0


def _places(text: str, language: str) -> list[tuple[int, int]]:
    """Offsets of the first character and of the end of each line that is code."""
    try:
        texts = [node for node, _ in nodes_of(parse(text, language)) if _is_text(node.type)]
    except DataError:  # a text that no parser gets through is no code to complete
        return []
    places: list[tuple[int, int]] = []
    start = start_byte = number = end_of_texts = 0
    for line in text.split("\n"):
        code = line.strip()
        first = len(line) - len(line.lstrip())
        first_byte = start_byte + len(line[:first].encode("utf-8", "replace"))
        while number < len(texts) and texts[number].start_byte <= first_byte:
            end_of_texts = max(end_of_texts, texts[number].end_byte)
            number += 1
        is_line = sum(map(str.isalpha, code)) >= _LEAST_LETTERS and len(code) <= _LONGEST
        if is_line and first_byte >= end_of_texts:
            places.append((start + first, start + len(line.rstrip())))
        start += len(line) + 1
        start_byte += len(line.encode("utf-8", "replace")) + 1
    return places


def _is_text(kind: str) -> bool:
    return "comment" in kind or "string" in kind


@dataclass(frozen=True)
class Scores:
    """How a model did on some lines.

    Attributes:
        exact_match: share of lines completed as they were.
        edit_similarity: mean, 1 where they were.
        perplexity: of the lines' tokens.
    """

    exact_match: float
    edit_similarity: float
    perplexity: float


@dataclass(frozen=True)
class Verdict:
    """A trained model beside what is in use.

    Attributes:
        in_use: name of what is in use.
        before: its scores.
        after: those of the trained model.
        lines: on how many lines.
        gain: 95 % interval of the gain in edit similarity, by bootstrap over the lines.
    """

    in_use: str
    before: Scores
    after: Scores
    lines: int
    gain: tuple[float, float]

    @property
    def is_better(self) -> bool:
        """On at least 100 lines the whole interval of the gain is above zero, and nothing else is worse."""
        return (
            self.lines >= _LEAST_LINES
            and self.gain[0] > 0
            and self.after.perplexity <= self.before.perplexity
            and self.after.exact_match >= self.before.exact_match
        )

    @property
    def decision(self) -> Literal["better", "worse", "undecided"]:
        """What the lines show: nothing, unless the interval is on one side of zero and lines are enough."""
        if self.is_better:
            return "better"
        return "worse" if self.lines >= _LEAST_LINES and self.gain[1] < 0 else "undecided"

    @property
    def reason(self) -> str:
        """Why it is, or is not, to be used."""
        if self.is_better:
            return "the whole interval of the gain is above zero"
        if self.lines < _LEAST_LINES:
            return f"{self.lines} lines are no evidence: at least {_LEAST_LINES} are needed"
        if self.gain[1] < 0:
            return "the whole interval of the gain is below zero"
        if self.gain[0] <= 0:
            return "the interval of the gain reaches down to zero"
        return "exact match or perplexity is worse"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "is_better": self.is_better, "decision": self.decision, "reason": self.reason}

    def describe(self) -> str:
        """For a person."""
        rows = (
            ("exact match", f"{self.before.exact_match:.1%}", f"{self.after.exact_match:.1%}"),
            ("edit similarity", f"{self.before.edit_similarity:.3f}", f"{self.after.edit_similarity:.3f}"),
            ("perplexity", f"{self.before.perplexity:.2f}", f"{self.after.perplexity:.2f}"),
        )
        told = "; ".join(f"{name} {before} -> {after}" for name, before, after in rows)
        return (
            f"{self.lines} held-out lines, {self.in_use} with retrieval -> trained with retrieval: {told} "
            f"(gain in edit similarity {self.gain[0]:+.3f} to {self.gain[1]:+.3f})."
        )


def compare(
    in_use: Contender,
    trained: Contender,
    *,
    corpus: Corpus,
    train: Sequence[int],
    held_out: Sequence[int],
    count: int,
    seed: int,
    budget: Budget,
    progress: Progress,
) -> Verdict:
    """Let both complete up to ``count`` lines of the documents ``held_out``, with the documents ``train`` to look up.

    Both answer each line before the next, so that a time limit leaves both with the same lines.

    Raises:
        DataError: the held-out files hold no line of code.
    """
    generator = np.random.default_rng(seed)
    lines = _draw(corpus, held_out, count=count, generator=generator)
    results: list[list[tuple[float, float, float, int]]] = [[], []]
    looked_up = generator.permutation(np.array(train)).tolist()
    with _workspace(corpus, looked_up, budget=budget, progress=progress) as workspace:
        benches = [_Bench(contender, workspace) for contender in (in_use, trained)]
        slowest = 0.0  # On a busy machine one line may take several times as long as others.
        for number, line in enumerate(lines):
            if number and budget.left <= slowest:
                progress.say(f"The time limit leaves {number:,} of {len(lines):,} lines to compare on.")
                break
            start = time.monotonic()
            for each, bench in zip(results, benches, strict=True):
                each.append(bench.measure(line))
            slowest = max(slowest, time.monotonic() - start)
            progress.update("compare", done=number + 1, total=len(lines))
    before, after = (np.array(each) for each in results)
    return Verdict(in_use[0].name, _scores(before), _scores(after), len(before), _interval(before, after, generator))


class _Bench:
    """A contender at work in a folder.

    Args:
        contender: the model, and its tokens to fill in.
        workspace: of the folder.
    """

    def __init__(self, contender: Contender, workspace: Workspace) -> None:
        self.model, self.infill = contender
        self.workspace = workspace
        # Silence would hide what a model knows, so that it never is.
        self.config = CompletionConfig(multiline="never", threshold=0.0)
        self.completer = Completer(self.model, workspace=workspace, config=self.config, infill=self.infill)
        self.finder = ContextFinder(workspace, Modules(workspace))

    def measure(self, line: Line) -> tuple[float, float, float, int]:
        """Exact match, edit similarity, negative log-likelihood of the line's tokens, and how many these are."""
        document = OpenDocument(self.workspace.root / line.name, line.text, line.language)
        found = self.completer.complete(document, line.offset)
        answer = completed(line, text=found[0].text, start=found[0].start, end=found[0].end) if found else ""
        loss, count = self._surprise(document, line)
        return float(answer == line.target), edit_similarity(answer, line.target), loss, count

    def _surprise(self, document: OpenDocument, line: Line) -> tuple[float, int]:
        """Negative log-likelihood of the line, given the prompt that completion writes, and its number of tokens."""
        tokenizer = self.model.tokenizer
        syntax = None
        with suppress(DataError):  # without the rest of a line, a parser may find no end
            syntax = Syntax.of(line.text, line.language) if has_grammar(line.language) else None
        snippets = self.finder.find(document, line.offset, syntax=syntax)
        names = [self.workspace.name_of(snippet.path) for snippet in snippets]
        writer = PromptWriter(
            tokenizer,
            infill=self.infill,
            budget=min(self.config.context_tokens, self.model.max_length),
            show_following=self.config.show_following,
        )
        prompt = writer.write(document, line.offset, name=line.name, snippets=snippets, names=names)
        target = tokenizer.encode(f"{prompt.typed}{line.target}\n")
        ids = [*prompt.ids, *target][-self.model.max_length :]
        logprobs = self.model.log_probabilities(Prompt((torch.tensor(ids),)))
        return -sum(logprobs[-len(target) :]), len(target)


def _draw(corpus: Corpus, held_out: Sequence[int], *, count: int, generator: np.random.Generator) -> list[Line]:
    names = _names(corpus)
    numbers = [number for number in held_out if is_code(corpus.documents[number].language)]
    files = [
        (names[number], corpus.documents[number].language, corpus.text(number))
        for number in generator.permutation(numbers)[: _FILES_PER_LINE * count].astype(int).tolist()
    ]
    lines = draw_lines(files, count=count, generator=generator, per_file=max(4, math.ceil(count / max(1, len(files)))))
    if not lines:
        raise DataError(
            "holdout of the corpus",
            got=f"{len(held_out)} files without a line of code",
            expected="lines to complete",
            remedy="Hold out more files with --set holdout_share=0.2",
        )
    return lines


@contextmanager
def _workspace(corpus: Corpus, numbers: Sequence[int], *, budget: Budget, progress: Progress) -> Iterator[Workspace]:
    """A folder with these documents as files, indexed; under a limit with the first of them for which there is time."""
    from tonggan.codelm.search.code_index import CodeIndex

    names = _names(corpus)
    until = budget.elapsed + _INDEXING * budget.left
    at_once = len(numbers) if budget.seconds is None else _FILES_AT_ONCE
    with tempfile.TemporaryDirectory(prefix="tonggan-holdout-") as folder:
        root = Path(folder).resolve() / "files"
        root.mkdir()
        with closing(CodeIndex.open(root, folder=Path(folder) / "index")) as index:
            for start in range(0, len(numbers), max(1, at_once)):
                if budget.elapsed > until:
                    progress.say(f"The time limit leaves {start:,} of {len(numbers):,} files for retrieval to look up.")
                    break
                for number in numbers[start : start + at_once]:
                    path = Path(os.path.normpath(root / names[number]))
                    if path.is_relative_to(root):  # a corpus may come from elsewhere
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_text(corpus.text(number), encoding="utf-8")
                index.refresh(progress=progress)
            yield Workspace(root, index=index)


def _names(corpus: Corpus) -> list[str]:
    """Of each document, as in its repository where that is the only one."""
    is_alone = len({document.repository for document in corpus.documents}) == 1
    return [each.name if is_alone else f"{each.repository}/{each.name}" for each in corpus.documents]


def _scores(measured: np.ndarray[Any, Any]) -> Scores:
    matches, similarities, losses, counts = measured.T
    return Scores(float(matches.mean()), float(similarities.mean()), float(np.exp(losses.sum() / counts.sum())))


def _interval(
    before: np.ndarray[Any, Any], after: np.ndarray[Any, Any], generator: np.random.Generator
) -> tuple[float, float]:
    gains = after[:, 1] - before[:, 1]
    drawn = gains[generator.integers(len(gains), size=(_REPEATS, len(gains)))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
