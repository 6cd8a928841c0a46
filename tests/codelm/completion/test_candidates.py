"""How candidates are judged and ordered; the decoder is one that writes what a test tells it, the checks are real."""

import math

import pytest

from generation_scene import engine, tokenizer
from tonggan.codelm.completion.candidates import CandidateWriter, Place
from tonggan.codelm.completion.config import CompletionConfig
from tonggan.codelm.completion.decoding import Draft
from tonggan.codelm.completion.document import Document
from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.completion.prompt import CodePrompt
from tonggan.codelm.completion.stops import extent_of
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.workspace import Workspace
from tonggan.language.model import LanguageModel

PROMPT = CodePrompt([1], "", ())


class Told:
    """Writes the texts of ``drafts`` one after another."""

    def __init__(self, drafts, *, following=()):
        self.drafts, self.following = list(drafts), dict(following)
        self.tokenizer = tokenizer()

    def begin(self, *_, **__):
        """Nothing is read."""

    def write(self, *_, cancelled, **__):
        return None if cancelled() else self.drafts.pop(0)

    def score(self, tokens, _):
        return self.following[self.tokenizer.decode(tokens)]


def draft(text, *, probability=0.9, is_complete=True):
    """One token for each character, each of the same probability, with one runner-up."""
    pair = ((1, math.log(probability)), (2, math.log(1 - probability)))
    return Draft(
        text=text,
        tokens=(1,) * len(text),
        logprobs=(math.log(probability),) * len(text),
        ends=tuple(range(1, len(text) + 1)),
        runners_up=(pair,) * len(text),
        is_complete=is_complete,
    )


def candidates(marked, drafts, root, *, following=(), cancelled=lambda: False, **settings):
    offset = marked.index("|")
    before, after = marked[:offset], marked[offset + 1 :]
    document = Document(root / "main.py", before + after, "python")
    syntax = Syntax.of(document.text, "python")
    extent = extent_of(document.text, offset, language="python", multiline="never", syntax=syntax)
    model = LanguageModel(engine(), tokenizer(), name="tiny")
    config = CompletionConfig(**settings)
    writer = CandidateWriter(model, config=config, modules=Modules(Workspace(root)), can_infill=False)
    writer._decoder = Told(drafts, following=following)
    return writer.write(PROMPT, Place(document, before, after, extent, syntax), cancelled=cancelled), writer._decoder


def test_a_sure_and_sound_text_is_the_only_one(tmp_path):
    found, decoder = candidates("total = 1\nprint(|", [draft("total)"), draft("other")], tmp_path)
    assert [each.text for each in found] == ["total)"]
    assert found[0].confidence == pytest.approx(0.9)
    assert [each.text for each in decoder.drafts] == ["other"]


def test_an_unsure_text_is_compared_with_others_and_told_once(tmp_path):
    drafts = [draft("total", probability=0.5), draft("total", probability=0.5), draft("totals[0]", probability=0.6)]
    found, _ = candidates("total = 1\ntotals = []\nx = |\n", drafts, tmp_path, check_suffix=False)
    assert [each.text for each in found] == ["totals[0]", "total"]


def test_a_name_that_cannot_resolve_halves_the_confidence_and_goes_where_another_stays(tmp_path):
    drafts = [draft("totl", probability=0.9), draft("total", probability=0.4), draft("totl2", probability=0.9)]
    found, _ = candidates("total = 1\nx = |\n", drafts, tmp_path)
    assert [each.text for each in found] == ["total"]
    alone, _ = candidates("total = 1\nx = |\n", [draft("totl")], tmp_path, num_candidates=1)
    assert [each.text for each in alone] == ["totl"]
    assert alone[0].confidence == pytest.approx(0.45)
    assert "totl" in alone[0].notes[-1]


def test_a_text_that_breaks_the_file_is_left_out(tmp_path):
    drafts = [draft("1 +* 2"), draft("1 + 2", probability=0.5), draft("   ")]
    found, _ = candidates("x = |\n", drafts, tmp_path)
    assert [each.text for each in found] == ["1 + 2"]


def test_of_two_texts_the_one_that_what_follows_joins_comes_first(tmp_path):
    drafts = [draft("first", probability=0.5), draft("second", probability=0.45)]
    following = {"first": -6.0, "second": -1.0}
    marked = "first = second = 1\nx = |\ny = 2\n"
    found, _ = candidates(marked, drafts, tmp_path, following=following, num_candidates=2)
    assert [each.text for each in found] == ["second", "first"]


def test_a_text_cut_for_want_of_room_ends_with_a_whole_word(tmp_path):
    found, _ = candidates(
        "total = 1\nx = |\n", [draft("total + tot", is_complete=False)], tmp_path, num_candidates=1, check_syntax=False
    )
    assert [each.text for each in found] == ["total +"]


def test_cancelled_there_is_no_answer(tmp_path):
    found, _ = candidates("x = |\n", [draft("1")], tmp_path, cancelled=lambda: True)
    assert found is None
