"""Curves as TensorBoard reads them, and without them where the disk is full."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tonggan.progress import Progress
from tonggan.training.journal import Journal


class Told(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def points(folder: Path, name: str) -> list[tuple[int, float]]:
    found = EventAccumulator(str(folder))
    found.Reload()
    return [(point.step, round(point.value, 3)) for point in found.Scalars(name)]


def test_tensorboard_reads_the_curves_and_what_a_resumed_run_replaces(tmp_path: Path) -> None:
    first = Journal(tmp_path, progress=Progress(), step=0)
    for step in (1, 2, 3):
        first.log({"loss": 1 / step, "rate": 0.1}, step=step)
    assert points(tmp_path, "loss") == [(1, 1.0), (2, 0.5), (3, 0.333)]  # before it is closed
    resumed = Journal(tmp_path, progress=Progress(), step=1)
    resumed.log({"loss": 7.0}, step=2)
    resumed.close()
    assert points(tmp_path, "loss") == [(1, 1.0), (2, 7.0)]


def test_a_full_disk_is_told_once_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    journal = Journal(tmp_path, progress=told, step=0)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
    for step in (1, 2):
        journal.log({"loss": 1.0}, step=step)
    journal.close()
    assert told.lines == [
        "TensorBoard's log cannot be written (No space left on device); the training goes on without it."
    ]
