"""What a trained detector suspects: wrong variables, operators, bounds, arguments and conditions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tonggan.codelm.review.finding import Edit, Evidence, Finding
from tonggan.codelm.review.registry import LEARNED, rule
from tonggan.codelm.review.repository import Repository

if TYPE_CHECKING:
    from tonggan.codelm.review.learned.detector import Suspicion

_TOLD = 0.5  # confidence below which nothing is said
_SURE = 0.8  # and from which on a repair is suggested

_MESSAGES = {
    "variable": "`{old}` is read where `{new}` would be expected",
    "attribute": "the attribute `{old}` is read where `{new}` would be expected",
    "comparison": "`{old}` compares where `{new}` would be expected",
    "operator": "`{old}` stands where `{new}` would be expected",
    "constant": "`{old}` stands where `{new}` would be expected",
    "arguments": "`{old}` and the argument behind it look swapped",
    "negation": "the condition looks as if it meant the opposite",
}


@rule(LEARNED, is_wide=True)
def learned_bugs(repository: Repository) -> Iterator[Finding]:
    """Something in a function is not what a network that has read other code would expect there.

    Silent without a detector, and where a suspicion is more likely false than right. Each function is read with the
    rest of its file and with what the functions of its package take; what only its callers know is not seen. Known
    false alarms: code that is unusual on purpose, as tests of edge cases.
    """
    if repository.detector is None:
        return
    from tonggan.codelm.review.learned.functions import functions_of
    from tonggan.codelm.review.learned.surroundings import parameters_of

    packages: dict[str, dict[str, tuple[str, ...] | None]] = {}
    for module in repository.modules():
        parameters_of(module.tree, packages.setdefault(module.name.partition(".")[0], {}))
    for module in repository.reviewed_modules():
        parameters = packages.get(module.name.partition(".")[0])
        for suspicion in repository.detector.suspicions(functions_of(module.source, parameters)):
            if suspicion.confidence >= _TOLD:
                yield _finding(suspicion)


def _finding(suspicion: Suspicion) -> Finding:
    function, rewrite = suspicion.function, suspicion.rewrite
    first, last = rewrite.edits[0], rewrite.edits[-1]
    old, new = function.text[first[0] : first[1]], first[2]
    changed = rewrite.apply(function.text)
    line, column = function.place(first[0])
    end_line, end_column = function.place(last[1])
    growth = len(changed) - len(function.text)
    text = changed[first[0] : last[1] + growth]
    told = [function.text, changed]
    lines = [each.splitlines()[line - function.line].strip() for each in told]
    return Finding(
        rule=LEARNED,
        path=function.path,
        start_line=line,
        end_line=end_line,
        start_column=column + 1,
        end_column=max(end_column, column + 1) + 1,
        message=_MESSAGES[rewrite.kind].format(old=old, new=new),
        evidence=(
            Evidence(lines[0], function.path, line),
            Evidence(f"{lines[1]}  (fits {min(math.exp(min(suspicion.score, 20)), 1e6):,.0f} times as well)"),
        ),
        confidence=suspicion.confidence,
        edit=Edit(line, column + 1, end_line, end_column + 1, text) if suspicion.confidence >= _SURE else None,
    )
