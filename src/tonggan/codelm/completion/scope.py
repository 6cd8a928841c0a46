"""What in a suggestion cannot resolve: names, attributes, imports, arguments and their number. Python only.

What is not sure counts as right: files outside of reach, star imports, names made while the code runs.
"""

from __future__ import annotations

import builtins
import importlib.util
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tonggan.codelm.completion.compiled import compiled_names
from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.completion.names import Parameters
from tonggan.codelm.completion.resolve import Resolver
from tonggan.codelm.completion.syntax import Syntax

if TYPE_CHECKING:
    import tree_sitter

_ALWAYS = frozenset(dir(builtins)) | {"__file__", "__class__", "__path__", "__module__", "__qualname__", "_"}
_NAMED_BY = frozenset({"function_definition", "class_definition", "aliased_import", "dotted_name", "keyword_argument"})


@dataclass(frozen=True)
class Problem:
    """What cannot resolve.

    Attributes:
        kind: of what it is.
        name: the name that is wrong.
        start: its first byte in the text.
        reason: for a person.
    """

    kind: Literal["name", "attribute", "import", "keyword", "arity"]
    name: str
    start: int
    reason: str


Attributes = Callable[[int], frozenset[str] | None]
"""What else may know the attributes of the expression that ends at a byte; None where it does not."""


def problems_in(
    syntax: Syntax,
    *,
    start: int,
    end: int,
    path: Path,
    modules: Modules,
    attributes: Attributes = lambda _: None,
) -> list[Problem]:
    """What cannot resolve between two bytes of a Python file, in its order.

    Args:
        syntax: of the file with the suggestion in it.
        start: where the suggestion begins.
        end: where it ends.
        path: of the file.
        modules: that can be imported.
        attributes: asked where files tell nothing.
    """
    check = _Check(Resolver(modules, path=path, syntax=syntax), syntax, path, modules, attributes)
    found: dict[int, Problem] = {}
    for node in syntax.nodes(start, end):
        if node.end_byte <= start or node.start_byte >= end:
            continue
        for problem in check.problems(node, end):
            found.setdefault(problem.start, problem)
    return [found[place] for place in sorted(found)]


