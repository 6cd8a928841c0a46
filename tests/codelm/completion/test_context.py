import pytest

from tonggan.codelm.completion.context import ContextFinder
from tonggan.codelm.completion.document import Document
from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.workspace import Workspace

GOODS = """class Item:
    '''A thing.'''
    def __init__(self, name):
        self.name = name
    def sell(self):
        pass
"""
MAIN = "from goods import Item\n\n\ndef main():\n    item = Item(|\n"


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "goods.py").write_text(GOODS)
    return Workspace(tmp_path)


def find(workspace, text, *, name="main.py", language="python"):
    offset = text.index("|")
    document = Document(workspace.root / name, text.replace("|", "", 1), language)
    syntax = Syntax.of(document.text, language)
    return ContextFinder(workspace, Modules(workspace)).find(document, offset, syntax=syntax)


def test_definitions_of_what_is_imported(workspace):
    (snippet,) = find(workspace, MAIN)
    assert snippet.path == workspace.root / "goods.py"
    assert snippet.text == "class Item:\n    def __init__(self, name):\n    def sell(self):"
    assert (snippet.start_line, snippet.end_line) == (1, 6)
    assert snippet.reason == "outline of Item, which is used near the cursor"


def test_what_a_name_stands_for_is_told_by_its_own_name(workspace):
    (snippet,) = find(workspace, "from goods import Item as Thing\n\n\nthing = Thing()\nthing.|\n")
    assert snippet.reason == "outline of Item, which is used near the cursor as Thing"


def test_of_a_long_function_the_lines_that_are_shown_are_told(workspace):
    body = "".join(f"    total += {number}\n" for number in range(40))
    (workspace.root / "sums.py").write_text(f"def add_up(total):\n{body}    return total\n")
    (snippet,) = find(workspace, "from sums import add_up\n\n\nadd_up(|\n")
    assert (snippet.start_line, snippet.end_line) == (1, 14)
    assert snippet.text.count("\n") == 13


def test_a_call_that_has_just_begun_is_no_new_name(workspace):
    comment = "# a long way\n" * 60
    snippet, *_ = find(workspace, f"from goods import Item\n{comment}\ndef main(name):\n    item = Item(name, |\n")
    assert snippet.reason == "outline of Item, which is used near the cursor"


def test_what_is_outside_of_the_repository_is_left_out(workspace):
    assert find(workspace, "import json\n\nx = json.dumps(|\n") == []


def test_lines_of_open_files_that_are_alike(workspace):
    lines = [f"unrelated_{number} = {number}" for number in range(40)]
    lines[20:22] = ["def charge(customer, invoice):", "    customer.pay(invoice.amount, currency=invoice.currency)"]
    workspace.open(workspace.root / "other.py", "\n".join(lines))
    workspace.open(workspace.root / "page.html", "\n".join(lines))
    text = "def refund(customer, invoice):\n    customer.give(invoice.amount, currency=|\n"
    (snippet,) = find(workspace, text)
    assert snippet.path.name == "other.py"
    assert "customer.pay" in snippet.text
    assert snippet.reason.startswith("like the lines at the cursor (Jaccard 0.")
    assert snippet.start_line <= 21 <= snippet.end_line


def test_recent_edits(workspace):
    path = workspace.root / "edited.py"
    lines = [f"line_{number} = {number}" for number in range(60)]
    workspace.open(path, "\n".join(lines))
    lines[30] = "line_30 = 'changed'"
    workspace.change(path, "\n".join(lines))
    (snippet,) = find(workspace, "x = |\n")
    assert (snippet.reason, snippet.start_line, snippet.end_line) == ("edited recently", 25, 36)


def test_an_edit_whose_lines_are_gone(workspace):
    path = workspace.root / "edited.py"
    lines = [f"line_{number} = {number}" for number in range(60)]
    workspace.open(path, "\n".join(lines))
    workspace.change(path, "\n".join([*lines[:50], "line_50 = 'changed'"]))
    workspace.open(path, "\n".join(lines[:5]))
    assert find(workspace, "x = |\n") == []


def test_snippets_of_files_with_windows_line_ends(workspace):
    (workspace.root / "goods.py").write_text(GOODS.replace("\n", "\r\n"), newline="")
    path = workspace.root / "edited.py"
    workspace.open(path, "a = 1\r\nb = 2\r\n")
    workspace.change(path, "a = 1\r\nb = 3\r\n")
    definition, edited = find(workspace, MAIN)
    assert definition.text == "class Item:\n    def __init__(self, name):\n    def sell(self):"
    assert edited.text == "a = 1\nb = 3\n"


def test_nothing_near_the_cursor_and_nothing_twice(workspace):
    path = workspace.root / "main.py"
    text = MAIN.replace("|", "")
    workspace.open(path, text)
    workspace.change(path, text + "x = 1\n")
    found = find(workspace, MAIN)
    assert [snippet.path.name for snippet in found] == ["goods.py"]


def test_files_that_vanish(workspace):
    path = workspace.root / "gone.py"
    workspace.open(path, "a = 1\n")
    workspace.change(path, "a = 2\n")
    workspace.close(path)
    assert find(workspace, "x = |\n") == []
