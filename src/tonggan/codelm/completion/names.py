"""What the scopes of Python code bind, read off its syntax tree: also where the code is half written.

It follows no import and runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from tonggan.codelm.completion.compiled import compiled_names
from tonggan.codelm.completion.syntax import Syntax

if TYPE_CHECKING:
    import tree_sitter

SCOPES = frozenset(
    [
        "module",
        "function_definition",
        "class_definition",
        "lambda",
        "list_comprehension",
        "set_comprehension",
        "dictionary_comprehension",
        "generator_expression",
    ]
)
_TARGETS = {
    "for_statement": "left",
    "for_in_clause": "left",
    "named_expression": "name",
    "type_alias_statement": "left",
}
_DYNAMIC = frozenset({"__getattr__", "__getattribute__"})
_RESTORING = frozenset(
    {"__getstate__", "__setstate__", "__reduce__", "__copy__", "__deepcopy__"}
)  # what was there before
_MADE_AT_RUN_TIME = (b"globals()", b"sys.modules[", b"vars()[", b"exec(", b"global_enum", b"_convert_(")
_FROM_OUTSIDE = frozenset({"function_definition", "class_definition"})  # their names belong to the scope around


@dataclass(frozen=True)
class Parameters:
    """What a function may be called with.

    Attributes:
        positional: names in their order that may be given by place, ``self`` included.
        keywords: names that may be given by name.
        num_required: of the positional ones without a default.
        required_keywords: keyword-only ones without a default.
        takes_more: it has ``*arguments``.
        takes_any_keyword: it has ``**keywords``.
    """

    positional: tuple[str, ...]
    keywords: frozenset[str]
    num_required: int
    required_keywords: frozenset[str]
    takes_more: bool
    takes_any_keyword: bool


@dataclass(frozen=True)
class Binding:
    """What a name stands for, as far as its own file tells.

    Attributes:
        kind: how it is bound.
        target: of an import ``module`` or ``module:name``; of a variable or parameter the class it is made from or
            annotated with, where that is plain; else empty.
        node: of a class or function, its definition.
    """

    kind: Literal["import", "class", "function", "parameter", "variable"]
    target: str = ""
    node: tree_sitter.Node | None = field(default=None, compare=False)


@dataclass
class Names:
    """What one scope binds, without those inside it.

    Attributes:
        bindings: by name.
        is_open: other names may be there, too, as after ``from x import *``.
    """

    bindings: dict[str, Binding] = field(default_factory=dict)
    is_open: bool = False

    def add(self, name: str, binding: Binding) -> None:
        former = self.bindings.get(name)
        if former is not None and former != binding:
            binding = Binding("variable")  # bound in two ways: nothing more is known
        self.bindings[name] = binding


def names_of(syntax: Syntax, scope: tree_sitter.Node) -> Names:
    """What ``scope``, a node of a kind in ``SCOPES``, binds itself."""
    names = Names(is_open=scope.type == "module" and any(each in syntax.content for each in _MADE_AT_RUN_TIME))
    if scope.type in ("function_definition", "lambda"):
        parameters = scope.child_by_field_name("parameters")
        for name, target in _parameters(syntax, parameters):
            names.add(name, Binding("parameter", target))
    for child in scope.children:
        if child.type != "parameters":
            _collect(syntax, child, names)
    return names


def attributes_of(syntax: Syntax, definition: tree_sitter.Node) -> Names:
    """What instances of a class have that its own body gives them: its names, and what methods assign to ``self``."""
    body = definition.child_by_field_name("body")
    names = names_of(syntax, definition)
    for statement in body.children if body is not None else ():
        method = statement.child_by_field_name("definition") if statement.type == "decorated_definition" else statement
        if method is not None and method.type == "function_definition":
            assigned, is_open = _assigned_to_self(syntax.text_of(method))
            for name, made in assigned:
                former = names.bindings.get(name)
                if former is None or former.kind == "variable":
                    names.add(name, Binding("variable", made))
            name_node = method.child_by_field_name("name")
            names.is_open |= is_open and (name_node is None or syntax.text_of(name_node) not in _RESTORING)
    names.is_open |= bool(_DYNAMIC & names.bindings.keys())
    return names


def parameters_of(syntax: Syntax, definition: tree_sitter.Node) -> Parameters:
    """What the function ``definition`` may be called with."""
    positional: list[str] = []
    keywords: set[str] = set()
    required: set[str] = set()
    num_required = 0
    more = any_keyword = keyword_only = False
    node = definition.child_by_field_name("parameters")
    for child in node.named_children if node is not None else ():
        name = child.child_by_field_name("name") or _first_identifier(child)
        text = syntax.text_of(name) if name is not None else ""
        inner = child.children[0].type if child.type == "typed_parameter" else child.type
        if inner in ("list_splat_pattern", "keyword_separator"):
            more, keyword_only = more or inner == "list_splat_pattern", True
        elif inner == "dictionary_splat_pattern":
            any_keyword = True
        elif inner == "positional_separator":
            keywords.clear()
        elif text:
            has_default = child.type in ("default_parameter", "typed_default_parameter")
            keywords.add(text)
            if keyword_only:
                required |= set() if has_default else {text}
            else:
                positional.append(text)
                num_required += not has_default
    return Parameters(tuple(positional), frozenset(keywords), num_required, frozenset(required), more, any_keyword)


def decorators_of(syntax: Syntax, definition: tree_sitter.Node) -> list[str]:
    """The names of the decorators of a function or class."""
    parent = definition.parent
    if parent is None or parent.type != "decorated_definition":
        return []
    return [syntax.text_of(child)[1:].split("(")[0].strip() for child in parent.children if child.type == "decorator"]


def dotted(syntax: Syntax, node: tree_sitter.Node | None) -> str:
    """``a.b.c`` where a node is such a name, else empty."""
    if node is None or node.type not in ("identifier", "attribute", "dotted_name"):
        return ""
    text = syntax.text_of(node)
    return text if all(part.isidentifier() for part in text.split(".")) else ""


@lru_cache(maxsize=4096)
def _assigned_to_self(method: str) -> tuple[tuple[tuple[str, str], ...], bool]:
    """The attributes that a method assigns, with the classes that they are made from; whether it may set others."""
    syntax = Syntax.of(method, "python")
    found: list[tuple[str, str]] = []
    is_open = False
    for node in syntax.nodes(0, len(syntax.content)):
        if node.type == "attribute" and _is_target(node):
            value, name = node.child_by_field_name("object"), node.child_by_field_name("attribute")
            if value is not None and name is not None and syntax.text_of(value) in ("self", "cls"):
                found.append((syntax.text_of(name), _assigned_class(syntax, node)))
        elif node.type == "identifier" and syntax.text_of(node) in ("setattr", "__dict__", "vars"):
            is_open = True
    return tuple(found), is_open


def _assigned_class(syntax: Syntax, target: tree_sitter.Node) -> str:
    parent = target.parent
    left = parent.child_by_field_name("left") if parent is not None and parent.type == "assignment" else None
    if parent is None or left is None or left.id != target.id:
        return ""
    return _made_from(syntax, parent.child_by_field_name("type"), parent.child_by_field_name("right"))


def _is_target(node: tree_sitter.Node) -> bool:
    """Whether a node is assigned to."""
    while node.parent is not None:
        parent = node.parent
        if parent.type in ("assignment", "augmented_assignment", "for_statement", "for_in_clause"):
            left = parent.child_by_field_name("left")
            return left is not None and left.start_byte <= node.start_byte and node.end_byte <= left.end_byte
        if parent.type not in ("pattern_list", "tuple_pattern", "list_pattern", "list_splat_pattern", "ERROR"):
            return parent.type in ("as_pattern_target", "delete_statement")
        node = parent
    return False


def _collect(syntax: Syntax, node: tree_sitter.Node, names: Names) -> None:
    """What ``node`` and those below it bind in the scope that it stands in."""
    stack = [node]
    while stack:
        node = stack.pop()
        kind = node.type
        if kind in SCOPES:
            if kind in _FROM_OUTSIDE:
                _bind_definition(syntax, node, names)
            elif kind != "lambda":
                _bind_walrus(syntax, node, names)
            continue
        _bind(syntax, node, names)
        stack += node.named_children


def _bind(syntax: Syntax, node: tree_sitter.Node, names: Names) -> None:
    kind = node.type
    if kind in ("assignment", "augmented_assignment"):
        left = node.child_by_field_name("left")
        made = _made_from(syntax, node.child_by_field_name("type"), node.child_by_field_name("right"))
        for name in _targets(left):
            plain = left is not None and left.type == "identifier" and kind == "assignment"
            names.add(syntax.text_of(name), Binding("variable", made if plain else ""))
    elif kind in _TARGETS:
        _bind_all(syntax, node.child_by_field_name(_TARGETS[kind]), names)
    elif kind in ("as_pattern_target", "case_pattern", "global_statement", "nonlocal_statement", "type_parameter"):
        for each in node.named_children:
            _bind_all(syntax, each, names)
    elif kind == "except_clause":
        for child in node.named_children[1:-1]:
            _bind_all(syntax, child, names)
    elif kind in ("import_statement", "import_from_statement", "future_import_statement"):
        _bind_import(syntax, node, names)
    elif kind == "ERROR":  # perhaps the head of a function that is not finished
        for child in node.named_children:
            if child.type == "parameters" or (child.type == "identifier" and not _is_called(child)):
                _bind_all(syntax, child, names)


def _is_called(name: tree_sitter.Node) -> bool:
    """Whether an unfinished call begins with ``name``; the head of a definition does too."""
    before, after = name.prev_sibling, name.next_sibling
    return after is not None and after.type == "(" and (before is None or before.type not in ("def", "class"))


def _bind_all(syntax: Syntax, node: tree_sitter.Node | None, names: Names) -> None:
    for name in _targets(node):
        names.add(syntax.text_of(name), Binding("variable"))


def _bind_walrus(syntax: Syntax, node: tree_sitter.Node, names: Names) -> None:
    for inner in syntax.nodes(node.start_byte, node.end_byte):
        if inner.type == "named_expression":
            _bind_all(syntax, inner.child_by_field_name("name"), names)


def _bind_definition(syntax: Syntax, node: tree_sitter.Node, names: Names) -> None:
    name = node.child_by_field_name("name")
    if name is not None:
        kind: Literal["class", "function"] = "class" if node.type == "class_definition" else "function"
        names.add(syntax.text_of(name), Binding(kind, node=node))


def _bind_import(syntax: Syntax, node: tree_sitter.Node, names: Names) -> None:
    source = node.child_by_field_name("module_name")
    module = syntax.text_of(source) if source is not None else ""
    if any(child.type == "wildcard_import" for child in node.children):
        compiled = compiled_names(module)
        names.is_open |= compiled is None
        for name in compiled or ():
            if not name.startswith("_"):
                names.bindings.setdefault(name, Binding("variable"))
    for child in node.children_by_field_name("name"):
        alias = child.child_by_field_name("alias")
        path = child.child_by_field_name("name") if child.type == "aliased_import" else child
        imported = syntax.text_of(path) if path is not None else ""
        bound = syntax.text_of(alias) if alias is not None else imported.split(".")[0] if not source else imported
        whole = f"{module}:{imported}" if source is not None else imported if alias is not None else bound
        names.add(bound, Binding("import", whole))


def _targets(node: tree_sitter.Node | None) -> Iterator[tree_sitter.Node]:
    """The names that a target binds; an attribute or an element binds none."""
    waiting = [] if node is None else [node]
    while waiting:
        node = waiting.pop()
        if node.type == "identifier":
            yield node
        elif node.type not in ("attribute", "subscript", "call"):
            waiting += reversed(node.named_children)


def _made_from(syntax: Syntax, annotation: tree_sitter.Node | None, value: tree_sitter.Node | None) -> str:
    """The class that a variable's annotation or constructor names."""
    if annotation is not None:
        return dotted(syntax, annotation.named_children[0] if annotation.named_children else None)
    if value is not None and value.type == "call":
        return dotted(syntax, value.child_by_field_name("function"))
    return ""


def _parameters(syntax: Syntax, node: tree_sitter.Node | None) -> Iterator[tuple[str, str]]:
    """Names, and the classes that they are annotated with."""
    for child in node.named_children if node is not None else ():
        if child.type in ("typed_parameter", "typed_default_parameter"):
            is_plain = child.children[0].type == "identifier"
            made = _made_from(syntax, child.child_by_field_name("type"), None) if is_plain else ""
        else:
            made = ""
        inner = child.child_by_field_name("name") or (
            child if child.type in ("identifier", "tuple_pattern") else _first_identifier(child)
        )
        for name in _targets(inner):
            yield syntax.text_of(name), made


def _first_identifier(node: tree_sitter.Node) -> tree_sitter.Node | None:
    while node.type != "identifier":
        if not node.named_children:
            return None
        node = node.named_children[0]
    return node
