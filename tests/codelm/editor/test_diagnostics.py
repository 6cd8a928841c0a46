import os

import pytest

pytest.importorskip("pygls")

from lsprotocol import types

from editor_scene import editing
from review_scene import written

NAME = "a 😀.py"
TEXT = 'def f(a, b=3):\n    """F 😀.\n\n    Args:\n        a: one.\n        b: 😀 two. Default: {}.\n    """\n'


@pytest.fixture
def editor(tmp_path):
    root = tmp_path / "repository"
    root.mkdir()
    (root / NAME).write_text(TEXT.format(3), encoding="utf-8")
    (root / "logo.txt").write_text("x")
    with editing(root, "--no-index", "--history", str(tmp_path / "history.sqlite")) as editor:
        yield editor


def test_findings_come_after_a_pause_and_go_when_mended(editor):
    uri = editor.uri(NAME)
    editor.open(NAME, TEXT.format(4))
    editor.until(lambda: editor.diagnostics.get(uri))
    (told,) = editor.diagnostics[uri]
    assert told.message.startswith("'b' is said to default to 4, but f has 3\n")
    assert (told.code, told.source) == ("docstring-default", "tonggan")
    assert told.range == types.Range(types.Position(5, 28), types.Position(5, 29))  # an emoji is two units
    params = types.CodeActionParams(
        types.TextDocumentIdentifier(uri), told.range, types.CodeActionContext(diagnostics=[told])
    )
    (action,) = editor.wait(editor.client.text_document_code_action_async(params))
    (edit,) = action.edit.changes[uri]
    assert (action.title, edit.new_text, edit.range) == ("Write 3", "3", told.range)
    editor.edit(NAME, (5, 28), (5, 29), "3")
    editor.until(lambda: editor.diagnostics[uri] == [])
    assert not editor.wait(editor.client.text_document_code_action_async(params))


def test_closing_takes_back_what_was_told(editor):
    uri = editor.uri(NAME)
    editor.open(NAME, TEXT.format(4))
    editor.open(NAME, TEXT.format(4))
    editor.until(lambda: editor.diagnostics.get(uri))
    editor.client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))
    editor.until(lambda: editor.diagnostics[uri] == [])


def test_rules_of_the_whole_repository_are_told_later_of_what_the_file_is_then(tmp_path):
    root = tmp_path / "repository"
    root.mkdir()
    for number in range(10):
        (root / f"m{number}.py").write_text("import numpy as np\nprint(np)\n")
    with editing(root, "--no-index", "--history", str(tmp_path / "history.sqlite")) as editor:
        uri = editor.uri("b.py")
        (root / "b.py").write_text("")
        editor.open("b.py", "import numpy as nu\nprint(nu)\n")
        editor.edit("b.py", (0, 0), (0, 0), "\n\n")
        # Beside a busy program the text may be reviewed as it was opened, before the edit is there.
        editor.until(lambda: [each.range.start.line for each in editor.diagnostics.get(uri, ())] == [2])
        (told,) = editor.diagnostics[uri]
        assert told.code == "habit-import"


def test_a_rule_that_raises_is_named_once(tmp_path, monkeypatch):
    rules = """
        from tonggan.codelm.review.registry import rule

        @rule("never-ready")
        def never(repository):
            \"\"\"Nothing. Known false alarms: none.\"\"\"
            yield from repository.no_such_attribute
    """
    points, information = "[tonggan.parts]\nnever = never_ready\n", "never_ready-1.0.dist-info"
    package = {
        f"{information}/METADATA": "Name: never-ready\nVersion: 1.0\n",
        f"{information}/entry_points.txt": points,
    }
    paths = [str(written(tmp_path / "package", package | {"never_ready.py": rules})), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    root = written(tmp_path / "repository", {NAME: TEXT.format(3)})
    with editing(root, "--no-index", "--history", str(tmp_path / "history.sqlite")) as editor:
        uri = editor.uri(NAME)
        editor.open(NAME, TEXT.format(4))
        editor.until(lambda: editor.diagnostics.get(uri))
        editor.edit(NAME, (5, 28), (5, 29), "3")
        editor.until(lambda: editor.diagnostics[uri] == [])
        said = [line for line in editor.log if "never-ready" in line]
    (line,) = said
    assert line.endswith("'Repository' object has no attribute 'no_such_attribute'")
