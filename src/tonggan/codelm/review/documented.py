"""Functions and classes with their docstrings and the parameters that these are about."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tonggan.codelm.review.docstring import Docstring, docstring_node, read_docstring
from tonggan.codelm.review.finding import Edit, Evidence, Finding
from tonggan.codelm.review.module import Class, Function, FunctionNode, Module
from tonggan.codelm.review.repository import Repository

ParameterKind = Literal["positional", "keyword", "variadic", "keywords"]

# Decorators after which a function still takes what its ``def`` says.
_TRANSPARENT = {
    "abc.abstractmethod", "abstractmethod", "asynccontextmanager", "cache", "classmethod", "contextlib.contextmanager",
    "contextlib.asynccontextmanager", "contextmanager", "final", "functools.cache", "functools.lru_cache",
    "functools.singledispatch", "lru_cache", "override", "singledispatch", "staticmethod", "torch.no_grad",
    "typing.final", "typing.no_type_check", "typing.override", "typing_extensions.override", "torch.inference_mode",
}  # fmt: skip
_PROPERTIES = {"property", "cached_property", "functools.cached_property", "abc.abstractproperty"}
_MANY, _NEARLY_ALL = 5, 0.9  # places of a decorator, and the share in which docstring and ``def`` agree
_DATACLASS = {"dataclass", "dataclasses.dataclass", "pydantic.dataclasses.dataclass"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a signature."""

    name: str
    kind: ParameterKind
    annotation: ast.expr | None
    default: ast.expr | None
    line: int


@dataclass(frozen=True)
class Documented:
    """A docstring and what it is about.

    Attributes:
        owner: whose docstring it is.
        docstring: read.
        function: whose parameters are told: the function, or ``__init__`` of a class; None for a dataclass.
        parameters: without ``self``; None where they are not sure.
        is_sealed: whether no decorator may take others than the function does.
        opaque: decorators that may change the docstring, too.
    """

    owner: Function | Class
    docstring: Docstring
    function: Function | None
    parameters: tuple[Parameter, ...] | None
    is_sealed: bool = True
    opaque: frozenset[str] = frozenset()

    @property
    def module(self) -> Module:
        """The file."""
        return self.owner.module

    @property
    def name(self) -> str:
        """The owner's."""
        return self.owner.qualified_name

    @cached_property
    def takes_any(self) -> bool:
        """Whether it may take names beyond those of its signature."""
        return not self.is_sealed or any(each.kind in ("variadic", "keywords") for each in self.parameters or ())

    def signature_line(self) -> Evidence:
        """The code that the docstring is compared with."""
        return self.code_line((self.function or self.owner).node.lineno)

    def code_line(self, line: int) -> Evidence:
        """A line of the function, which a class may inherit from another file."""
        module = (self.function or self.owner).module
        return Evidence(module.lines[line - 1].strip(), module.path, line)

    def told_line(self, line: int) -> Evidence:
        """A line of the docstring."""
        return Evidence(self.module.lines[line - 1].strip(), self.module.path, line)

    def finding(
        self,
        rule: str,
        message: str,
        *,
        line: int,
        column: int,
        length: int,
        confidence: float,
        evidence: tuple[Evidence, ...] = (),
        new: str | None = None,
    ) -> Finding:
        """A finding at a place of the docstring.

        Args:
            rule: its name.
            message: what is wrong.
            line: from 1.
            column: from 1.
            length: characters.
            confidence: from 0 to 1.
            evidence: beside the line itself and the signature.
            new: what should stand there instead, where that is sure.
        """
        edit = None if new is None else Edit(line, column, line, column + length, new)
        shown = tuple(dict.fromkeys((self.told_line(line), self.signature_line(), *evidence)))
        end = column + length
        return Finding(rule, self.module.path, line, line, column, end, message, shown, confidence, edit)


def documented(repository: Repository) -> Iterator[Documented]:
    """The docstrings of the reviewed modules, without tests, properties and stubs of overloads."""
    trusted = _trusted(repository)
    for module in repository.reviewed_modules():
        if module.is_test:
            continue
        for owner in module.definitions:
            constant = docstring_node(owner.node)
            docstring = read_docstring(constant, module.lines) if constant is not None else None
            if docstring is None or _PROPERTIES & set(owner.decorators):
                continue
            if isinstance(owner, Class):
                function, parameters = _of_class(repository, owner)
            else:
                function, parameters = owner, _of_function(owner)
            opaque = frozenset(
                each
                for each in (function.decorators if function else ())
                if function and not _is_transparent(repository, function, each)
            )
            yield Documented(owner, docstring, function, parameters, opaque <= trusted, opaque)


def taken_by(repository: Repository, called: Function | Class) -> tuple[Parameter, ...] | None:
    """What a call may give; None where that is not sure, for decorators and for classes made in other ways."""
    function, parameters = (
        (called, _of_function(called)) if isinstance(called, Function) else _of_class(repository, called)
    )
    if function is not None and not all(_is_transparent(repository, function, each) for each in function.decorators):
        return None
    return parameters


