"""How a model is asked hangs on what it has: tokens to fill in with, a chat template, or neither."""

from __future__ import annotations

import time

import pytest

from generation_scene import engine, tokenizer
from recital_scene import EXAMPLE, SOURCE, WHAT
from tonggan.codelm.workspace import Workspace
from tonggan.codelm.writing.request import read_request
from tonggan.codelm.writing.sampling import Sampler, end_of_function
from tonggan.language.infill import InfillTokens
from tonggan.language.model import LanguageModel
from tonggan.language.tokenizer import Tokenizer

TURNS = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}<assistant>"


@pytest.fixture
def sampler(tmp_path):
    (tmp_path / "evens.py").write_text(SOURCE + "\n\nLAST = 1\n")
    (tmp_path / "helpers.py").write_text("def half(x):\n    return x / 2\n")

    def make(*, line=1, template=None, infill=None, max_length=2048, examples=(EXAMPLE,)):
        words = Tokenizer.load({**tokenizer().state(), "chat_template": template})
        model = LanguageModel(engine(max_length=max_length), words, name="tiny")
        request = read_request(WHAT, tmp_path / "evens.py", line, examples=examples)
        return Sampler(model, infill=infill, request=request, workspace=Workspace(tmp_path))

    return make


def test_a_model_without_more_continues_the_file(sampler):
    made = sampler()
    assert list(made.prompts) == ["continued"]
    text = tokenizer().decode(made.prompts["continued"].ids)
    head = SOURCE.partition("\n\n\n")[0]
    assert text == f"# evens.py\n# {WHAT}\n# {EXAMPLE}\n{head}\n   "
    new = sampler(line=8, examples=["smallest([1]) == 1"])
    assert tokenizer().decode(new.prompts["continued"].ids).endswith("# smallest([1]) == 1\ndef smallest(")


def test_a_model_that_fills_in_reads_what_follows(sampler):
    made = sampler(infill=InfillTokens(3, 4, 5))
    ids = made.prompts["filled in"].ids
    assert list(made.prompts) == ["filled in"]
    assert ids[:2] == [3, 4]
    middle = ids.index(5)
    assert tokenizer().decode(ids[2:middle]).endswith("return x\n\n\nLAST = 1\n")
    assert tokenizer().decode(ids[middle + 1 :]).startswith("# evens.py\n")


def test_a_model_with_a_template_is_asked_too(sampler):
    made = sampler(template=TURNS)
    assert list(made.prompts) == ["continued", "asked"]
    text = tokenizer().decode(made.prompts["asked"].ids)
    assert text.startswith("<user>Write the Python function largest_even of the file evens.py.\n\n" + WHAT)
    assert text.endswith("<assistant>```python\n" + SOURCE.partition("\n\n\n")[0] + "\n   ")
    assert EXAMPLE in text


def test_a_short_context_keeps_what_is_near(sampler):
    made = sampler(max_length=256)
    assert made.prompts["continued"].length <= 128
    assert tokenizer().decode(made.prompts["continued"].ids).endswith('4\n    """\n   ')
    draws = next(made.draw(1, deadline=time.monotonic() + 60))
    assert len(draws) == 1


@pytest.mark.parametrize(
    ("text", "indent", "written"),
    [
        (" return 1\n\n\ndef g", "", " return 1"),
        (" x = [\n    1,\n]\n    return x\nprint", "", " x = [\n    1,\n]\n    return x"),
        (' x = """\nno end\n"""\n    return x\n```', "", ' x = """\nno end\n"""\n    return x'),
        (" return 1\n\n    def g", "    ", " return 1"),
        (" if x:\n        return 1", "", None),
    ],
)
def test_a_function_ends_where_lines_are_indented_less(text, indent, written):
    end = end_of_function(text, indent=indent)
    assert (None if end is None else text[:end].rstrip()) == written
