"""From a prompt to candidates: written, mended, checked, and put in order. It finds no context."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tonggan.codelm.completion.confidence import confidence_of
from tonggan.codelm.completion.config import CompletionConfig
from tonggan.codelm.completion.decoding import Decoder, Draft
from tonggan.codelm.completion.document import Document
from tonggan.codelm.completion.modules import JediAttributes, Modules
from tonggan.codelm.completion.prompt import CodePrompt
from tonggan.codelm.completion.repair import Repaired, repair
from tonggan.codelm.completion.scope import Problem, problems_in
from tonggan.codelm.completion.stops import Extent
from tonggan.codelm.completion.syntax import Syntax, breaks
from tonggan.language.model import LanguageModel

_UNRESOLVED = 0.5  # what is left of the confidence in a text with names that cannot resolve
_RANKS = 4  # runners-up that may take a token's place
_FOLLOWING_TOKENS = 12  # of the text after the cursor that candidates are measured by
_SUFFIX_WEIGHT = 0.5


@dataclass(frozen=True)
class Place:
    r"""Where a suggestion goes, with ``\n`` at all line ends.

    Attributes:
        document: what is edited.
        before: its text up to the cursor.
        after: its text from there on.
        extent: how far the suggestion may go.
        syntax: of the document; None where its language has no grammar.
    """

    document: Document
    before: str
    after: str
    extent: Extent
    syntax: Syntax | None


@dataclass(frozen=True)
class Candidate:
    """A text that fits its place.

    Attributes:
        text: what to write.
        eaten: characters after the cursor that it replaces.
        confidence: from 0 to 1.
        notes: what was checked and mended, for a person.
        draft: as the model wrote it.
        problems: what in it cannot resolve.
        wrong: from where to where in ``text`` the first of them stands.
    """

    text: str
    eaten: int
    confidence: float
    notes: tuple[str, ...]
    draft: Draft
    problems: tuple[Problem, ...]
    wrong: tuple[int, int] | None = None


class CandidateWriter:
    """Writes candidates with one model.

    Args:
        model: continues.
        config: how many, and which checks.
        modules: where imports lead.
        can_infill: the model has read what comes after; then that is no check.
    """

    def __init__(self, model: LanguageModel, *, config: CompletionConfig, modules: Modules, can_infill: bool) -> None:
        self._tokenizer = model.tokenizer
        self._decoder = Decoder(model, lookup=config.lookup)
        self._config = config
        self._modules = modules
        self._can_infill = can_infill
        self._jedi = JediAttributes(modules.root, seconds=config.jedi_seconds) if config.jedi_seconds else None

    def write(self, prompt: CodePrompt, place: Place, *, cancelled: Callable[[], bool]) -> list[Candidate] | None:
        """Candidates, the best first; None once ``cancelled`` answers True."""
        config = self._config
        max_tokens = config.max_line_tokens if place.extent.kind == "line" else config.max_block_tokens
        max_tokens += len(prompt.typed.encode())  # it may have to be written again byte by byte
        if cancelled():
            return None
        self._decoder.begin(prompt.ids, typed=prompt.typed, room=max_tokens + _FOLLOWING_TOKENS)
        branches: list[tuple[float, int, Draft]] = []  # a heap: the likeliest beginning first
        found: list[Candidate] = []
        start: Draft | None = None
        for number in range(config.num_candidates):
            draft = self._decoder.write(place.extent.end, max_tokens=max_tokens, cancelled=cancelled, start=start)
            if draft is None:
                return None
            candidate = self._judge(draft, place)
            if candidate is not None and all(candidate.text != other.text for other in found):
                found.append(candidate)
            if number == 0 and _is_enough(draft, candidate, place, sure=config.sure):
                break
            _branch(draft, candidate, known=len(start.tokens) if start else 0, into=branches)
            if not branches:
                break
            start = heapq.heappop(branches)[2]
        return self._ranked(found, prompt, place)

    def _judge(self, draft: Draft, place: Place) -> Candidate | None:
        """The draft mended and checked; None where nothing sound is left."""
        text = draft.text if draft.is_complete else _whole_part(draft.text)
        fitted = repair(text, before=place.before, after=place.after) if self._config.repair else Repaired(text)
        if not fitted.text.strip():
            return None
        syntax = place.syntax
        problems: tuple[Problem, ...] = ()
        wrong = None
        if syntax is not None:
            rest = place.after[fitted.eaten :]
            if self._config.check_syntax and breaks(
                fitted.text, before=place.before, after=rest, language=syntax.language
            ):
                return None
            if self._config.check_scope and syntax.language == "python":
                problems, wrong = self._problems(fitted.text, rest, place, syntax)
        confidence = _confidence(draft, len(fitted.text)) * (_UNRESOLVED if problems else 1.0)
        notes = (*fitted.notes, *(problem.reason for problem in problems))
        return Candidate(fitted.text, fitted.eaten, confidence, notes, draft, problems, wrong)

    def _problems(
        self, text: str, rest: str, place: Place, syntax: Syntax
    ) -> tuple[tuple[Problem, ...], tuple[int, int] | None]:
        """What cannot resolve, and where in ``text`` the first of it stands."""
        whole = Syntax.of(place.before + text + rest, syntax.language, former=syntax)
        path, jedi, before = place.document.path, self._jedi, len(place.before)
        found = problems_in(
            whole,
            start=whole.byte_of(before),
            end=whole.byte_of(before + len(text)),
            path=path,
            modules=self._modules,
            attributes=(lambda end: jedi.ending_at(whole, end, path=path)) if jedi else lambda _: None,
        )
        if not found:
            return (), None
        start = len(whole.content[: found[0].start].decode("utf-8", "replace")) - before
        return tuple(found), (max(0, start), max(1, start + len(found[0].name)))

    def _ranked(self, found: Sequence[Candidate], prompt: CodePrompt, place: Place) -> list[Candidate]:
        """The best first; what cannot resolve only where nothing else is left."""
        kept = [each for each in found if not each.problems] or list(found)
        scores = {each.text: math.log(each.confidence + 1e-9) for each in kept}
        following = _following(place.after)
        if self._config.check_suffix and not self._can_infill and len(kept) > 1 and following:
            ids = self._tokenizer.encode(following)[:_FOLLOWING_TOKENS]
            for each in kept:
                written = self._tokenizer.encode(prompt.typed + each.text)
                scores[each.text] += _SUFFIX_WEIGHT * self._decoder.score(written, ids)
        return sorted(kept, key=lambda each: -scores[each.text])


def _is_enough(draft: Draft, candidate: Candidate | None, place: Place, *, sure: float) -> bool:
    """Whether the first text is the only one: it is sure and sound, or the line is complete as it is."""
    if candidate is None:
        return not draft.text.strip() and bool(place.before.rpartition("\n")[2].strip())
    return not candidate.problems and candidate.confidence >= sure


def _branch(draft: Draft, candidate: Candidate | None, *, known: int, into: list[tuple[float, int, Draft]]) -> None:
    """Add other ways that leave ``draft`` after its first ``known`` tokens; where a name is wrong, only those there."""
    begins = (0, *draft.ends[:-1])
    first, last = (candidate and candidate.wrong) or (-1, len(draft.text) + 1)
    total = sum(draft.logprobs[:known])
    for place in range(known, len(draft.tokens)):
        if draft.ends[place] > first and begins[place] < last:
            for rank in range(1, min(_RANKS, len(draft.runners_up[place]))):
                begun = draft.branch(place, rank=rank)
                heapq.heappush(into, (-(total + begun.logprobs[-1]), len(into), begun))
        total += draft.logprobs[place]


def _confidence(draft: Draft, length: int) -> float:
    """Of the tokens that write the first ``length`` characters and what ends them; not of what was typed already."""
    begins = (0, *draft.ends[:-1])
    each = zip(draft.logprobs, begins, draft.ends, strict=True)
    return confidence_of([logprob for logprob, begin, end in each if end and begin <= length])


def _whole_part(text: str) -> str:
    """Of a text that ended for want of room what is whole: its lines, or at least its words."""
    lines, newline, _ = text.rpartition("\n")
    return lines if newline and lines.strip() else re.sub(r"\w+$", "", text)


def _following(after: str) -> str:
    """What a text at the cursor has to join: the rest of its line, or the next line that is not blank."""
    rest, _, below = after.partition("\n")
    if rest.strip():
        return rest
    lines = [line for line in below.split("\n")[:6] if line.strip()]
    return "\n" + lines[0] if lines else ""
