import threading
import time
from dataclasses import replace

import pytest

from generation_scene import language_model
from tonggan.codelm.completion.completer import Completer
from tonggan.codelm.completion.config import CompletionConfig
from tonggan.codelm.completion.document import Snippet, Suggestion
from tonggan.codelm.editor.answers import completion_items, hover_text, inline_items
from tonggan.codelm.editor.assistant import Assistant, Offer
from tonggan.codelm.editor.history import History
from tonggan.codelm.workspace import Workspace
from tonggan.errors import ConfigError
from tonggan.progress import Progress

TEXT = "def add(a, b):\n    return "


class Lines(Progress):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


class Known(Completer):
    """A completer that knows what comes, so that a test does."""

    found: tuple[Suggestion, ...] = ()

    def complete(self, _document, offset, **_options):
        return [replace(each, start=offset, end=offset) for each in self.found]


@pytest.fixture
def desk(tmp_path):
    """An assistant with a clock, a file and a completer that is there at once."""
    (tmp_path / "a.py").write_text(TEXT)
    desk = Lines()
    desk.now = 1000.0
    desk.path = (tmp_path / "a.py").resolve()
    workspace = Workspace(tmp_path)
    desk.completer = Known(language_model(), workspace=workspace, config=CompletionConfig(threshold=0.3))
    history = History(tmp_path / "history.sqlite", text_of=workspace.text_of, clock=lambda: desk.now)
    desk.assistant = Assistant(
        workspace, history=history, open_completer=lambda: desk.completer, indexing=None, progress=desk
    )
    desk.assistant._load()
    yield desk
    desk.assistant.close()


def ask(desk, text=TEXT, *, invoked=False):
    return desk.assistant.complete(desk.assistant.begin(desk.path, text, len(text)), invoked=invoked)


def test_typing_gets_the_best_that_is_sure_and_a_wish_gets_all(desk):
    desk.completer.found = (Suggestion("a + b", 0, 0, 0.5), Suggestion("a - b", 0, 0, 0.2))
    assert [each.suggestion.text for each in ask(desk)] == ["a + b"]
    assert [each.suggestion.text for each in ask(desk, invoked=True)] == ["a + b", "a - b"]
    desk.completer.found = (Suggestion("a + b", 0, 0, 0.2),)
    assert ask(desk) == []


def test_a_suggestion_that_is_typed_along_is_one(desk):
    desk.completer.found = (Suggestion("a + b", 0, 0, 0.5),)
    (first,) = ask(desk)
    desk.completer.found = (Suggestion("+ b", 0, 0, 0.7),)
    (second,) = ask(desk, TEXT + "a ")
    assert second.number == first.number
    desk.completer.found = (Suggestion("- b", 0, 0, 0.7),)
    (third,) = ask(desk, TEXT + "a ")
    assert third.number != first.number


def test_what_is_never_kept_is_shown_less(desk):
    desk.completer.found = (Suggestion("a + b", 0, 0, 0.35),)
    assert ask(desk)
    for number in range(40):
        ask(desk, f"{TEXT}{number}")
        desk.now += 2
        desk.assistant.changed(desk.path)
    desk.assistant._calibrate(desk.completer)
    assert ask(desk) == []
    assert ask(desk, invoked=True)


def test_acceptance_and_survival_reach_the_history(desk):
    desk.completer.found = (Suggestion("a + b", 0, 0, 0.5),)
    (offer,) = ask(desk)
    desk.assistant.workspace.open(desk.path, TEXT + "a + b\n")
    desk.assistant.accept(offer.number)
    desk.assistant.accept(12345)
    desk.now += 30
    desk.assistant.history.look()
    (outcome,) = desk.assistant.history.outcomes()
    assert outcome.accepted
    assert outcome.survived == {30: 1.0}


def test_an_edit_or_a_newer_wish_cancels(desk):
    first = desk.assistant.begin(desk.path, TEXT, 3)
    second = desk.assistant.begin(desk.path, TEXT, 4)
    assert first.is_cancelled()
    assert not second.is_cancelled()
    desk.assistant.changed(desk.path)
    assert second.is_cancelled()
    assert desk.assistant.complete(second, invoked=True) == []


def test_why(desk):
    source = Snippet(desk.path, 3, 9, "def plus(): ...", "similar code", 0.62)
    desk.completer.found = (Suggestion("a + b", 0, 0, 0.5, (source,), ("bracket closed",)),)
    ask(desk)
    offer = desk.assistant.why(desk.path, len(TEXT) - 2)
    assert offer is not None
    assert hover_text(offer, name_of=desk.assistant.workspace.name_of).split("\n") == [
        "**Tonggan** suggested `a + b`, 50% sure.",
        "",
        "It had read, beside this file:",
        "- `a.py:3-9`: similar code (0.62)",
        "- bracket closed",
    ]
    desk.assistant.workspace.open(desk.path, TEXT + "a + b\n")
    assert desk.assistant.why(desk.path, len(TEXT)) is not None
    assert desk.assistant.why(desk.path, 2) is None


def test_a_model_that_cannot_be_opened_leaves_the_rest_working(tmp_path):
    def fail():
        raise ConfigError("language model", got="'nothing'", expected="a model", remedy="Check the path")

    said = Lines()
    workspace = Workspace(tmp_path)
    history = History(":memory:", text_of=workspace.text_of)
    assistant = Assistant(workspace, history=history, open_completer=fail, indexing=None, progress=said)
    before = threading.active_count()
    assistant.start()
    while not said.lines:
        pass
    assert said.lines == ["No completion: language model: got 'nothing', expected a model. Check the path."]
    assert assistant.complete(assistant.begin(tmp_path / "a.py", "x", 1), invoked=True) == []
    assert assistant.index() is None
    assistant.close()
    assert threading.active_count() <= before


def test_items_of_both_kinds():
    text = "😀 = pr\n"
    offer = Offer(7, None, text, Suggestion("int(1)", 6, 6, 0.5))
    (item,) = inline_items([offer], before="pr", command="done")
    assert (item.insert_text, item.command.arguments) == ("print(1)", [7])
    assert (item.range.start.character, item.range.end.character) == (5, 7)
    (plain,) = completion_items([offer], command="done")
    assert (plain.label, plain.filter_text, plain.text_edit.new_text) == ("print(1)",) * 3
    assert plain.text_edit.range == item.range
    over_lines = Offer(8, None, "a\nb", Suggestion("c", 0, 3, 0.5))
    assert inline_items([over_lines], before="", command="done") == []


def test_items_in_a_line_of_data_take_no_time():
    text = "x" * 100_000
    offer = Offer(7, None, text, Suggestion("y", len(text), len(text), 0.5))
    started = time.process_time()
    completion_items([offer], command="done")
    assert time.process_time() - started < 1
