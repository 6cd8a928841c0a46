"""Seconds of the processor that tests take, in their own process and in those that they start: ``--cpu-times 30``.

Seconds on the clock say little beside other work. What a fixture makes is counted for the fixture, not for the test
that was the first to ask for it; a process counts once it has ended.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

import forked


class _Clock:
    """Where the processor's time stood when it was last asked for, and what fixtures have taken since."""

    def __init__(self) -> None:
        self._before = _seconds()
        self._fixtures: dict[str, float] = {}

    def enter(self, fixture: str, seconds: float) -> None:
        self._fixtures[fixture] = self._fixtures.get(fixture, 0.0) + seconds

    def read(self) -> tuple[float, dict[str, float]]:
        """Seconds since the last reading without those of fixtures, and theirs."""
        now, fixtures = _seconds(), self._fixtures
        seconds = now - self._before - sum(fixtures.values())
        self._before, self._fixtures = now, {}
        return seconds, fixtures


def _seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + forked.seconds()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-times", type=int, metavar="N", help="show what takes most of the processor's time")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.cpu_times:
        config.pluginmanager.register(_Times())


class _Times:
    """In processes that run tests it measures, in the one that tells of them it adds up what comes with reports."""

    def __init__(self) -> None:
        self._clock: _Clock | None = None
        self._of_tests: Counter[str] = Counter()
        self._of_files: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None]:
        self._clock = self._clock or _Clock()
        yield

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, object, object]:
        before = _seconds()
        try:
            return (yield)
        finally:
            assert self._clock is not None
            self._clock.enter(f"{fixturedef.baseid}::{fixturedef.argname}", _seconds() - before)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, pytest.TestReport]:
        report: pytest.TestReport = yield
        assert self._clock is not None
        report.cpu_times = self._clock.read()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        seconds, fixtures = getattr(report, "cpu_times", (0.0, {}))
        self._of_tests[report.nodeid] += seconds
        self._of_tests.update({f"fixture {name}": value for name, value in fixtures.items()})
        self._of_files[report.location[0]] += seconds + sum(fixtures.values())

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        number = config.option.cpu_times
        terminalreporter.section(f"seconds of the processor: {sum(self._of_files.values()):.0f}")
        for counts in (self._of_files, self._of_tests):
            terminalreporter.line("")
            for name, seconds in counts.most_common(number):
                terminalreporter.line(f"{seconds:7.2f} {name}")
