"""Suggestions and search results in the shapes of the Language Server Protocol. Nothing is computed here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonggan.codelm.editor.assistant import Offer
from tonggan.codelm.editor.positions import position_of

if TYPE_CHECKING:
    from lsprotocol import types

    from tonggan.codelm.search.code_index import Hit
    from tonggan.codelm.units import Unit

_WORD = re.compile(r"\w*\Z")
_LONGEST_WORD = 200  # characters; where it begins in data is looked up in vain, and in quadratic time
_LABEL_LENGTH = 60
_SHOWN_SOURCES = 8


def inline_items(offers: Sequence[Offer], *, before: str, command: str) -> list[types.InlineCompletionItem]:
    """Items that replace what each suggestion replaces, and tell ``command`` of their acceptance.

    Args:
        offers: to show.
        before: text before the cursor that a selected proposal takes back; an item begins with it.
        command: run with the number of the suggestion that was taken.
    """
    from lsprotocol import types

    return [
        types.InlineCompletionItem(
            insert_text=before + offer.suggestion.text,
            range=_range(offer, start=offer.suggestion.start - len(before)),
            command=_command(offer, command),
        )
        for offer in offers
        if _is_on_one_line(offer)
    ]


def completion_items(offers: Sequence[Offer], *, command: str) -> list[types.CompletionItem]:
    """The same as items of ordinary completion, which begin with the word that is being typed."""
    from lsprotocol import types

    items = []
    for offer in filter(_is_on_one_line, offers):
        suggestion = offer.suggestion
        found = _WORD.search(offer.document, max(0, suggestion.start - _LONGEST_WORD), suggestion.start)
        word = found.group() if found else ""
        text = word + suggestion.text
        items.append(
            types.CompletionItem(
                label=text.strip().partition("\n")[0][:_LABEL_LENGTH],
                kind=types.CompletionItemKind.Text,
                detail=f"Tonggan, {suggestion.confidence:.0%} sure",
                filter_text=text,
                text_edit=types.TextEdit(_range(offer, start=suggestion.start - len(word)), text),
                command=_command(offer, command),
            )
        )
    return items


def hover_text(offer: Offer, *, name_of: Callable[[Path], str]) -> str:
    """Markdown: how sure the model was, what it had read and why, what was checked."""
    suggestion = offer.suggestion
    lines = [f"**Tonggan** suggested `{_short(suggestion.text)}`, {suggestion.confidence:.0%} sure.", ""]
    if suggestion.sources:
        lines.append("It had read, beside this file:")
    for source in suggestion.sources[:_SHOWN_SOURCES]:
        place = f"{name_of(source.path)}:{source.start_line}-{source.end_line}"
        lines.append(f"- `{place}`: {source.reason} ({source.score:.2f})")
    lines += [f"- {note}" for note in suggestion.notes]
    return "\n".join(lines)


def symbol_of(unit: Unit, *, root: Path) -> types.WorkspaceSymbol:
    """A function or class for an editor's list of symbols."""
    from lsprotocol import types

    kinds = {"function": types.SymbolKind.Function, "class": types.SymbolKind.Class}
    container = unit.qualified_name.rpartition(".")[0]
    return types.WorkspaceSymbol(
        location=types.Location((root / unit.path).as_uri(), _lines(unit)),
        name=unit.name,
        kind=kinds.get(unit.kind, types.SymbolKind.File),
        container_name=container or unit.path,
    )


def hit_of(hit: Hit, *, root: Path) -> dict[str, Any]:
    """A search result as JSON."""
    unit = hit.unit
    return {
        "uri": (root / unit.path).as_uri() if unit.path else None,
        "path": unit.path,
        "kind": unit.kind,
        "name": unit.qualified_name,
        "start_line": unit.start_line,
        "end_line": unit.end_line,
        "language": unit.language,
        "signature": unit.signature,
        "text": unit.text,
        "score": hit.score,
        "reasons": [
            {
                "kind": reason.kind,
                "words": list(reason.words),
                "line": reason.line,
                "text": reason.text,
                "marks": [list(mark) for mark in reason.marks],
            }
            for reason in hit.reasons
        ],
    }


def _lines(unit: Unit) -> types.Range:
    from lsprotocol import types

    return types.Range(types.Position(max(0, unit.start_line - 1), 0), types.Position(unit.end_line, 0))


def _range(offer: Offer, *, start: int) -> types.Range:
    from lsprotocol import types

    first, last = position_of(offer.document, start), position_of(offer.document, offer.suggestion.end)
    return types.Range(types.Position(*first), types.Position(*last))


def _is_on_one_line(offer: Offer) -> bool:
    """Whether the suggestion replaces part of one line, as the protocol asks."""
    replaced = offer.document[offer.suggestion.start : offer.suggestion.end]
    return "\n" not in replaced and "\r" not in replaced


def _command(offer: Offer, command: str) -> types.Command:
    from lsprotocol import types

    return types.Command(title="Tonggan: taken", command=command, arguments=[offer.number])


def _short(text: str) -> str:
    line = text.strip().partition("\n")[0].replace("`", "'")
    return line if line == text.strip() else line + " …"
