import sys
import sysconfig
from pathlib import Path

import pytest

from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.completion.scope import problems_in
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.workspace import Workspace

LIBRARY = Path(sysconfig.get_path("stdlib"))


@pytest.fixture
def repository(tmp_path):
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "goods.py").write_text(
        "import re\n"
        "class Base:\n"
        "    def __init__(self, name, *, price=0):\n        self.name = name\n        self.price = price\n"
        "class Item(Base):\n"
        "    kind = 'item'\n"
        "    def sell(self, buyer, amount=1):\n        return amount\n"
        "    @classmethod\n    def of(cls, text):\n        return cls(text)\n"
        "class Anything:\n    def __getattr__(self, name):\n        return name\n"
        "def total(first, /, second, *, tax, rate=1):\n    return first\n"
        "def join(*parts, sep=''):\n    return sep\n"
        "def build(**settings):\n    return settings\n",
        encoding="utf-8",
    )
    return tmp_path


def problems(marked, repository, *, name="shop/main.py"):
    before, text, after = marked.split("|")
    workspace = Workspace(repository)
    syntax = Syntax.of(before + text + after, "python")
    start, end = syntax.byte_of(len(before)), syntax.byte_of(len(before + text))
    path = repository / name
    found = problems_in(syntax, start=start, end=end, path=path, modules=Modules(workspace))
    return [(problem.kind, problem.name) for problem in found]


HEAD = "from shop.goods import Item, Anything, build, join, total\nimport shop.goods\nfrom . import goods\n"


@pytest.mark.parametrize(
    "line",
    [
        "x = Item('a', price=2)",
        "Item('a').sell('b', amount=3)",
        "Item.of('a')",
        "Item('a').name.upper()",
        "goods.Item('a').price",
        "shop.goods.re.compile('a')",
        "Anything().whatever(1, 2, x=3)",
        "total(1, 2, tax=3)",
        "total(1, second=2, tax=3, rate=4)",
        "join('a', 'b', 'c', sep='-')",
        "build(any=1, thing=2)",
        "total(*numbers)",
        "numbers = [each for each in range(3) if each]",
        "if (found := len('a')) > 1: print(found)",
        "key = lambda pair: pair[0]",
        "from shop.goods import re, total",
        "import shop.goods as other",
        "print(__name__, __file__)",
        "with open('a') as 文件: 文件.read()",
        "'a'.join([])",
    ],
)
def test_what_resolves(line, repository):
    assert problems(f"{HEAD}numbers = [1]\n|{line}|\n", repository) == []


@pytest.mark.parametrize(
    ("line", "kind", "name"),
    [
        ("x = Itme('a')", "name", "Itme"),
        ("Item('a').buy()", "attribute", "buy"),
        ("goods.Thing()", "attribute", "Thing"),
        ("Item('a', cost=1)", "keyword", "cost"),
        ("Item('a', 2)", "arity", "Item"),
        ("Item()", "arity", "Item"),
        ("Item('a').sell()", "arity", "Item('a').sell"),
        ("total(1, 2)", "arity", "total"),
        ("total(first=1, second=2, tax=3)", "keyword", "first"),
        ("total(1, 2, 3, tax=4)", "arity", "total"),
        ("join('a', separator='-')", "keyword", "separator"),
        ("from shop.goods import Thing", "import", "Thing"),
        ("import nothing_of_this_name", "import", "nothing_of_this_name"),
        ("'a'.joined([])", "attribute", "joined"),
        ("import zlib; zlib.decompstream()", "attribute", "decompstream"),
        ("import datetime; datetime.datetimes", "attribute", "datetimes"),
        ("[each for each in things]", "name", "things"),
        ("价格 = 单价 * 2", "name", "单价"),
    ],
)
def test_what_does_not(line, kind, name, repository):
    assert (kind, name) in problems(f"{HEAD}|{line}|\n", repository)


def test_the_module_that_runs_is_there(repository, monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # as in a program that pip has installed
    assert problems("|import __main__|\n", repository) == []


CLASS = """
class Cart:
    limit = 3

    def __init__(self):
        self.items = []

    def add(self, item, count):
        |{}|

def other():
    local = 1
"""


def test_inside_a_class(repository):
    def check(line):
        return problems(CLASS.format(line), repository)

    assert check("self.items.append(item * count)") == []
    assert check("return self.limit") == []
    assert check("self.fresh = 1") == []
    assert check("self.itmes.append(item)") == [("attribute", "itmes")]
    assert check("return limit") == [("name", "limit")]
    assert check("return local") == [("name", "local")]
    assert check("self.add(item)") == [("arity", "self.add")]


RESPONSE = """
class Response:
    def __init__(self, text):
        self.text = text
        self.answer = Answer()
        assert isinstance(self.text, str)

    def __setstate__(self, state):
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def first(self) -> Answer:
        return self.answer

    def follow(self, other: Response, anything: object):
        |{}|

class Answer:
    status = 200

class Elsewhere:
    def redirect(self):
        return 1
"""


def test_attributes_of_classes_in_the_repository(repository):
    def check(line):
        return problems(RESPONSE.format(line), repository)

    for right in ("self.answer.status", "self.first.status", "other.text", "anything.whatever"):
        assert check(f"return {right}") == []
    assert check("return self._redirect_location(other)") == [("attribute", "_redirect_location")]
    assert check("return self.redirect()") == [("attribute", "redirect")]
    assert check("return other.location") == [("attribute", "location")]
    assert check("return self.answer.code") == [("attribute", "code")]
    assert check("return self.first.code") == [("attribute", "code")]
    assert check("if hasattr(self, 'late'): return self.late") == []


def test_unsaved_files_count(repository):
    workspace = Workspace(repository)
    goods = repository / "shop" / "goods.py"
    workspace.open(goods, goods.read_text() + "def fresh(): pass\n")
    syntax = Syntax.of("from shop.goods import fresh\n", "python")
    path = repository / "a.py"
    assert not problems_in(syntax, start=0, end=len(syntax.content), path=path, modules=Modules(workspace))


@pytest.mark.parametrize(
    "marked",
    [
        "def f(a, b:\n    return |a + b|\n",
        "class A\n    def f(self, value):\n        |print(value)|\n",
        "from anything_at_all import *\n|whatever()|\n",
        "globals()['x'] = 1\n|print(x)|\n",
        "x = isinstance(y, str) and |foo(|",
        "def f(a):\r\n\treturn |a|\r\n",
    ],
)
def test_what_is_not_sure_counts_as_right(marked, repository):
    assert [name for kind, name in problems(marked, repository) if name in ("a", "b", "value", "whatever", "x")] == []


@pytest.mark.parametrize("folder", ["json", "concurrent"])
def test_the_standard_library_resolves(folder):
    workspace = Workspace(LIBRARY / folder)
    modules = Modules(workspace)
    paths = sorted((LIBRARY / folder).rglob("*.py"))
    assert paths
    for path in paths:
        text = workspace.text_of(path)
        assert text is not None
        syntax = Syntax.of(text, "python")
        found = problems_in(syntax, start=0, end=len(syntax.content), path=path, modules=modules)
        assert [problem.reason for problem in found if "win32" not in problem.reason] == [], path


def test_what_type_and_super_make_is_not_known(repository):
    assert problems("Code = type(compile)\n\n\ndef f(a: Code):\n    |return a.co_name|\n", repository) == []
    assert problems("class A(object):\n    x = 1\n\n\n|A().y|\n", repository) == [("attribute", "y")]
