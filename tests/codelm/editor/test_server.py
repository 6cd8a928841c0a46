import sys
from contextlib import suppress

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

import forked
from editor_scene import editing
from generation_scene import needs_smollm2
from tonggan.codelm.search.opening import open_index

pytestmark = needs_smollm2
NAME = "源 码 😀/geo metry.py"
CODE = """import math


def area(radius):
    return math.pi * radius ** 2


def volume(radius):
    return math.pi * radius ** 3


def circumference(radius):
    return math.
"""
CURSOR = (12, 16)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("editor") / "a repository 仓库"
    (root / NAME).parent.mkdir(parents=True)
    (root / NAME).write_text(CODE, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def editor(repository, tmp_path_factory):
    history = tmp_path_factory.mktemp("history") / "history.sqlite"
    with editing(repository, "--no-index", "--history", str(history)) as editor:
        editor.until_said("Completion is ready")
        yield editor


def test_the_answer_to_initialize_comes_at_once_and_silence_until_the_model_is_there(repository, tmp_path):
    with editing(repository, "--no-index", "--history", str(tmp_path / "history.sqlite")) as editor:
        assert not editor.log  # which says when the model is there
        editor.open(NAME, CODE)
        # Where this process had to wait, the model may have come first.
        assert editor.items(NAME, CURSOR) == [] or editor.log
    capabilities = editor.capabilities
    assert capabilities.position_encoding in (None, types.PositionEncodingKind.Utf16)
    assert capabilities.inline_completion_provider is not None
    assert capabilities.completion_provider is None
    assert capabilities.text_document_sync.change == types.TextDocumentSyncKind.Incremental
    assert capabilities.execute_command_provider.commands == ("tonggan.accepted",)


def test_a_suggestion_for_an_unsaved_buffer(editor):
    editor.open(NAME, CODE)
    (item,) = editor.items(NAME, CURSOR)
    assert item.insert_text.startswith("pi * radius")
    assert item.range == types.Range(types.Position(*CURSOR), types.Position(*CURSOR))
    assert item.command.command == "tonggan.accepted"


def test_positions_count_utf16_after_incremental_edits(editor):
    editor.open("units.py", "\x0c# 😀 pi\r\n" + CODE.replace("\n", "\r\n"))
    editor.edit("units.py", (0, 5), (0, 5), " 😀中")
    editor.edit("units.py", (13, 4), (13, 16), "volume('😀', math.")
    (item,) = editor.items("units.py", (13, 22), invoked=True)[:1]
    assert item.insert_text.startswith("pi")
    assert item.range.start == types.Position(13, 22)


def test_what_is_selected_in_an_open_list_is_taken_up(editor):
    editor.open("selected.py", CODE.replace("math.\n", "math.p\n"))
    start, cursor = types.Position(12, 16), types.Position(12, 17)
    info = types.SelectedCompletionInfo(range=types.Range(start, cursor), text="pi")
    (item,) = editor.items("selected.py", (12, 17), selected=info)[:1]
    assert item.insert_text.startswith("pi")
    assert item.range == types.Range(start, cursor)
    unlike = types.SelectedCompletionInfo(range=types.Range(start, cursor), text="tau")
    assert editor.items("selected.py", (12, 17), selected=unlike) == []


def test_hover_tells_why(editor):
    editor.open("why.py", CODE)
    (item,) = editor.items("why.py", CURSOR, invoked=True)
    place = types.TextDocumentIdentifier(editor.uri("why.py"))
    hover = editor.wait(editor.client.text_document_hover_async(types.HoverParams(place, types.Position(12, 3))))
    assert hover.contents.value.startswith(f"**Tonggan** suggested `{item.insert_text}`, ")
    nothing = editor.wait(editor.client.text_document_hover_async(types.HoverParams(place, types.Position(0, 0))))
    assert nothing is None


def test_an_edit_cancels_what_is_being_written(editor):
    """Twenty keys, each with a wish: only the last one is answered, and soon."""
    editor.open("typing.py", CODE)
    wishes = []
    for number, key in enumerate("pi * radius + 1 "):
        editor.edit("typing.py", (12, 16 + number), (12, 16 + number), key)
        wishes.append(editor.ask("typing.py", (12, 17 + number)))
    answers = editor.together(wishes)
    assert sum(bool(answer.items) for answer in answers) < len(answers) / 2


def test_the_client_may_cancel(editor):
    editor.open("cancel.py", CODE)
    for _ in range(5):  # An answer may be there before the wish to cancel it is read.
        wish = editor.ask("cancel.py", CURSOR)
        editor.client.cancel_request(types.CancelParams(editor.last_request))
        with suppress(JsonRpcException):
            editor.wait(wish)
            continue
        break
    else:
        pytest.fail("no request was cancelled")
    assert editor.items("cancel.py", CURSOR)


def test_a_file_deleted_under_the_editor(editor, repository):
    (repository / NAME).unlink()
    assert editor.items(NAME, CURSOR)
    document = types.TextDocumentIdentifier(editor.uri(NAME))
    editor.client.text_document_did_close(types.DidCloseTextDocumentParams(document))
    assert editor.items(NAME, CURSOR) == []
    assert editor.items("never there.py", (3, 3)) == []


def test_a_buffer_that_is_no_file(editor):
    uri = "untitled:Untitled-1"
    editor.client.text_document_did_open(
        types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, "python", 1, "x = "))
    )
    params = types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(0, 0))
    assert editor.wait(editor.client.text_document_hover_async(params)) is None
    for no_file in ("file:///a%00b.py", "file:///" + "n" * 300 + ".py"):
        params = types.HoverParams(types.TextDocumentIdentifier(no_file), types.Position(0, 0))
        assert editor.wait(editor.client.text_document_hover_async(params)) is None


