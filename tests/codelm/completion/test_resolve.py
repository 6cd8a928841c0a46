import pytest

from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.completion.resolve import Resolver
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.workspace import Workspace

GOODS = """import os
from dataclasses import dataclass


class Base:
    def __init__(self, name, *, price=0):
        self.name = name

    def sell(self, buyer, amount=1):
        return amount


class Item(Base):
    kind = "item"

    @classmethod
    def of(cls, text):
        return cls(text)

    @staticmethod
    def unit():
        return 1


class Open(Unknown):
    pass


@dataclass
class Point:
    x: int


def total(first, *, tax):
    return first


STOCK = Item("a")
Item.later = 1
"""
MAIN = """from shop import goods
from shop.goods import Item, Open, Point, STOCK, total
import nowhere


def use(item, unknown):
    made = Item("b")
    words = "a b"
    {expression}
"""


@pytest.fixture
def resolver(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "goods.py").write_text(GOODS)

    def of(expression):
        syntax = Syntax.of(MAIN.format(expression=expression), "python")
        found = Resolver(Modules(Workspace(tmp_path)), path=tmp_path / "main.py", syntax=syntax)
        start = syntax.byte_of(syntax.text.index(expression, syntax.text.index("def use")))
        return found, syntax.tree.root_node.descendant_for_byte_range(start, start + len(expression.encode()))

    return of


@pytest.mark.parametrize(
    ("expression", "kind", "line"),
    [
        ("goods", "module", None),
        ("Item", "class", 12),
        ("goods.Item", "class", 12),
        ("made", "instance", 12),
        ("Item('c')", "instance", 12),
        ("STOCK", "instance", 12),
        ("total", "function", 33),
        ("goods.os", "module", None),
        ("made.sell", "function", 8),
        ("'a b'", "builtin", None),
        ("[1]", "builtin", None),
        ("int", "builtin", None),
    ],
)
def test_an_expression_is_what_files_say(resolver, expression, kind, line):
    found, node = resolver(expression)
    thing = found.thing(node)
    assert thing.kind == kind
    assert (thing.node.start_point[0] if thing.node is not None else None) == line


@pytest.mark.parametrize(
    "expression", ["unknown", "words", "item", "nowhere", "nowhere.x", "made.sell('a')", "missing", "type"]
)
def test_what_is_not_sure_is_nothing(resolver, expression):
    found, node = resolver(expression)
    assert found.thing(node) is None


def test_attributes_of_a_class_come_with_its_bases_and_what_is_added_later(resolver):
    found, node = resolver("made")
    attributes = found.attributes(found.thing(node))
    assert {"kind", "of", "unit", "sell", "name", "later", "__class__"} <= attributes
    assert "price" not in attributes


def test_a_class_with_an_unknown_base_may_have_anything(resolver):
    found, node = resolver("Open")
    assert found.attributes(found.thing(node)) is None


@pytest.mark.parametrize(
    ("expression", "positional", "keywords", "required"),
    [
        ("total", ("first",), {"first", "tax"}, {"tax"}),
        ("Item", ("name",), {"name", "price"}, set()),
        ("made.sell", ("buyer", "amount"), {"buyer", "amount"}, set()),
        ("Item.sell", ("self", "buyer", "amount"), {"self", "buyer", "amount"}, set()),
        ("Item.of", ("text",), {"text"}, set()),
        ("Item.unit", (), set(), set()),
    ],
)
def test_parameters_are_those_that_are_left_to_give(resolver, expression, positional, keywords, required):
    found, node = resolver(expression)
    parameters = found.parameters(found.thing(node))
    assert tuple(parameters.positional) == positional
    assert set(parameters.keywords) == keywords
    assert set(parameters.required_keywords) == required


@pytest.mark.parametrize("expression", ["Point", "Open", "int", "goods"])
def test_parameters_that_are_not_sure_are_not_told(resolver, expression):
    found, node = resolver(expression)
    assert found.parameters(found.thing(node)) is None
