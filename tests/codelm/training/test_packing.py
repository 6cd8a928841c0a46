"""Rows hold whole repositories' neighbors under their names, fit, and lose nothing."""

import numpy as np
import pytest

from code_training_scene import base_folder, small_corpus
from tonggan.codelm.completion.prompt import PromptWriter
from tonggan.codelm.training.packing import Packer
from tonggan.grammars import title_line


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packing")
    return small_corpus(folder, base=base_folder(folder / "base"))


def rows(corpus, *, length, seed=0):
    packer = Packer(corpus.tokenizer, length=length, fill=None)
    return list(packer.rows(corpus, range(len(corpus.documents)), generator=np.random.default_rng(seed)))


@pytest.mark.parametrize("length", [96, 512, 4096])
def test_rows_fit_and_hold_every_text_once(corpus, length):
    packed = rows(corpus, length=length)
    assert max(map(len, packed)) <= length
    ends = [id_ for row in packed for id_ in row if id_ == corpus.tokenizer.ends[0]]
    assert len(ends) == len(corpus.documents)
    text = "".join(corpus.tokenizer.decode(row) for row in packed)
    for document in corpus.documents:
        text = text.replace(title_line(document.name, document.language), "")
    if length == 4096:
        assert text == "".join(corpus.text(number) for number in range(len(corpus.documents)))
    assert sorted(text) == sorted("".join(corpus.text(number) for number in range(len(corpus.documents))))


def test_a_row_opens_as_the_prompts_of_completion_do(corpus):
    from pathlib import Path

    from tonggan.codelm.completion.document import Document

    writer = PromptWriter(corpus.tokenizer, infill=None, budget=512, show_following=False)
    prompt = writer.write(Document(Path("a.py"), "x = 1\n", "python"), 6, name="a.py", snippets=[], names=[])
    assert corpus.tokenizer.decode(prompt.ids).startswith(title_line("a.py", "python"))


def test_order_belongs_to_the_seed(corpus):
    assert rows(corpus, length=128) == rows(corpus, length=128)
    assert rows(corpus, length=128) != rows(corpus, length=128, seed=1)
