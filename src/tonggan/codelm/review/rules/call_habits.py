"""What nearly all calls of a function do, and one does not."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tonggan.codelm.review.documented import taken_by
from tonggan.codelm.review.finding import Evidence, Finding
from tonggan.codelm.review.module import Call, Class, Function
from tonggan.codelm.review.registry import rule
from tonggan.codelm.review.repository import Repository

ARGUMENT = "call-argument-left-out"
RESULT = "call-result-unchecked"
CONTEXT = "call-without-context"
_MANY = 20  # calls that an argument's habit needs: with eight, none of five read ones was right
_SOME = 5
_SHARE = 0.9
_SHOWN = 3


@rule(ARGUMENT, is_wide=True)
def arguments_left_out(repository: Repository) -> Iterator[Finding]:
    """A call leaves out an argument with a default that all other calls of the function give.

    Silent on what wrappers hand on, on tests, and where fewer than twenty other calls are known. Known false alarms:
    the one call that wants the default.
    """
    for called, calls in repository.calls.items():
        parameters = taken_by(repository, called) if len(calls) > _MANY else None
        plain = [call for call in calls if not _hands_on(call.node)]
        for place, parameter in enumerate(parameters or ()):
            if parameter.default is None or parameter.kind not in ("positional", "keyword"):
                continue
            position = place if parameter.kind == "positional" else len(parameters or ()) + 99
            without = [call for call in plain if not _gives(call.node, position, parameter.name)]
            if len(without) == 1 and len(plain) > _MANY and not _is_in_test(without[0]):
                message = f"this call of {called.name} omits '{parameter.name}', which all {len(plain) - 1} others pass"
                shown = [call for call in plain if call not in without][:_SHOWN]
                confidence = 0.5
                yield _finding(ARGUMENT, without[0], message, shown, confidence)


def _is_in_test(call: Call) -> bool:
    """Whether a test that stands in a module of the program makes it."""
    names = call.inside.qualified_name.split(".") if call.inside else []
    return any(name.lower().startswith("test") for name in names)


def _hands_on(call: ast.Call) -> bool:
    return any(isinstance(each, ast.Starred) for each in call.args) or any(each.arg is None for each in call.keywords)


def _gives(call: ast.Call, place: int, name: str) -> bool:
    return len(call.args) > place or any(each.arg == name for each in call.keywords)


@rule(RESULT, is_wide=True)
def results_unchecked(repository: Repository) -> Iterator[Finding]:
    """A call uses a result at once that may be None, and that the other calls look at first.

    The function must return None in one place and something else in another. Known false alarms: a call for which the
    function cannot return None.
    """
    for called, calls in repository.calls.items():
        if len(calls) <= _SOME or not isinstance(called, Function) or not _may_be_none(called):
            continue
        direct = [call for call in calls if isinstance(call.parent, ast.Attribute | ast.Subscript)]
        checked = [call for call in calls if _is_checked(call)]
        if direct and len(checked) >= _SOME and len(checked) >= _SHARE * (len(checked) + len(direct)):
            for call in direct:
                message = (
                    f"{called.name} may return None, which {len(checked)} other calls check for and this one does not"
                )
                yield _finding(RESULT, call, message, checked[:_SHOWN], 0.8)


def _may_be_none(function: Function) -> bool:
    returned = [node.value for node in function.own_nodes if isinstance(node, ast.Return)]
    none = [each for each in returned if each is None or (isinstance(each, ast.Constant) and each.value is None)]
    return bool(none) and len(none) < len(returned) and not isinstance(function.node, ast.AsyncFunctionDef)


def _is_checked(call: Call) -> bool:
    """Whether the result gets a name that is compared or tested, or is itself tested."""
    parent = call.parent
    if isinstance(parent, ast.Compare | ast.BoolOp | ast.If | ast.UnaryOp | ast.NamedExpr | ast.IfExp):
        return True
    if not isinstance(parent, ast.Assign) or not isinstance(parent.targets[0], ast.Name) or call.inside is None:
        return False
    name = parent.targets[0].id
    for node in call.inside.own_nodes:
        tests = [node.test] if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert) else []
        for test in tests:
            if any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(test)):
                return True
    return False


@rule(CONTEXT, ruff=("SIM115",), is_wide=True)
def calls_without_context(repository: Repository) -> Iterator[Finding]:
    """What nearly all calls use in a ``with`` is here only called.

    Silent where the result is returned, entered later, or handed to something else. Known false alarms: a call whose
    result is closed in another way.
    """
    for called, calls in repository.calls.items():
        if len(calls) <= _SOME or (isinstance(called, Class) and "__enter__" not in called.members):
            continue
        inside = [call for call in calls if isinstance(call.parent, ast.withitem)]
        bare = [call for call in calls if isinstance(call.parent, ast.Expr) or _is_forgotten(call)]
        if bare and len(inside) >= _SOME and len(inside) >= _SHARE * (len(inside) + len(bare)):
            for call in bare:
                message = f"{called.name} is used in a 'with' by {len(inside)} other calls and not here"
                yield _finding(CONTEXT, call, message, inside[:_SHOWN], 0.8)


def _is_forgotten(call: Call) -> bool:
    """Whether the result gets a name that is never entered, closed, returned or handed on."""
    parent = call.parent
    if not isinstance(parent, ast.Assign) or not isinstance(parent.targets[0], ast.Name) or call.inside is None:
        return False
    name = parent.targets[0].id
    for node in call.inside.own_nodes:
        uses = [*ast.iter_child_nodes(node)]
        named = any(isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Load) for each in uses)
        if named and (not isinstance(node, ast.Attribute) or node.attr in ("close", "__enter__", "__exit__")):
            return False
    return True


def _finding(name: str, call: Call, message: str, others: list[Call], confidence: float) -> Finding:
    module, node = call.module, call.node
    end = node.end_lineno or node.lineno
    evidence = [Evidence(call.line, module.path, node.lineno)]
    evidence += [Evidence(each.line, each.module.path, each.node.lineno) for each in others]
    return Finding(
        name,
        module.path,
        node.lineno,
        end,
        module.column(node.lineno, node.col_offset),
        module.column(end, node.end_col_offset or 0),
        message,
        tuple(evidence),
        confidence,
    )
