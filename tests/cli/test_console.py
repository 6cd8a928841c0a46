import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from tonggan.cli.console import ConsoleProgress, console_progress
from tonggan.cli.show import show_results
from tonggan.errors import InterruptedRunError


@pytest.fixture
def bars():
    return Bars(console=Console(file=io.StringIO()))


def test_every_bar_ends(bars):
    progress = ConsoleProgress(bars)
    assert list(progress.track(iter("abc"), label="unknown length")) == ["a", "b", "c"]
    some = progress.track(range(10), label="not all needed")
    assert next(some) == 0
    some.close()
    assert list(progress.track([], label="nothing")) == []
    assert all(task.finished for task in bars.tasks)


def test_one_bar_for_each_label(bars):
    progress = ConsoleProgress(bars)
    for _ in range(3):
        assert list(progress.track(range(4), label="predict")) == [0, 1, 2, 3]
    progress.update("training", done=0.2, total=1.0, note="step 3, loss [0.5]")
    progress.update("training", done=0.4, total=1.0)
    assert [(task.description, task.completed, task.total) for task in bars.tasks] == [
        ("Predict", 4, 4),
        ("Training", 0.4, 1.0),
    ]


def test_without_a_terminal_long_work_says_a_line_now_and_then(monkeypatch):
    written = io.StringIO()
    clock = iter(range(0, 1000, 3))  # seconds
    monkeypatch.setattr("tonggan.cli.console.time", SimpleNamespace(monotonic=lambda: next(clock)))
    progress = ConsoleProgress(Bars(console=Console(file=written), disable=True))
    for done in range(1, 11):
        progress.update("embed", done=done, total=10, note="[of 10]")
    assert list(progress.track(range(8), label="index")) == list(range(8))
    lines = written.getvalue().splitlines()
    assert lines[0] == "Embed: 40%, [of 10]"
    assert 3 <= len(lines) <= 6
    assert all(line.startswith(("Embed: ", "Index: ")) for line in lines)


def test_interrupt_becomes_a_named_error():
    with pytest.raises(InterruptedRunError, match="Run the same command again"), console_progress():
        raise KeyboardInterrupt


@pytest.mark.parametrize("width", [80, 120])
def test_results_are_not_broken(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    names = ["expected_calibration_error", "rmse"]
    results = {
        "metrics": {split: {names[0]: 0.0123, names[1]: 12_345.6} for split in ("valid", "test")},
        "intervals": {split: {names[0]: [0.01, 0.02], names[1]: [11_000.0, 14_000.0]} for split in ("valid", "test")},
        "rows": {"train": 100_000, "valid": 12_345, "test": 54_321},
        "subsets": [],
        "audit": None,
    }
    show_results(results)
    out = capsys.readouterr().out
    assert "…" not in out
    for text in (*names, "0.0123", "0.010–0.020", "12,346", "11,000–14,000", "n=54,321"):
        assert text in out
    assert max(map(len, out.splitlines())) <= width
