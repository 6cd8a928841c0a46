import json
import signal
import time

import pytest
from filelock import FileLock

import forked
from command_line import SMALL, Outcome, assert_named, started, tonggan, write_csv


@pytest.fixture
def source(folder, rows):
    return write_csv(folder / "numbers.csv", rows, "age", "label")


def interrupted(process: forked.Process, ready) -> Outcome:
    """What a command said that got Ctrl-C once ``ready()``."""
    end = time.monotonic() + 60
    while not ready() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    return Outcome(process.returncode, out, err)


def test_interrupted_training_resumes(source, tmp_path):
    out = tmp_path / "run"
    command = ["fit", source, "--target", "label", "--out", out, "--json", *SMALL]
    endless = [*command, "--set", "training.epochs=100000", "--set", "training.patience=null"]
    outcome = interrupted(started(*endless), lambda: list(out.glob("checkpoints/best-*")))
    assert_named(outcome, "a request to stop at step", "Run the same command to resume")
    assert (out / "checkpoints" / "last.safetensors").is_file()
    assert_named(tonggan("info", out), "an unfinished run")
    assert_named(tonggan(*command), "another recipe", "--overwrite", code=2)
    resumed = tonggan(*endless, "--time-limit", "3s")
    assert resumed.code == 0, resumed.err
    assert "Resuming at step" in resumed.err
    assert json.loads(resumed.out)["metrics"]["valid"]


def test_interrupted_scan_is_repeated(folder, table, tmp_path, monkeypatch):
    # A scan waits for ever while another process holds the lock of its cache.
    first, cache = tmp_path / "first", tmp_path / "cache"
    monkeypatch.setenv("TONGGAN_CACHE", str(first))
    assert tonggan("doctor", table).code == 0
    (known,) = (first / "decoded").glob("image-*")
    monkeypatch.setenv("TONGGAN_CACHE", str(cache))
    locked = cache / "decoded" / known.name / "lock"
    locked.parent.mkdir(parents=True)
    with FileLock(locked):
        outcome = interrupted(started("doctor", table), lambda: list(cache.glob("tables/*.arrow")))
    assert_named(outcome, "a request to stop (Ctrl-C)", "Run the same command again")
    assert tonggan("doctor", table).code == 0
