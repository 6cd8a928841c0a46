"""Texts cut in three come back whole, in the shares and orders that were asked for."""

import numpy as np
import pytest

from tonggan.codelm.training.fill_in_the_middle import FillInTheMiddle
from tonggan.language.infill import InfillTokens
from tonggan.language.tokenizer import Tokenizer

TEXT = "def area(width, height):\n    return width * height\n"


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train([TEXT], vocab_size=290)


def encoded(tokenizer, *, rate, count):
    infill = InfillTokens(1000, 1001, 1002)
    generator = np.random.default_rng(0)
    fill = FillInTheMiddle(tokenizer, infill, rate=rate)
    return [fill.encode(TEXT, opening="# area.py\n", generator=generator) for _ in range(count)]


def test_nothing_is_lost_and_the_end_follows_the_middle(tokenizer):
    orders = []
    for ids in encoded(tokenizer, rate=1.0, count=200):
        assert (ids[0], ids[-1]) == (1000, tokenizer.ends[0])
        suffix, middle = ids.index(1001), ids.index(1002)
        before, after, between = ids[1:suffix], ids[suffix + 1 : middle], ids[middle + 1 : -1]
        orders.append(bool(before))  # the file's name stands before what is cut, so no prefix is empty
        parts = [before, between, after] if before else [between, after]
        assert "".join(tokenizer.decode(part) for part in parts) == "# area.py\n" + TEXT
    assert 0.4 < np.mean(orders) < 0.6


def test_the_rest_stays_as_it_is(tokenizer):
    cut = [ids is not None for ids in encoded(tokenizer, rate=0.5, count=400)]
    assert 0.43 < np.mean(cut) < 0.57
    assert encoded(tokenizer, rate=0.0, count=5) == [None] * 5


def test_the_same_seed_cuts_at_the_same_places(tokenizer):
    assert encoded(tokenizer, rate=0.5, count=20) == encoded(tokenizer, rate=0.5, count=20)