def test_an_editor_without_inline_completion_gets_ordinary_items(repository, tmp_path):
    plain = types.ClientCapabilities()
    with editing(repository, "--no-index", "--history", str(tmp_path / "h.sqlite"), capabilities=plain) as editor:
        assert editor.capabilities.completion_provider is not None
        editor.until_said("Completion is ready")
        editor.open("plain.py", CODE.replace("math.\n", "math.p\n"))
        params = types.CompletionParams(types.TextDocumentIdentifier(editor.uri("plain.py")), types.Position(12, 17))
        items = editor.wait(editor.client.text_document_completion_async(params)).items
    assert items[0].text_edit.new_text.startswith("p")
    assert items[0].filter_text == items[0].text_edit.new_text
    assert items[0].text_edit.range == types.Range(types.Position(12, 16), types.Position(12, 17))


def test_search_and_symbols_know_what_is_not_saved(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path))
    (repository / "dates.py").write_text('def parse_date(text):\n    """Read a date with its time zone."""\n')
    index = open_index(repository, embedder="none")
    index.refresh()
    index.close()
    server = ["--model", "no such model", "--embedder", "none", "--history", str(tmp_path / "h.sqlite")]
    with editing(repository, *server) as editor:
        editor.until_said("No completion: ")
        editor.until_said("The previous index is ready.")
        hit = editor.request("tonggan/search", {"query": "parse a date"})[0]
        assert (hit["path"], hit["name"], hit["start_line"]) == ("dates.py", "parse_date", 1)
        editor.until_said("The index is up to date.")
        editor.open("dates.py", "def parse_moment(text):\n    return text\n")
        params = types.WorkspaceSymbolParams("parse")
        symbols = editor.wait(editor.client.workspace_symbol_async(params))
        assert [symbol.name for symbol in symbols] == ["parse_moment"]
        with pytest.raises(JsonRpcException, match="must be a text that is not empty"):
            editor.request("tonggan/search", {"query": " "})
        for wrong in ({"limit": "x"}, {"kinds": 5}, {"kinds": [{}]}, {"language": 5}):
            with pytest.raises(JsonRpcException, match=f"'{next(iter(wrong))}' must be"):
                editor.request("tonggan/search", {"query": "parse", **wrong})
        editor.open("generated.py", "def generated():\n    pass\n" * 100_000)
        names = [hit["name"] for hit in editor.request("tonggan/search", {"query": "parse generated"})]
        assert "parse_moment" in names
        assert "generated" not in names  # too long, as it would be on disk


def test_a_message_that_nobody_can_hold_is_named(tmp_path):
    message = "Content-Length: 1000000000000\r\n\r\n{}"
    done = forked.run([sys.executable, "-m", "tonggan", "code", "lsp"], cwd=tmp_path, lines=message)
    assert done.returncode == 1
    assert "got:      a message of 1,000,000,000,000 bytes" in done.stderr
    assert "batch_size" not in done.stderr
