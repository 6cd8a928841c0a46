"""A function written on this machine: drawn from a model, filtered by what can be checked, and ranked."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tonggan.codelm.workspace import Workspace
from tonggan.codelm.writing.borrowing import borrow
from tonggan.codelm.writing.candidate import Judge
from tonggan.codelm.writing.request import Request
from tonggan.codelm.writing.sampling import Draw, Sampler
from tonggan.codelm.writing.trial import Trial
from tonggan.codelm.writing.tried import Report
from tonggan.language.infill import InfillTokens
from tonggan.language.text_model import TextModel
from tonggan.progress import Progress

_ENOUGH = 5  # draws that passed, from which on no further ones are made
_MOST_VOTERS = 12
_DERIVED = 30  # calls beside those of the examples
_TESTS_SECONDS = 30.0


def write(
    request: Request,
    model: TextModel,
    *,
    infill: InfillTokens | None = None,
    workspace: Workspace | None = None,
    candidates: int = 20,
    time_limit: float = 120.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Candidates for ``request``, of which those that pass its examples and tests come first; no file is changed.

    Args:
        request: as ``read_request`` gives it.
        model: that writes; several texts at a time where its engine can.
        infill: control tokens to fill in with.
        workspace: the files around; functions that its index finds are tried too.
        candidates: texts to draw at most.
        time_limit: seconds for all of it; one trial that has begun is ended.
        seed: of the draws.
        progress: is told how far it is.

    Raises:
        DataError: the tests are no program of Python, or the tree is larger than what is copied.
    """
    start = time.monotonic()
    deadline = start + time_limit
    progress = progress or Progress()
    report = Report(request, model=model.name)
    workspace = workspace or Workspace(request.root)
    with ExitStack() as stack:
        trial = None
        if request.has_checks:
            seconds = min(_TESTS_SECONDS, time_limit / 4)
            trial, left_out = stack.enter_context(Trial.of(request, seconds=seconds))
            report.notes += [f"not in the copy: {each}" for each in left_out]
            progress.say("Running the examples and tests on the file as it is")
            report.before = trial.run(request.content)
            _note_before(report)
        judge = Judge(request)
        if workspace.index is not None:
            for draw in borrow(request, workspace.index):
                _try(draw, report, judge, trial, deadline)
        sampler = Sampler(model, infill=infill, request=request, workspace=workspace, seed=seed)
        for draws in sampler.draw(candidates, deadline=deadline):
            for draw in draws:
                report.drawn += 1
                _try(draw, report, judge, trial, deadline)
                progress.update("Drawing candidates", done=report.drawn, total=candidates)
                if time.monotonic() >= deadline:
                    break
            if sum(each.count for each in report.tried if each.passed and each.candidate.logprob) >= _ENOUGH:
                break
        if trial is not None:
            _vote(report, trial, deadline)
    report.rank()
    report.seconds = time.monotonic() - start
    return report


def _try(draw: Draw, report: Report, judge: Judge, trial: Trial | None, deadline: float) -> None:
    """Enter a text into the report, with the outcome of its checks where it is new and fit to be tried."""
    candidate = judge.look(draw.written, source=draw.source, logprob=draw.logprob, is_whole=draw.is_whole)
    made = report.add(candidate)
    if made is not None and made.candidate.refused is None and trial is not None:
        left = deadline - time.monotonic()
        made.outcome = trial.run(report.request.encoded(made.candidate.text), seconds=left)


def _note_before(report: Report) -> None:
    """What the checks say of the file as it is."""
    before = report.before
    if before is None:
        return
    if before.passed:
        report.notes.append("all examples and tests already pass: they do not say what to write")
    elif before.problem is not None:
        report.notes.append(f"the examples and tests as the file is: {before.problem}")


def _vote(report: Report, trial: Trial, deadline: float) -> None:
    """Let the candidates that passed give results for the examples' calls, and for others that are derived."""
    request = report.request
    able = [each for each in report.tried if each.passed]
    if not request.calls or len(able) < 2:
        return
    for each in sorted(able, key=lambda tried: tried.merit, reverse=True)[:_MOST_VOTERS]:
        if time.monotonic() >= deadline:
            return
        outcome = trial.run(request.encoded(each.candidate.text), derived=_DERIVED)
        if outcome.passed:
            each.outcome = outcome
