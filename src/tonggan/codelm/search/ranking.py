"""How the evidence for a unit becomes one score, and what role it plays: the code itself, documents, tests, history.

It searches nothing. A question without another wish wants the code; commits and tests repeat its words and would crowd
it out. The weights were chosen on CoSQA dev and on docstrings of installed packages, of which nothing was trained on;
benchmarks/code_search.py shows what each part brings, and what was tried and left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tonggan.codelm.units import UnitKind
from tonggan.grammars import PROSE, language_of
from tonggan.models.text_embedder import TextEmbedder

Role = Literal["code", "docs", "tests", "history"]
ROLES: tuple[Role, ...] = get_args(Role)

_TEST_FOLDERS = {"test", "tests", "__tests__", "spec", "specs", "testdata", "e2e"}
_TEST_FILE = re.compile(r"(test_.*|conftest|.*[._-](test|tests|spec)|.*(?<=[a-z0-9])(Test|Tests|Spec))")
_DOCUMENT_FOLDERS = {"doc", "docs", "example", "examples", "docs_src", "tutorial", "tutorials"}
_CHANGES = re.compile(r"(?i)(change(s|log)|history|news|release[-_ ]?notes|whatsnew)([._-].*)?")

_ASKED: dict[Role, re.Pattern[str]] = {
    "tests": re.compile(
        r"(?i)\b(unit |which |what |regression )tests?\b|\btests? (for|of|that|which)\b|\btested\b|测试"
    ),
    "history": re.compile(
        r"(?i)\b(commits?|changelog|history|changed|introduced|regressions?|when (was|were|did)|since (when|which))\b"
        r"|提交|历史|变更|更改记录"
    ),
    "docs": re.compile(
        r"(?i)\b(docs?|documentation|documented|tutorial|readme|guide|changelog)\b|文档(?!字符串)|教程|说明"
    ),
}
RERANKED = 30
"""The units at the top that are compared with the question word by word."""

# What a point of BM25, a name that is asked for and the comparison word by word weigh beside a cosine of MiniLM. Other
# embedders spread their cosines more or less: as their temperature in training was higher or lower than its.
_WORDS, _SYMBOL, _WORD_BY_WORD = 0.0075, 0.05, 0.3
_TEMPERATURE = 0.05
_COMPARED_CODE = 20
_FAR_BETTER = 0.3
_SHARE = 5  # a fifth of the places goes to each role that is not asked for
_WORD_COPIES = 5  # so that a word that was asked for weighs five times what another way to write it does


def role_of(kind: UnitKind, path: str) -> Role:
    """The part that a unit of ``kind`` in the file ``path`` (relative to the root; empty for a commit) plays."""
    if kind == "commit":
        return "history"
    place = PurePosixPath(path)
    folders = {folder.lower() for folder in place.parts[:-1]}
    in_tests = bool(folders & _TEST_FOLDERS)
    if language_of(path) in PROSE:
        return "history" if _CHANGES.fullmatch(place.name) else "tests" if in_tests else "docs"
    if in_tests or _TEST_FILE.fullmatch(place.stem):
        return "tests"
    return "docs" if folders & _DOCUMENT_FOLDERS else "code"


def roles_asked(question: str) -> set[Role]:
    """The roles other than code that ``question`` asks for by name."""
    return {role for role in ROLES if role in _ASKED and _ASKED[role].search(question)}


def expanded(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """The tokens to search by: what was asked for, and more softly how else it is written."""
    return [*list(words) * _WORD_COPIES, *others]


def fused(
    *,
    words: Mapping[str, float],
    meaning: Mapping[str, float] | None,
    symbols: Mapping[str, float],
    temperature: float = _TEMPERATURE,
) -> dict[str, float]:
    """Units by their score, best first.

    Args:
        words: BM25 of the units that share words with the question, asked as ``expanded`` gives them.
        meaning: cosines of all units that are in any of the three; None where there is no embedder.
        symbols: units that the question names.
        temperature: of the embedder that made the cosines.
    """
    cosines = {key: cosine * _TEMPERATURE / temperature for key, cosine in (meaning or {}).items()}
    least = min(cosines.values(), default=0.0)  # of units that have no vector yet
    total: dict[str, float] = {}
    for key in {**cosines, **words, **symbols}:
        total[key] = cosines.get(key, least) + _WORDS * words.get(key, 0.0) / _WORD_COPIES + _SYMBOL * (key in symbols)
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def reranked(
    scores: Mapping[str, float], texts: Mapping[str, str], *, question: str, embedder: TextEmbedder
) -> dict[str, float]:
    """The top of ``scores`` in a new order: each token of the question looks for its like in the unit.

    The mean over the question's tokens of the best cosine with a token of the unit, as ColBERT compares (Khattab &
    Zaharia 2020), here with the token vectors of the bi-encoder itself.

    Args:
        scores: as ``fused`` gives them.
        texts: of the units to compare, the first ``RERANKED`` of ``scores``.
        question: as it was asked.
        embedder: that made the cosines in ``scores``.
    """
    asked, *compared = embedder.embed_tokens([question, *texts.values()])
    weight = _WORD_BY_WORD * _TEMPERATURE / embedder.temperature
    total = {
        key: scores[key] + weight * _max_similarity(asked, found) for key, found in zip(texts, compared, strict=True)
    }
    top = dict(sorted(total.items(), key=lambda item: -item[1]))
    return top | {key: score for key, score in scores.items() if key not in top}


def _max_similarity(asked: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    if not len(asked) or not len(found):
        return 0.0
    return float((asked @ found.T).max(axis=1).mean())


def compared(keys: Iterable[str], roles: Mapping[str, Role]) -> list[str]:
    """The units to compare word by word: the best of ``keys``, with room for the code beside all that repeats it."""
    ordered = list(keys)
    code = [key for key in ordered if roles[key] == "code"][:_COMPARED_CODE]
    others = [key for key in ordered if key not in code]
    return [*code, *others[: RERANKED - len(code)]]


def grouped(
    scores: Mapping[str, float], roles: Mapping[str, Role], *, asked: Collection[Role], limit: int
) -> list[str]:
    """The ``limit`` best keys, role by role: what was asked for, then code, documents, tests and history.

    Beside the first group each of the others has a share of the places, history one among the first five at most.
    Documents come before code where their best is better than the best code by far.

    Args:
        scores: best first.
        roles: of each key.
        asked: roles that the question asks for.
        limit: how many keys.
    """
    groups: dict[Role, list[str]] = {role: [] for role in ROLES}
    for key in scores:
        groups[roles[key]].append(key)
    best = {role: scores[keys[0]] for role, keys in groups.items() if keys}
    far = best.get("docs", 0.0) > best.get("code", 0.0) + _FAR_BETTER
    order = sorted((role for role in ROLES if groups[role]), key=lambda role: (role not in asked, ROLES.index(role)))
    if far and not asked:
        order.sort(key=lambda role: role != "docs")
    kept = {role: groups[role][: max(1, limit // _SHARE)] for role in order[1:]}
    room = max(limit - sum(map(len, kept.values())), -(-limit // 2))
    chosen = [*groups[order[0]][:room], *(key for role in order[1:] for key in kept[role])][:limit] if order else []
    rest = [key for key in scores if key not in chosen][: limit - len(chosen)]
    return sorted([*chosen, *rest], key=lambda key: (order.index(roles[key]), -scores[key]))
