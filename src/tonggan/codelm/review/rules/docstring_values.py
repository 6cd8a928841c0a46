"""Defaults and types that a docstring tells and the signature contradicts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from tonggan.codelm.review.docstring import Entry
from tonggan.codelm.review.documented import Documented, Parameter, documented
from tonggan.codelm.review.finding import Finding
from tonggan.codelm.review.module import Module
from tonggan.codelm.review.registry import rule
from tonggan.codelm.review.repository import Repository

DEFAULT = "docstring-default"
TYPE = "docstring-type"

_UNKNOWN = object()
_SHORT = 3  # characters of a word that is short for another
_SENTINELS = {"deprecated", "warn", "unset", "not_given"}  # what a signature has where nothing was given
_TOLD = re.compile(
    r"(?:\(|,|\.|;|^|\s)(?P<word>defaults?(?:\s+value)?(?:\s+(?:to|is|are|of)|\s*[:=]|(?=\s+(?:[`'\"\d\-]|true\b|false\b|none\b))))\s*"
    r"(?:(?::?(?:obj|class|data|const):)?(?P<quote>`{1,2}|\*{1,2})(?P<marked>[^`*]+)(?P=quote)|(?P<plain>'[^']*'|\"[^\"]*\"|"
    r"[-+]?[\w.]+(?:[-+]\d+)?(?:\*\*[\d-]+)?|\[\]|\{\}|\(\)))(?P<after>.{0,80})",
    re.IGNORECASE,
)
_ENDS = re.compile(r"\s*(?:$|[.;)](?:\s|$|\))|,?\s*\)|\s*\.$|,\s*(?:optional|required)?\s*$|\s+\([^)]*\)\s*(?:$|\.))")


@rule(DEFAULT)
def told_defaults(repository: Repository) -> Iterator[Finding]:
    """A docstring tells a default that is not the signature's.

    Only literals are compared, also those that a module's constant names, and only where nothing follows that could be
    a unit or a condition. A default of None is silent: the body may put what is told in its place. Known false alarms:
    a docstring that gives the default in another unit or as the text that a user types.
    """
    for each in documented(repository):
        by_name = {parameter.name: parameter for parameter in each.parameters or ()}
        for entry in each.docstring.told("parameters"):
            parameter = by_name.get(entry.name)
            if parameter is None or parameter.default is None or entry.shares:
                continue
            told = _told_default(entry)
            actual = _value(parameter.default, _module(each))
            if told is None or actual is _UNKNOWN or actual is None or not _differ(told, actual):
                continue
            yield _default_finding(each, entry, parameter, told)


def _default_finding(each: Documented, entry: Entry, parameter: Parameter, told: str) -> Finding:
    assert parameter.default is not None
    actual = _module(each).text_of(parameter.default)
    place = _place(each, entry, told)
    line, column = place or (entry.line, entry.column)
    lines = (parameter.line, *_constant_line(parameter.default, _module(each)))
    evidence = tuple(each.code_line(line) for line in lines)
    return each.finding(
        DEFAULT,
        f"'{entry.name}' is said to default to {told}, but {each.name} has {actual}",
        line=line,
        column=column,
        length=len(told) if place else len(entry.name),
        confidence=0.93,
        evidence=evidence,
        new=actual if place and isinstance(parameter.default, ast.Constant) else None,
    )


def _module(each: Documented) -> Module:
    """Of the signature."""
    return (each.function or each.owner).module


def _told_default(entry: Entry) -> str | None:
    """The one default that is told as a whole."""
    found = [*_TOLD.finditer(entry.type), *_TOLD.finditer(entry.text)]
    said = {(match["marked"] or match["plain"]).strip().rstrip(".") for match in found}
    if len(said) != 1:
        return None
    match = found[0]
    before = match.string[: match.start("word")].rstrip()[-1:]
    if match["word"].lower().endswith((" is", " are", " of")) and before not in ("", ".", ",", ";", "("):
        return None  # a default that is spoken of, perhaps another's
    if not _ENDS.match(match["after"]) and not (match["after"][:1] in ",;." and not match["after"][1:2].isalnum()):
        return None
    return next(iter(said)) or None


def _place(each: Documented, entry: Entry, told: str) -> tuple[int, int] | None:
    """Where the default is told, if only once in what is told of the parameter."""
    first = each.docstring.lines[0][0]
    lines = each.docstring.lines[entry.line - first : entry.line - first + 12]
    for number, text in lines:
        match = re.search(rf"default.*?(?<![\w.]){re.escape(told)}(?![\w])", text, re.IGNORECASE)
        if match:
            return number, match.end() - len(told) + 1
    return None


def _value(node: ast.expr, module: Module) -> Any:
    """The literal that an expression stands for."""
    if isinstance(node, ast.Name):
        meant = module.values.get(node.id)
        if meant is None or isinstance(meant, ast.Name):
            return _UNKNOWN
        node = meant
    if not isinstance(node, ast.Constant | ast.UnaryOp | ast.Tuple | ast.List | ast.Dict):
        return _UNKNOWN
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return _UNKNOWN


def _constant_line(node: ast.expr, module: Module) -> list[int]:
    return [module.values[node.id].lineno] if isinstance(node, ast.Name) else []


def _differ(told: str, actual: Any) -> bool:
    """Whether a default as it is told surely is another than ``actual``."""
    if "\\" in told or (isinstance(actual, str) and actual.lower().strip("<>_") in _SENTINELS):
        return False
    try:
        value = ast.literal_eval(told)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return _bare_differs(told, actual)
    if isinstance(value, str) and not isinstance(actual, str):
        return _bare_differs(value, actual)
    if isinstance(value, str) and isinstance(actual, str):
        one, other = sorted((_bare(value), _bare(actual)), key=len)
        return one != other and not (
            len(one) >= _SHORT and other.startswith(one) and other.isalpha()
        )  # 'low' for 'lowpass'
    if isinstance(actual, str) and not isinstance(value, str):
        return actual != told and not (value is None and not actual)
    if value is None:
        return actual is not False and bool(actual)
    if isinstance(value, list | tuple) and isinstance(actual, list | tuple):
        return list(value) != list(actual)
    if isinstance(value, list | tuple | dict) or isinstance(actual, list | tuple | dict):
        return False
    return bool(value != actual)


def _bare(text: str) -> str:
    """Without what is lost in prose: spaces and dots at the end."""
    return "".join(text.split()).rstrip(".")


def _bare_differs(told: str, actual: Any) -> bool:
    """Of a word without quotes, which may name a constant or be prose: only true and false say enough."""
    lower = told.lower()
    return lower in ("true", "false") and isinstance(actual, bool) and actual != (lower == "true")


_KINDS: dict[str, frozenset[str]] = {
    "int": frozenset({"int"}), "integer": frozenset({"int"}), "float": frozenset({"float", "int"}),
    "number": frozenset({"float", "int"}), "bool": frozenset({"bool"}), "boolean": frozenset({"bool"}),
    "str": frozenset({"str"}), "string": frozenset({"str"}), "bytes": frozenset({"bytes"}),
    "list": frozenset({"list"}), "tuple": frozenset({"tuple"}), "set": frozenset({"set"}),
    "frozenset": frozenset({"set"}), "dict": frozenset({"dict"}), "dictionary": frozenset({"dict"}),
    "mapping": frozenset({"dict"}), "sequence": frozenset({"list", "tuple", "str", "bytes"}),
    "collection": frozenset({"list", "tuple", "set", "dict", "str", "bytes"}),
    "iterable": frozenset({"list", "tuple", "set", "dict", "str", "bytes"}),
    "iterator": frozenset({"iterator"}), "callable": frozenset({"callable"}), "function": frozenset({"callable"}),
    "none": frozenset(), "path": frozenset({"path", "str"}), "pathlike": frozenset({"path", "str"}),
    "mutablemapping": frozenset({"dict"}), "literal": frozenset({"str", "int", "bool"}),
}  # fmt: skip
_SPLIT = re.compile(r"\s*(?:,|\||/|\bor\b)\s*")


@rule(TYPE)
def told_types(repository: Repository) -> Iterator[Finding]:
    """A docstring tells a type that the annotation excludes.

    Only where both are made of types of Python whose meaning is plain, and have none in common. Known false alarms: an
    annotation that is wrong while the docstring is right.
    """
    for each in documented(repository):
        by_name = {parameter.name: parameter for parameter in each.parameters or ()}
        for entry in each.docstring.told("parameters"):
            parameter = by_name.get(entry.name)
            if parameter is None or parameter.annotation is None or not entry.type or parameter.kind[:3] in ("var",):
                continue
            if parameter.kind == "keywords" or entry.shares:
                continue
            told, annotated = _told_kinds(entry.type), _annotated_kinds(parameter.annotation)
            if told and annotated and not told & annotated:
                kind = _module(each).text_of(parameter.annotation)
                yield each.finding(
                    TYPE,
                    f"'{entry.name}' is described as {entry.type}, but annotated as {kind}",
                    line=entry.line,
                    column=entry.column,
                    length=len(entry.name),
                    confidence=0.93,
                    evidence=(each.code_line(parameter.line),),
                )


def _told_kinds(text: str) -> frozenset[str] | None:
    """What the words of a docstring allow; None where one of them is not understood."""
    text = re.sub(r":\w+:(?=`)|[`*~]", "", text).strip()
    text = re.sub(r",?\s*\b(?:optional|required|defaults?\b.*)$", "", text).strip(" ,.")
    text = re.sub(r",?\s*\boptional\b.*$", "", text).strip(" ,.")
    text = re.sub(
        r"\s*(?:[<>]=?|!=)\s*[\w.]+|\s*\[[^\]]*(?:scalar|shape)[^\]]*\]|\b(?:non-?)?(?:positive|negative)\s+", "", text
    ).strip()
    try:
        return _annotated_kinds(ast.parse(text, mode="eval").body) or _worded_kinds(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return _worded_kinds(text)


def _worded_kinds(text: str) -> frozenset[str] | None:
    found: set[str] = set()
    for part in _SPLIT.split(text):
        word = re.match(r"(?:an?\s+|the\s+)?(\w+)(?:\s+of\s+[\w\s]+|\[[\w\s,.]*\])?$", part.strip())
        kinds = _KINDS.get(word[1].lower()) if word else None
        if kinds is None:
            return None
        found |= kinds
    return frozenset(found)


def _annotated_kinds(node: ast.expr) -> frozenset[str] | None:
    """What an annotation allows; None where a part of it is not understood."""
    found: set[str] = set()
    stack: list[ast.expr] = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, ast.BinOp) and isinstance(each.op, ast.BitOr):
            stack += [each.left, each.right]
        elif isinstance(each, ast.Constant) and each.value is None:
            continue
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            try:
                stack.append(ast.parse(each.value, mode="eval").body)
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                return None
        elif isinstance(each, ast.Subscript) and _last_name(each.value) in ("Optional", "Union"):
            stack += each.slice.elts if isinstance(each.slice, ast.Tuple) else [each.slice]
        else:
            kinds = _KINDS.get(_last_name(each.value if isinstance(each, ast.Subscript) else each).lower())
            if kinds is None:
                return None
            found |= kinds
    return frozenset(found)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
