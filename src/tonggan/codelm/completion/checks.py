"""A tolerant parse: does a suggestion break code that was sound? What is merely unfinished does not count as broken."""

from __future__ import annotations

import re

from tonggan.codelm.completion.syntax import Syntax

_MOST_CHARACTERS = 6000  # before the cursor
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_JOINING = re.compile(r"(?:[=+\-*/%.&|<>]|\b(?:and|or|not|in|is|if|else|await|from))$")  # something has to follow
_STRINGS = re.compile(
    r"(?P<triple>'{3}|\"{3})(?:[^\\]|\\.)*?(?P<end>(?P=triple)|\Z)"
    r"|\"[^\"\n\\]*(?:\\.[^\"\n\\]*)*\"|'[^'\n\\]*(?:\\.[^'\n\\]*)*'|#[^\n]*",
    re.DOTALL,
)


def breaks(text: str, *, before: str, after: str, language: str) -> bool:
    """Whether ``text`` between ``before`` and ``after`` brings an error into code that parses without it.

    Only the statement around is parsed, with what it leaves open closed. Where that has errors anyway, nothing is said.

    Args:
        text: of the suggestion.
        before: the document before it.
        after: the document after it.
        language: one that has a grammar.

    Raises:
        MissingExtraError: tree-sitter is not installed.
    """
    opening = _statement(before, language)
    rest = after.partition("\n")[0]
    line = opening.rfind("\n") + 1
    if _errors(opening[:line], 0, language):
        return False
    if text.endswith("\\"):
        return False
    if language == "python" and _open_string(before[-_MOST_CHARACTERS:]):
        return False
    return _errors(opening + text + rest, line, language) > 0


def _statement(before: str, language: str) -> str:
    """From where the outermost statement begins that the cursor stands in."""
    part = before[-_MOST_CHARACTERS:]
    if language != "python":
        return part if len(part) == len(before) else part[part.find("\n") + 1 :]
    starts = [
        found.start()
        for found in re.finditer(r"^(?!(?:else|elif|except|finally)\b)[^\s)\]}#@\"']", part, re.MULTILINE)
        if part.rfind("\n", 0, found.start()) >= 0 or len(part) == len(before)
    ]
    return part[starts[-1] :] if starts else part


def _open_string(text: str) -> str:
    """The three quotes of a string that goes on at the end of ``text``; empty if there is none."""
    last = next(iter([*_STRINGS.finditer(text)][-1:]), None)
    return last["triple"] if last and last["triple"] and not last["end"] else ""


def _errors(text: str, start: int, language: str) -> int:
    """Errors from the character ``start`` on, after what is open was closed."""
    fewest = 0
    for header in ("", ":") if language == "python" else ("",):
        syntax = Syntax.of(_close(text, language, header=header), language)
        errors = syntax.errors(syntax.byte_of(start), len(syntax.content))
        fewest = min(fewest or errors, errors)
        if not fewest:
            break
    return fewest


def _close(text: str, language: str, *, header: str) -> str:
    """``text`` with its brackets closed and its last block filled, so that what is unfinished parses.

    Args:
        text: some statements.
        language: theirs.
        header: what the last one may still lack before its block.
    """
    stack: list[str] = []
    for character in _STRINGS.sub("", text):
        if character in _CLOSERS:
            stack.append(_CLOSERS[character])
        elif stack and character == stack[-1]:
            stack.pop()
    kept = text.rstrip()
    if language == "python" and _open_string(kept):
        kept += _open_string(kept)
        stack = []
    if language != "python":
        kept += " x" if stack and (kept.endswith(",") or _JOINING.search(kept)) else ""
        for closer in reversed(stack):
            kept += ";" + closer if closer == "}" and kept[-1] not in "{};" else closer
        return kept + (";" if kept and kept[-1] not in "{};" else "") + "\n"
    kept += (" x" if stack and _JOINING.search(kept) else "") + "".join(reversed(stack)) + (header if stack else "")
    last = kept.rpartition("\n")[2]
    indent = last[: len(last) - len(last.lstrip())]
    if last.strip().startswith("@"):
        return f"{kept}\n{indent}def x():\n{indent}    pass\n"
    if last.rstrip().endswith(":"):
        return f"{kept} pass\n{_handler(text, indent)}"
    return f"{kept}\n{_handler(text, indent[:-1])}"


def _handler(text: str, indent: str) -> str:
    """What the last ``try`` still lacks that the code is in."""
    for line in reversed(text.split("\n")):
        body = line.lstrip()
        own = line[: len(line) - len(body)]
        if body.startswith(("except", "finally")) and len(own) <= len(indent):
            return ""
        if re.match(r"try\s*:", body) and len(own) <= len(indent):
            return f"{own}finally:\n{own}    pass\n"
        if body and len(own) < len(indent):
            indent = own
    return ""
