import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tonggan.codelm.completion.cache import SuggestionCache
from tonggan.codelm.completion.document import Suggestion

PATH = Path("/a.py")


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
