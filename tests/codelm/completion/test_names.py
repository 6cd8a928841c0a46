from tonggan.codelm.completion.names import attributes_of, names_of, parameters_of
from tonggan.codelm.completion.syntax import Syntax

CODE = """
import os.path, numpy as np
from a.b import c as d, e
total: Cart = Cart()
for i, (j, *k) in pairs:
    pass
with open("x") as (file, other):
    pass
try:
    pass
except ValueError as problem:
    pass
match value:
    case [first, Point(x=second)]:
        pass
def function(a, /, b: int, c=1, *rest, d, e=2, **more): local = 1
class Thing:
    field: int = 0
    def method(self):
        self.made, other.thing = 1, 2
"""


def test_bindings_of_a_module():
    syntax = Syntax.of(CODE, "python")
    names = names_of(syntax, syntax.tree.root_node)
    expected = {"d", "e", "i", "j", "k", "os", "np", "total", "file", "other", "problem", "first", "second", "function"}
    assert expected <= set(names.bindings)
    assert "local" not in names.bindings
    assert not names.is_open
    targets = {name: names.bindings[name].target for name in ("os", "np", "d", "e", "total")}
    assert targets == {"os": "os", "np": "numpy", "d": "a.b:c", "e": "a.b:e", "total": "Cart"}


def test_parameters():
    syntax = Syntax.of(CODE, "python")
    node = names_of(syntax, syntax.tree.root_node).bindings["function"].node
    found = parameters_of(syntax, node)
    assert found.positional == ("a", "b", "c")
    assert found.keywords == {"b", "c", "d", "e"}
    assert (found.num_required, found.required_keywords) == (2, {"d"})
    assert found.takes_more
    assert found.takes_any_keyword


def test_attributes_of_instances():
    syntax = Syntax.of(CODE, "python")
    node = names_of(syntax, syntax.tree.root_node).bindings["Thing"].node
    found = attributes_of(syntax, node)
    assert set(found.bindings) == {"field", "method", "made"}
    assert not found.is_open


def test_what_may_bind_more_is_open():
    for text in ("from x import *\n", "globals()['a'] = 1\n"):
        syntax = Syntax.of(text, "python")
        assert names_of(syntax, syntax.tree.root_node).is_open
