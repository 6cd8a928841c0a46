"""Prompts of what comes before and after a gap, within a budget of tokens.

A model without fill-in-the-middle tokens continues what comes before; a ``Cut`` then ends its text at what comes after.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from tonggan.errors import DataError
from tonggan.grammars import language_of, title_line
from tonggan.language.infill import InfillTokens
from tonggan.language.prompt import Prompt
from tonggan.language.text_model import TextModel

_ValuesT = TypeVar("_ValuesT", str, list[int])
_CONTROL_TOKENS = 3
_LONGEST = 16  # characters of a token, nearly always; more of a text than fits by this measure is not even read
_SUFFIX_SHARE = 4  # of the budget goes one part in so many to what comes after


@dataclass(frozen=True)
class Extra:
    """A piece of another file."""

    filename: str
    text: str


def infill_prompt(
    model: TextModel,
    prefix: str,
    *,
    suffix: str,
    infill: InfillTokens | None,
    extra: Sequence[Extra] = (),
    max_tokens: int | None = None,
) -> Prompt:
    """What ``model`` continues so that it fills the gap.

    Args:
        model: a text model of any engine.
        prefix: what comes before the gap.
        suffix: what comes after it.
        infill: the model's control tokens, None where it has none.
        extra: pieces of other files, the most useful one last.
        max_tokens: of all that; what is far from the gap is left out. None leaves all in.

    Raises:
        DataError: there is nothing before the gap, and the model cannot fill in.
    """
    opening = [] if infill is not None else model.encode("", start=True)
    room = sys.maxsize if max_tokens is None else max_tokens - len(opening) - _CONTROL_TOKENS
    after = [] if infill is None else model.encode(suffix[: room * _LONGEST])[: room // _SUFFIX_SHARE]
    before = _last(model.encode(_last(prefix, room * _LONGEST)), room - len(after))
    ids = opening + _that_fit(model, extra, room - len(after) - len(before))
    ids += before if infill is None else infill.psm(before, after)
    if not ids:
        raise DataError("gap to fill", got="nothing before it", expected="at least one token", remedy="Write something")
    return Prompt((torch.tensor(ids),))


def _last(values: _ValuesT, room: int) -> _ValuesT:
    """The end of ``values``; the place where it is cut moves in steps, so that typing on leaves the beginning as is."""
    surplus = len(values) - room
    if surplus <= 0:
        return values
    step = max(1, room // 4)
    return values[-(-surplus // step) * step :]


def _that_fit(model: TextModel, extra: Sequence[Extra], room: int) -> list[int]:
    """The ids of the last pieces; the first one that does not fit ends the search, so that little is read in vain."""
    kept: list[int] = []
    for each in reversed(extra):
        title = title_line(each.filename, language_of(each.filename))
        if len(each.text) > room * _LONGEST:
            break
        piece = model.encode(f"{title}{each.text}\n\n")
        room -= len(piece)
        if room < 0:
            break
        kept = piece + kept
    return kept