@dataclass(frozen=True)
class _Check:
    resolver: Resolver
    syntax: Syntax
    path: Path
    modules: Modules
    attributes: Attributes

    def problems(self, node: tree_sitter.Node, end: int) -> Iterator[Problem]:
        if node.type == "identifier":
            yield from self._name(node)
        elif node.type == "attribute":
            yield from self._attribute(node)
        elif node.type == "call":
            yield from self._call(node, end)
        elif node.type in ("import_statement", "import_from_statement"):
            yield from self._import(node)

    def _name(self, node: tree_sitter.Node) -> Iterator[Problem]:
        parent = node.parent
        name = self.syntax.text_of(node)
        if parent is None or name in _ALWAYS or not _is_read(node, parent):
            return
        for _, names in self.resolver.scopes(node):
            if name in names.bindings or names.is_open:
                return
        if self.syntax.tree.root_node.has_error and self._occurs_elsewhere(name):
            return  # the code is too broken to tell its scopes
        yield Problem("name", name, node.start_byte, f"name '{name}' is not defined here")

    def _attribute(self, node: tree_sitter.Node) -> Iterator[Problem]:
        owner, name = node.child_by_field_name("object"), node.child_by_field_name("attribute")
        if owner is None or name is None or _is_assigned(node):
            return
        thing = self.resolver.thing(owner)
        known = self.resolver.attributes(thing) if thing is not None else None
        if known is None:
            known = self.attributes(owner.end_byte)
        text = self.syntax.text_of(name)
        if known is not None and text not in known and not self._may_have(self.syntax.text_of(owner), text):
            reason = f"'{self.syntax.text_of(owner)[-40:]}' has no attribute '{text}'"
            yield Problem("attribute", text, name.start_byte, reason)

    def _may_have(self, owner: str, name: str) -> bool:
        """Whether the file hints that an object has more than its class: it is narrowed, or mixed in elsewhere."""
        text = self.syntax.text
        whole = rf"{re.escape(owner)}\s*[,)]"
        if re.search(rf"(?<![\w.])(?:isinstance|issubclass|type)\({whole}", text):
            return True
        if re.search(rf"(?<![\w.])(?:has|get)attr\({whole}\s*[\"']{re.escape(name)}[\"']", text):
            return True
        is_own = owner in ("self", "cls")
        return is_own and len(re.findall(rf"\b(?:self|cls)\.{re.escape(name)}\b", text)) > 1

    def _occurs_elsewhere(self, name: str) -> bool:
        return len(re.findall(rf"\b{re.escape(name)}\b", self.syntax.text)) > 1

    def _call(self, node: tree_sitter.Node, end: int) -> Iterator[Problem]:
        function, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
        if function is None or arguments is None or arguments.type != "argument_list" or arguments.has_error:
            return
        called = self.resolver.thing(function)
        parameters = self.resolver.parameters(called) if called is not None else None
        if parameters is None:
            return
        name = self.syntax.text_of(function)[-40:]
        given = [child for child in arguments.named_children if child.type != "comment"]
        keywords = {}
        for child in given:
            key = child.child_by_field_name("name") if child.type == "keyword_argument" else None
            if key is not None:
                keywords[self.syntax.text_of(key)] = key
        for text, key in keywords.items():
            if text not in parameters.keywords and not parameters.takes_any_keyword:
                yield Problem("keyword", text, key.start_byte, f"'{name}' takes no argument '{text}'")
        if any(child.type in ("list_splat", "dictionary_splat", "generator_expression") for child in given):
            return
        wrong = _arity(parameters, len(given) - len(keywords), set(keywords), is_closed=arguments.end_byte <= end)
        if wrong:
            yield Problem("arity", name, arguments.start_byte, f"'{name}' {wrong}")

    def _import(self, node: tree_sitter.Node) -> Iterator[Problem]:
        source = node.child_by_field_name("module_name")
        named = [source] if source is not None else node.children_by_field_name("name")
        for each in named:
            path = each.child_by_field_name("name") if each.type == "aliased_import" else each
            module = self.syntax.text_of(path) if path is not None else ""
            if module and self._is_missing(module):
                yield Problem("import", module, each.start_byte, f"there is no module '{module}'")
                return
        if source is None:
            return
        module = self.syntax.text_of(source)
        file = self.modules.find(module, importer=self.path)
        parsed = self.modules.parsed(file) if file is not None else None
        if file is None or parsed is None or parsed[1].is_open or "__getattr__" in parsed[1].bindings:
            return
        for each in node.children_by_field_name("name"):
            path = each.child_by_field_name("name") if each.type == "aliased_import" else each
            text = self.syntax.text_of(path) if path is not None else ""
            is_inside = file.name == "__init__.py" and any(place.stem == text for place in file.parent.iterdir())
            if text and text not in parsed[1].bindings and not is_inside and not text.startswith("__"):
                yield Problem("import", text, each.start_byte, f"module '{module}' has no '{text}'")

    def _is_missing(self, module: str) -> bool:
        if module.startswith(".") or compiled_names(module) is not None or module == "__future__":
            return False
        if self.modules.find(module, importer=self.path) is not None:
            return False
        top = module.split(".")[0]
        if self.modules.has_folder(top, importer=self.path):
            return False
        try:
            return importlib.util.find_spec(top) is None
        except ValueError:  # a module that runs and has no specification, as __main__
            return False


def _arity(parameters: Parameters, num_positional: int, keywords: set[str], *, is_closed: bool) -> str:
    """What is wrong with how many arguments are given; empty if nothing is."""
    most = len(parameters.positional)
    if num_positional > most and not parameters.takes_more:
        return f"takes {most} positional arguments and gets {num_positional}"
    if not is_closed:
        return ""
    lacking = [*parameters.positional[num_positional : parameters.num_required], *parameters.required_keywords]
    missing = [name for name in lacking if name not in keywords]
    return f"lacks {', '.join(repr(name) for name in missing)}" if missing else ""


def _is_read(node: tree_sitter.Node, parent: tree_sitter.Node) -> bool:
    """Whether an identifier is looked up, not bound or part of a longer name."""
    if parent.type in _NAMED_BY:
        value = parent.child_by_field_name("value")
        return parent.type == "keyword_argument" and value is not None and value.id == node.id
    if parent.type == "attribute":
        owner = parent.child_by_field_name("object")
        return owner is not None and owner.id == node.id
    return parent.type not in ("global_statement", "nonlocal_statement", "parameters", "lambda_parameters")


def _is_assigned(node: tree_sitter.Node) -> bool:
    parent = node.parent
    left = parent.child_by_field_name("left") if parent is not None and parent.type == "assignment" else None
    return left is not None and left.id == node.id
