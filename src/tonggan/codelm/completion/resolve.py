"""What an expression of Python code is, as far as files tell: a module, a class, an instance of one, a function.

It answers None wherever it is not sure. It runs no code, infers no return types, and judges nothing.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tonggan.codelm.completion.compiled import compiled_names
from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.completion.names import (
    SCOPES,
    Binding,
    Names,
    Parameters,
    attributes_of,
    decorators_of,
    dotted,
    names_of,
    parameters_of,
)
from tonggan.codelm.completion.syntax import Syntax

if TYPE_CHECKING:
    import tree_sitter

_DEPTH = 8  # of imports and base classes that are followed
_LITERALS = {
    "string": str, "integer": int, "float": float, "list": list, "dictionary": dict, "set": set, "tuple": tuple,
    "list_comprehension": list, "dictionary_comprehension": dict, "set_comprehension": set,
}  # fmt: skip
_PROPERTIES = frozenset({"property", "cached_property", "functools.cached_property"})
_OF_MODULES = frozenset(dir(builtins)) | {"__file__", "__path__", "__dict__", "__all__", "__version__", "__class__"}
_HARMLESS = frozenset(
    [
        "staticmethod",
        "classmethod",
        "abstractmethod",
        "abc.abstractmethod",
        "override",
        "overload",
        "cache",
        "lru_cache",
        "functools.cache",
        "functools.lru_cache",
        "torch.no_grad",
    ]
)


@dataclass(frozen=True)
class Thing:
    """What an expression is.

    Attributes:
        kind: of what it is; a builtin is known by its attributes alone.
        path: of the file that defines it.
        syntax: that file's.
        node: of a class or function, its definition.
        names: of a builtin.
        is_bound: a method that has its first argument already.
    """

    kind: Literal["module", "class", "instance", "function", "builtin"]
    path: Path | None = None
    syntax: Syntax | None = None
    node: tree_sitter.Node | None = None
    names: frozenset[str] = frozenset()
    is_bound: bool = False


class Resolver:
    """Follows names through scopes, imports and base classes.

    Args:
        modules: that can be imported.
        path: of the file that is asked about.
        syntax: that file's.
    """

    def __init__(self, modules: Modules, *, path: Path, syntax: Syntax) -> None:
        self._modules = modules
        self._path = path
        self._syntax = syntax
        self._names: dict[int, Names] = {}

    def scopes(self, node: tree_sitter.Node) -> Iterator[tuple[tree_sitter.Node, Names]]:
        """The scopes that a name at ``node`` is looked up in, the inner before the outer, with what they bind."""
        may_be_class = True
        inner, current = node, node.parent
        while current is not None:
            if current.type in SCOPES and (may_be_class or current.type != "class_definition"):
                if current.id not in self._names:
                    self._names[current.id] = names_of(self._syntax, current)
                yield current, self._names[current.id]
            # Default values and annotations of a method are looked up in its class.
            may_be_class &= current.type not in ("function_definition", "lambda", "class_definition") or (
                current.type == "function_definition" and inner.type in ("parameters", "type")
            )
            inner, current = current, current.parent

    def thing(self, node: tree_sitter.Node, *, depth: int = _DEPTH) -> Thing | None:
        """What the expression ``node`` is."""
        if depth == 0:
            return None
        if node.type in _LITERALS:
            is_bytes = node.type == "string" and self._syntax.text_of(node)[:2].lower().strip("r\"'").startswith("b")
            return Thing("builtin", names=frozenset(dir(bytes if is_bytes else _LITERALS[node.type])))
        if node.type == "identifier":
            return self._named(node, depth)
        if node.type == "attribute":
            owner, name = node.child_by_field_name("object"), node.child_by_field_name("attribute")
            found = self.thing(owner, depth=depth - 1) if owner is not None else None
            return self.member(found, self._syntax.text_of(name), depth=depth) if found and name is not None else None
        if node.type == "call":
            function = node.child_by_field_name("function")
            made = self.thing(function, depth=depth - 1) if function is not None else None
            return Thing("instance", made.path, made.syntax, made.node) if made and made.kind == "class" else None
        return None

    def member(self, owner: Thing, name: str, *, depth: int = _DEPTH) -> Thing | None:
        """What ``owner`` has by ``name``."""
        if depth == 0 or owner.syntax is None or owner.path is None:
            return None
        if owner.kind == "module":
            return self._in_module(owner.path, name, depth - 1)
        if owner.node is None or owner.kind not in ("class", "instance"):
            return None
        held = attributes_of if owner.kind == "instance" else names_of
        binding = held(owner.syntax, owner.node).bindings.get(name)
        if binding is None:
            bases = (self.member(base, name, depth=depth - 1) for base in self._bases(owner, depth) or ())
            return next((found for found in bases if found is not None), None)
        found = self._bound(binding, owner.syntax, owner.path, depth - 1)
        if found is not None and found.kind == "function" and found.node is not None:
            kinds = decorators_of(owner.syntax, found.node)
            if _PROPERTIES & set(kinds):
                return self._returned(found, depth - 1)
            is_bound = "staticmethod" not in kinds and (owner.kind == "instance" or "classmethod" in kinds)
            return Thing("function", found.path, found.syntax, found.node, is_bound=is_bound)
        return found

    def _returned(self, function: Thing, depth: int) -> Thing | None:
        """An instance of the class that a function is annotated to return."""
        assert function.node is not None
        assert function.syntax is not None
        assert function.path is not None
        annotation = function.node.child_by_field_name("return_type")
        text = dotted(function.syntax, annotation.named_children[0]) if annotation and annotation.named_children else ""
        found = self._dotted(text, function.syntax, function.path, depth, None) if text else None
        if found is None or found.kind not in ("class", "builtin"):
            return None
        return found if found.kind == "builtin" else Thing("instance", found.path, found.syntax, found.node)

    def attributes(self, owner: Thing, *, depth: int = _DEPTH) -> frozenset[str] | None:
        """All that ``owner`` has; None where it may have more."""
        if owner.kind == "builtin":
            return owner.names
        if depth == 0 or owner.syntax is None or owner.path is None or owner.kind == "function":
            return None
        if owner.kind == "module":
            names = names_of(owner.syntax, owner.syntax.tree.root_node)
            if names.is_open or "__getattr__" in names.bindings:
                return None
            inside = owner.path.parent.iterdir() if owner.path.name == "__init__.py" else ()
            return frozenset(names.bindings) | {place.stem for place in inside} | _OF_MODULES
        assert owner.node is not None
        names = attributes_of(owner.syntax, owner.node)
        bases = self._bases(owner, depth)
        if names.is_open or bases is None or decorators_of(owner.syntax, owner.node) not in ([], ["dataclass"]):
            return None
        found = frozenset(names.bindings) | frozenset(dir(object if owner.kind == "instance" else type))
        name = owner.node.child_by_field_name("name")
        if name is not None:  # given to the class after its definition, as datetime does
            later = re.findall(rf"^{owner.syntax.text_of(name)}\.(\w+) *=", owner.syntax.text, re.MULTILINE)
            found |= frozenset(later)
        for base in bases:
            inherited = self.attributes(base, depth=depth - 1)
            if inherited is None:
                return None
            found |= inherited
        return found | {"__dict__", "__slots__", "__annotations__", "__dataclass_fields__"}

    def parameters(self, called: Thing) -> Parameters | None:
        """What ``called`` may be called with, ``self`` left out where it is given; None where that is not sure."""
        if called.syntax is None or called.node is None:
            return None
        decorators = decorators_of(called.syntax, called.node)
        if called.kind == "function" and _HARMLESS.issuperset(decorators) and "overload" not in decorators:
            found = parameters_of(called.syntax, called.node)
            return _without_first(found) if called.is_bound else found
        if called.kind != "class" or decorators or self.attributes(called) is None:
            return None
        if self.member(called, "__new__") or not (made := self.member(called, "__init__")):
            return None
        if made.syntax is None or made.node is None or decorators_of(made.syntax, made.node):
            return None
        return _without_first(parameters_of(made.syntax, made.node))

    def _named(self, node: tree_sitter.Node, depth: int) -> Thing | None:
        name = self._syntax.text_of(node)
        for scope, names in self.scopes(node):
            binding = names.bindings.get(name)
            if binding is not None:
                owner = _class_of_method(scope)
                if binding.kind == "parameter" and owner is not None and name == _first_parameter(self._syntax, scope):
                    kind: Literal["class", "instance"] = (
                        "class" if "classmethod" in decorators_of(self._syntax, scope) else "instance"
                    )
                    return Thing(kind, self._path, self._syntax, owner)
                return self._bound(binding, self._syntax, self._path, depth - 1, near=scope)
            if names.is_open:
                return None
        return _builtin(name)

    def _bound(
        self, binding: Binding, syntax: Syntax, path: Path, depth: int, *, near: tree_sitter.Node | None = None
    ) -> Thing | None:
        """What a binding in the file at ``path`` stands for."""
        if depth <= 0:
            return None
        if binding.kind in ("class", "function"):
            return Thing(binding.kind, path, syntax, binding.node)
        if not binding.target:
            return None
        if binding.kind == "import":
            return self._imported(binding.target, path, depth)
        made = self._dotted(binding.target, syntax, path, depth, near)
        if made is None or made.kind not in ("class", "builtin"):
            return None
        return made if made.kind == "builtin" else Thing("instance", made.path, made.syntax, made.node)

    def _dotted(self, text: str, syntax: Syntax, path: Path, depth: int, near: tree_sitter.Node | None) -> Thing | None:
        """What ``a.b.c`` is in a file, looked up around ``near`` or at the file's top."""
        first, *rest = text.split(".")
        scopes = [near] if near is not None else []
        found: Thing | None = None
        for scope in dict.fromkeys([*scopes, syntax.tree.root_node]):
            binding = names_of(syntax, scope).bindings.get(first)
            if binding is not None:
                found = self._bound(binding, syntax, path, depth - 1)
                break
        else:
            found = _builtin(first)
        for name in rest:
            found = self.member(found, name, depth=depth - 1) if found is not None else None
        return found

    def _imported(self, target: str, importer: Path, depth: int) -> Thing | None:
        module, _, name = target.partition(":")
        compiled = compiled_names(module)
        if compiled is not None:
            return None if name else Thing("builtin", names=compiled)
        file = self._modules.find(module, importer=importer)
        if file is None:
            return None
        return self._in_module(file, name, depth) if name else self._module(file)

    def _in_module(self, file: Path, name: str, depth: int) -> Thing | None:
        parsed = self._modules.parsed(file)
        if parsed is None or depth <= 0:
            return None
        syntax, names = parsed
        binding = names.bindings.get(name)
        if binding is not None:
            return self._bound(binding, syntax, file, depth - 1)
        inside = self._modules.find(f".{name}", importer=file) if file.name == "__init__.py" else None
        return self._module(inside) if inside is not None else None

    def _module(self, file: Path) -> Thing | None:
        parsed = self._modules.parsed(file)
        return Thing("module", file, parsed[0]) if parsed is not None else None

    def _bases(self, owner: Thing, depth: int) -> list[Thing] | None:
        """The base classes; None where one is not known."""
        assert owner.node is not None
        assert owner.syntax is not None
        assert owner.path is not None
        listed = owner.node.child_by_field_name("superclasses")
        found: list[Thing] = []
        for node in listed.named_children if listed is not None else ():
            text = dotted(owner.syntax, node)
            if text == "object":
                continue
            base = self._dotted(text, owner.syntax, owner.path, depth - 1, None) if text else None
            if base is None or base.kind not in ("class", "builtin"):
                return None
            found.append(Thing(owner.kind, base.path, base.syntax, base.node) if base.kind == "class" else base)
        return found


def _builtin(name: str) -> Thing | None:
    """A built-in class, known by what it has; its instances have the same."""
    found = None if name in ("type", "super", "object") else getattr(builtins, name, None)  # may be anything
    return Thing("builtin", names=frozenset(dir(found))) if isinstance(found, type) else None


def _without_first(parameters: Parameters) -> Parameters:
    first = parameters.positional[:1]
    return Parameters(
        parameters.positional[1:],
        parameters.keywords - set(first),
        max(0, parameters.num_required - 1),
        parameters.required_keywords,
        parameters.takes_more,
        parameters.takes_any_keyword,
    )


def _class_of_method(scope: tree_sitter.Node) -> tree_sitter.Node | None:
    """The class that a function stands in right away."""
    if scope.type != "function_definition":
        return None
    parent = scope.parent
    if parent is not None and parent.type == "decorated_definition":
        parent = parent.parent
    owner = parent.parent if parent is not None and parent.type == "block" else None
    return owner if owner is not None and owner.type == "class_definition" else None


def _first_parameter(syntax: Syntax, scope: tree_sitter.Node) -> str:
    if "staticmethod" in decorators_of(syntax, scope):
        return ""
    return next(iter(parameters_of(syntax, scope).positional), "")
