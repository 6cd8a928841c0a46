"""Parameters that a docstring describes and the signature lacks, and the other way round."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher

from tonggan.codelm.review.docstring import Entry
from tonggan.codelm.review.documented import Documented, Parameter, documented, signature
from tonggan.codelm.review.finding import Evidence, Finding
from tonggan.codelm.review.module import Class
from tonggan.codelm.review.registry import rule
from tonggan.codelm.review.repository import Repository

UNKNOWN = "docstring-unknown-parameter"
MISSING = "docstring-missing-parameter"
_NO_NAMES = {"self", "cls", "mcs", "args", "kwargs", "none", "note", "notes", "default", "example", "examples",
             "warning", "returns", "return", "raises", "yields", "todo", "see", "or", "and", "the", "other", "others",
             "optional", "required", "usage", "where", "important", "tip", "deprecated", "attributes"}  # fmt: skip
_NEAR = 0.7  # of difflib's ratio of two names
_OFTEN = 3  # functions under a decorator that leave the same name out
_FEW = 3  # parameters; of fewer the one that is left out says less


@rule(UNKNOWN, ruff=("DOC102",))
def unknown_parameters(repository: Repository) -> Iterator[Finding]:
    """A docstring describes a parameter that the function does not take.

    Where the function takes ``**kwargs``, or a decorator may change what it takes, only what stands in the place of an
    undescribed parameter, or is nearly its name, is told. Silent on names that an inner function takes. Known false
    alarms: a docstring that describes what a subclass or the returned callable takes.
    """
    for each in documented(repository):
        if each.parameters is None or _shows_signature(each):
            continue
        described = each.docstring.told("parameters")
        known = {parameter.name for parameter in each.parameters}
        missing = [
            parameter
            for parameter in each.parameters
            if parameter.kind in ("positional", "keyword") and parameter.name not in {entry.name for entry in described}
        ]
        unknown = [
            entry
            for entry in described
            if entry.name not in known and entry.name.lower() not in _NO_NAMES and not entry.stars
        ]
        if not unknown or not each.docstring.is_whole("parameters"):
            continue
        elsewhere = _names_elsewhere(each)
        for entry in unknown:
            meant, is_sure = _meant(entry, described, missing, each.parameters)
            if meant is None and (
                each.takes_any
                or entry.name in elsewhere
                or entry.name.startswith("_")
                or {f"_{entry.name}", f"{entry.name}_"} & known
            ):
                continue
            yield _unknown(each, entry, meant, is_sure=is_sure)


def _unknown(each: Documented, entry: Entry, meant: Parameter | None, *, is_sure: bool) -> Finding:
    message = f"'{entry.name}' is described, but {each.name} has no such parameter"
    evidence: tuple[Evidence, ...] = ()
    is_plain = each.module.lines[entry.line - 1].startswith(entry.name, entry.column - 1)  # without escapes
    if meant is not None:
        message = f"'{entry.name}' is described, but {each.name} calls this parameter '{meant.name}'"
        evidence = (each.code_line(meant.line),)
    return each.finding(
        UNKNOWN,
        message,
        line=entry.line,
        column=entry.column,
        length=len(entry.name),
        confidence=0.97 if is_sure else 0.9,
        evidence=evidence,
        new=meant.name if meant is not None and is_sure and is_plain else None,
    )


def _meant(
    entry: Entry, described: list[Entry], missing: list[Parameter], parameters: tuple[Parameter, ...]
) -> tuple[Parameter | None, bool]:
    """The undescribed parameter that ``entry`` must be about, and whether that is sure."""
    order = [parameter.name for parameter in parameters]
    names = [other.name for other in described]
    place = described.index(entry)
    before = names[place - 1] if place else None
    after = names[place + 1] if place + 1 < len(names) else None
    if any(parameter.name.strip("_") == entry.name for parameter in missing):
        return None, False  # a private field with a public name
    near = sorted(missing, key=lambda parameter: -_likeness(entry.name, parameter.name))
    for parameter in near:
        index = order.index(parameter.name)
        fits_before = (order[index - 1] if index else None) == before
        fits_after = (order[index + 1] if index + 1 < len(order) else None) == after
        alike = _likeness(entry.name, parameter.name) >= _NEAR
        if fits_before and fits_after and (alike or len(order) > 1):
            return parameter, True
        if alike and len(missing) == 1:
            return parameter, True
        if alike:
            return parameter, False
    return None, False


def _likeness(one: str, other: str) -> float:
    one, other = one.lower().replace("_", ""), other.lower().replace("_", "")
    if one == other or one.rstrip("s") == other.rstrip("s"):
        return 1.0
    if min(len(one), len(other)) > 2 and (one.startswith(other) or other.startswith(one)):
        return 0.9
    return SequenceMatcher(None, one, other).ratio()


def _shows_signature(each: Documented) -> bool:
    """Whether the docstring opens with a signature of its own, as those of C functions do."""
    opening = each.docstring.text.strip()
    return opening.startswith(f"{each.owner.name}(")


def _names_elsewhere(each: Documented) -> set[str]:
    """What inner functions take, and what a class and its methods have: a docstring may be about these."""
    found: set[str] = set()
    nodes: list[ast.AST] = []
    for function in filter(None, (each.function,)):
        nodes += function.own_nodes
        nodes += [inner.node for inner in function.module.functions if inner.outer is function]
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            arguments = node.args
            found |= {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    if isinstance(each.owner, Class):
        found |= _members(each.owner)
        methods = filter(None, map(each.owner.method, each.owner.members))
        found |= {parameter.name for method in methods for parameter in signature(method.node, skip_first=True)}
    return found


def _members(owner: Class) -> set[str]:
    found = set(owner.members)
    for node in ast.walk(owner.node):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


@rule(MISSING, ruff=("D417",))
def missing_parameters(repository: Repository) -> Iterator[Finding]:
    """A docstring describes all parameters of a function but one.

    Silent on names with an underscore before them, on those that the docstring mentions elsewhere, where a decorator
    may fill a parameter in, and where it seems to describe it, for the same name is left out under it again and again.
    Known false alarms: a parameter that is for internal use and does not say so.
    """
    found = [(each, parameter) for each in documented(repository) if (parameter := _left_out(each)) is not None]
    filled = Counter((decorator, parameter.name) for each, parameter in found for decorator in each.opaque)
    for each, parameter in found:
        if all(filled[decorator, parameter.name] < _OFTEN for decorator in each.opaque):
            plain = _plain(each.parameters or ())
            yield _missing(each, parameter, confidence=0.9 if len(plain) >= _FEW else 0.7)


def _plain(parameters: tuple[Parameter, ...]) -> list[Parameter]:
    """Those that a docstring is expected to describe."""
    return [
        parameter
        for parameter in parameters
        if parameter.kind in ("positional", "keyword")
        and not parameter.name.startswith("_")
        and parameter.name not in ("self", "cls")
    ]


def _left_out(each: Documented) -> Parameter | None:
    """The one parameter that is not described."""
    if each.parameters is None or not each.is_sealed or not each.docstring.is_whole("parameters"):
        return None
    described = {entry.name for entry in each.docstring.told("parameters")}
    plain = _plain(each.parameters)
    missing = [parameter for parameter in plain if parameter.name not in described]
    unknown = described - {parameter.name for parameter in each.parameters}
    if len(missing) != 1 or len(plain) < 2 or (unknown and not each.takes_any):
        return None
    return None if _is_mentioned(missing[0].name, each) or _shows_signature(each) else missing[0]


def _missing(each: Documented, parameter: Parameter, *, confidence: float) -> Finding:
    last = each.docstring.told("parameters")[-1]
    message = f"'{parameter.name}' is not described; all other parameters of {each.name} are"
    shown = (each.code_line(parameter.line), each.told_line(last.line))
    line, column, end = last.line, last.column, last.column + len(last.name)
    if each.function is None or each.function.module is each.module:
        line = parameter.line
        found = re.search(rf"\b{re.escape(parameter.name)}\b", each.module.lines[line - 1])
        column = found.start() + 1 if found else 1
        end = column + len(parameter.name)
    return Finding(MISSING, each.module.path, line, line, column, end, message, shown, confidence)


def _is_mentioned(name: str, each: Documented) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", each.docstring.text) is not None