def _trusted(repository: Repository) -> set[str]:
    """Decorators under which docstrings describe what the ``def`` takes in nearly all places."""
    counts: dict[str, list[bool]] = {}
    for module in repository.reviewed_modules():
        for function in module.functions if not module.is_test else ():
            unknown = [each for each in function.decorators if each and each not in _TRANSPARENT]
            constant = docstring_node(function.node) if unknown else None
            docstring = read_docstring(constant, module.lines) if constant is not None else None
            told = {entry.name for entry in docstring.told("parameters")} if docstring else set()
            if told:
                taken = {each.name for each in signature(function.node, skip_first=False)}
                for each in unknown:
                    counts.setdefault(each, []).append(told <= taken)
    return {name for name, agree in counts.items() if len(agree) >= _MANY and sum(agree) >= _NEARLY_ALL * len(agree)}


def _of_function(function: Function) -> tuple[Parameter, ...] | None:
    """None for an overload, and for what takes other names than one of its overloads."""
    names = {each.arg for each in function.node.args.args + function.node.args.kwonlyargs}
    for each in _overloads(function):
        others = {other.arg for other in each.node.args.args + each.node.args.kwonlyargs}
        if each is function or not others <= names:
            return None
    skips = function.owner is not None and "staticmethod" not in function.decorators
    return signature(function.node, skip_first=skips)


def _of_class(repository: Repository, owner: Class) -> tuple[Function | None, tuple[Parameter, ...] | None]:
    """``__init__`` and what it takes, of the class or the nearest that it inherits from."""
    fields: list[Parameter] = []
    bases, complete = repository.bases(owner)
    if owner.decorators and not set(owner.decorators) <= {*_DATACLASS, "final", "typing.final", "runtime_checkable"}:
        return None, None
    if any(each.node.keywords for each in bases):
        return None, None
    if _DATACLASS & set(owner.decorators):
        if not complete or any(not _DATACLASS & set(each.decorators) for each in bases):
            return None, None
        for each in reversed(bases):
            fields = [known for known in fields if known.name not in {new.name for new in _fields(each)}]
            fields += _fields(each)
        if "__init__" not in owner.members:
            return None, tuple(fields)
    for each in bases:
        if "__new__" in each.members or each.decorators:
            return None, None
        init = each.method("__init__")
        if init is not None:
            return init, _of_function(init)
        if each is owner and not complete and len(bases) == 1:
            return None, None
    return None, () if complete and not owner.node.bases else None


def _fields(owner: Class) -> list[Parameter]:
    """The fields of a dataclass."""
    found = []
    for statement in owner.node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            kind = owner.module.text_of(statement.annotation)
            calls = statement.value if isinstance(statement.value, ast.Call) else None
            hidden = calls is not None and any(
                each.arg == "init" and isinstance(each.value, ast.Constant) and not each.value.value
                for each in calls.keywords
            )
            if "ClassVar" not in kind and "KW_ONLY" not in kind and not hidden:
                default = None if calls is not None else statement.value
                found.append(
                    Parameter(statement.target.id, "positional", statement.annotation, default, statement.lineno)
                )
    return found


def signature(node: FunctionNode, *, skip_first: bool) -> tuple[Parameter, ...]:
    """The parameters of ``node``, in their order.

    Args:
        node: a function's.
        skip_first: whether the first is ``self`` or ``cls``.
    """
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    found = [
        Parameter(each.arg, "positional", each.annotation, default, each.lineno)
        for each, default in zip(positional, defaults, strict=True)
    ]
    found = found[1:] if skip_first else found
    if arguments.vararg:
        each = arguments.vararg
        found.append(Parameter(each.arg, "variadic", each.annotation, None, each.lineno))
    found += [
        Parameter(each.arg, "keyword", each.annotation, default, each.lineno)
        for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        each = arguments.kwarg
        found.append(Parameter(each.arg, "keywords", each.annotation, None, each.lineno))
    return tuple(found)


def _overloads(function: Function) -> list[Function]:
    return [
        each
        for each in function.module.functions
        if each.name == function.name and each.outer is function.outer and any("overload" in d for d in each.decorators)
    ]


def _is_transparent(repository: Repository, function: Function, decorator: str) -> bool:
    if decorator in _TRANSPARENT or decorator.endswith((".setter", ".getter", ".deleter")):
        return True
    if not decorator:
        return False
    name = ast.parse(decorator, mode="eval").body
    meant = repository.resolve(function.module, name)
    return isinstance(meant, Function) and _hands_on(meant)


def _hands_on(decorator: Function) -> bool:
    """Whether a decorator of the repository returns what it is given, or a function that takes exactly the same."""
    given = [each.arg for each in decorator.node.args.args]
    inner = [each for each in decorator.module.functions if each.outer is decorator]
    returned = [node.value for node in decorator.own_nodes if isinstance(node, ast.Return) and node.value]
    if not given or not returned:
        return False
    same = {"functools.wraps", "wraps"}
    passing = {each.name for each in inner if same & set(each.decorators) and _passes(each, given[0])}
    return all(isinstance(each, ast.Name) and each.id in {given[0], *passing} for each in returned)


def _passes(inner: Function, target: str) -> bool:
    """Whether it takes anything and calls ``target`` with just that."""
    arguments = inner.node.args
    if arguments.args or arguments.kwonlyargs or not arguments.vararg or not arguments.kwarg:
        return False
    calls = [
        node
        for node in inner.own_nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == target
    ]
    return bool(calls) and all(
        len(call.args) == 1
        and isinstance(call.args[0], ast.Starred)
        and len(call.keywords) == 1
        and call.keywords[0].arg is None
        for call in calls
    )
