"""Prompts of what comes before and after a gap, within a budget of tokens.

A model without fill-in-the-middle tokens continues what comes before; a ``Cut`` then ends its text at what comes after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tonggan.codelm.languages import language_of, title_line
from tonggan.errors import DataError
from tonggan.language.infill import InfillTokens
from tonggan.language.prompt import Prompt
from tonggan.language.text_model import TextModel

_CONTROL_TOKENS = 3
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
    before, after = model.encode(prefix), [] if infill is None else model.encode(suffix)
    pieces = [model.encode(f"{title_line(each.filename, language_of(each.filename))}{each.text}\n\n") for each in extra]
    if max_tokens is not None:
        room = max_tokens - len(opening) - _CONTROL_TOKENS
        after = after[: room // _SUFFIX_SHARE]
        before = _last(before, room - len(after))
        pieces = _that_fit(pieces, room - len(after) - len(before))
    ids = opening + [id_ for piece in pieces for id_ in piece]
    ids += before if infill is None else infill.psm(before, after)
    if not ids:
        raise DataError("gap to fill", got="nothing before it", expected="at least one token", remedy="Write something")
    return Prompt((torch.tensor(ids),))


def _last(ids: list[int], room: int) -> list[int]:
    """The end of ``ids``; the place where it is cut moves in steps, so that typing on leaves the beginning as it is."""
    surplus = len(ids) - room
    if surplus <= 0:
        return ids
    step = max(1, room // 4)
    return ids[-(-surplus // step) * step :]


def _that_fit(pieces: Sequence[list[int]], room: int) -> list[list[int]]:
    """The last pieces."""
    kept: list[list[int]] = []
    for piece in reversed(pieces):
        room -= len(piece)
        if room < 0:
            break
        kept.insert(0, piece)
    return kept
