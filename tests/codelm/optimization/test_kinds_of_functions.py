"""Generators, coroutines, methods and randomness are compared; what cannot be compared is named."""

from __future__ import annotations

import pytest

from tonggan.codelm.optimization import optimize

KINDS = """\
import functools
import random
import threading
import time

COUNT = 0


def generator(items, known):
    for item in items:
        if item in known:
            yield item
    return len(known)


async def coroutine(items, known):
    return [item for item in items if item in known]


async def stream(items, known):
    for item in items:
        if item in known:
            yield item


def shuffled(items, known):
    random.shuffle(items)
    return [item for item in items if item in known]


def printed(items, known):
    print(len([item for item in items if item in known]))


class Basket:
    def __init__(self, known):
        self.known = known
        self.num_calls = 0

    def common(self, items):
        known = self.known
        self.num_calls += 1
        return [item for item in items if item in known]

    @classmethod
    def of(cls, items, known):
        return cls([item for item in items if item in known])

    @staticmethod
    def plain(items, known):
        return [item for item in items if item in known]


class Loud(Basket):
    def common(self, items):
        known = super().__dict__ and __class__.__name__ and self.known
        return [item for item in items if item in known] + super().common(items)


def timed(items, known):
    return [item for item in items if item in known], time.perf_counter()


@functools.cache
def cached(items, known):
    return [item for item in items if item in known]


def counted(items, known):
    global COUNT
    COUNT += 1
    return [item for item in items if item in known]


def locked(items, lock):
    return [item for item in items if item in items]


def drawn(items, known):
    return [item for item in items if item in known]


def opened(items, known):
    with open("x.txt", "w") as file:
        file.write("x")
    return [item for item in items if item in known]


def recursive(n):
    return n if n < 2 else recursive(n - 1) + recursive(n - 2)
"""
TESTS = """\
import asyncio
import os
import threading

import pytest

import kinds

ITEMS, KNOWN = list(range(300)), list(range(200, 500))


def test_all():
    assert list(kinds.generator(ITEMS, KNOWN)) == ITEMS[200:]
    assert asyncio.run(kinds.coroutine(ITEMS, KNOWN)) == ITEMS[200:]

    async def collected():
        return [item async for item in kinds.stream(ITEMS, KNOWN)]

    assert asyncio.run(collected()) == ITEMS[200:]
    kinds.shuffled(list(ITEMS), KNOWN)
    kinds.printed(ITEMS, KNOWN)
    assert kinds.Basket(KNOWN).common(ITEMS) == ITEMS[200:]
    assert kinds.Loud(KNOWN).common(ITEMS) == ITEMS[200:] * 2
    assert kinds.Basket.of(ITEMS, KNOWN).known == ITEMS[200:]
    assert kinds.Basket.plain(ITEMS, KNOWN) == ITEMS[200:]
    kinds.timed(ITEMS, KNOWN)
    kinds.cached(tuple(ITEMS), tuple(KNOWN))
    kinds.counted(ITEMS, KNOWN)
    kinds.locked(ITEMS, threading.Lock())
    kinds.drawn((item for item in ITEMS), KNOWN)
    kinds.opened(ITEMS, KNOWN)
    assert kinds.recursive(16) == 987


@pytest.mark.parametrize("number", range(14))
def test_flaky(number):
    assert os.urandom(1)[0] % 2


def test_fails():
    assert kinds.recursive(3) == 7
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "kinds.py").write_text(KINDS)
    (folder / "test_kinds.py").write_text(TESTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tonggan.codelm.optimization.optimizing._MOST_FUNCTIONS", 30)
        return optimize(str(folder / "kinds.py"))


@pytest.mark.parametrize(
    "name",
    ["generator", "coroutine", "stream", "shuffled", "printed", "Basket.common", "Basket.of", "Basket.plain",
     "Loud.common", "recursive"],
)  # fmt: skip
def test_these_are_proposed(report, name):
    proposals = {proposal.function.name: proposal for proposal in report.proposals}
    assert name in proposals, [why for place, why in report.reasons.items() if place.endswith(f" {name}")]
    assert proposals[name].compared["derived"] > 10 or name == "recursive"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("timed", "not do the same twice"),
        ("cached", "decorated with functools.cache"),
        ("counted", "global"),
        ("locked", "cannot be copied"),
        ("drawn", "cannot be copied"),
        ("opened", "opens files"),
    ],
)
def test_these_are_named(report, name, reason):
    reasons = {place.split()[-1]: said for place, said in {**report.reasons, **report.target.problems}.items()}
    assert reason in reasons[name]


def test_tests_that_change_by_themselves_are_named_and_not_counted(report):
    assert report.flaky
    assert all("test_flaky" in name for name in report.flaky)
    assert all("test_fails" in name or "test_flaky" in name for name in report.failed)
    assert any("test_fails" in name for name in report.failed)
