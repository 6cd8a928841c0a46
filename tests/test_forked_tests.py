"""Tests that several processes share are told of as if one had run them."""

import os
import sys
from pathlib import Path

import pytest

import forked

SHARED = """
import os, pathlib, pytest

@pytest.fixture(scope="session", autouse=True)
def _process():
    pathlib.Path(f"begun_{os.getpid()}").touch()
    yield
    pathlib.Path(f"ended_{os.getpid()}").touch()
"""
FILES = {
    "conftest.py": SHARED,
    "test_fails.py": """
def test_fails(capsys):
    print("said")
    assert [1, 2] == [1, 3]

def test_passes(tmp_path):
    (tmp_path / "file").touch()
""",
    "test_dies.py": """
import os, time, pathlib

def test_dies():
    while not len(list(pathlib.Path().glob("begun_*"))) == 2:  # so that one process cannot take all files
        time.sleep(0.01)
    os._exit(3)

def test_never():
    pass
""",
    "test_others.py": """
import warnings, pytest

def test_is_skipped():
    pytest.skip("no reason")

def test_warns():
    warnings.warn("careful", FutureWarning)
""",
}


def command(folder: Path, *options: str) -> list[str]:
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --disable-plugin-autoload -p forked_tests\n")
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--processes", "2", *options]


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}


def test_what_is_told_of_them(tmp_path, environment):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    done = forked.run(command(tmp_path, "-q", "-rA"), env=environment, cwd=tmp_path)
    told = {line.split(" - ")[0] for line in done.stdout.splitlines()}
    assert {"FAILED test_fails.py::test_fails", "PASSED test_fails.py::test_passes"} < told
    assert {"FAILED test_dies.py::test_dies", "PASSED test_others.py::test_warns"} < told
    assert "test_never" not in done.stdout
    for text in (
        "assert [1, 2] == [1, 3]", "At index 1 diff: 2 != 3", "Captured stdout call", "FutureWarning: careful",
        "SKIPPED [1] test_others.py", "the process has ended with 3",
    ):  # fmt: skip
        assert text in done.stdout
    assert done.stdout.splitlines()[-1].startswith("2 failed, 2 passed, 1 skipped, 1 warning in")
    assert done.returncode == 1
    assert len(list(tmp_path.glob("begun_*"))) == 2
    assert len(list(tmp_path.glob("ended_*"))) == 1  # The other one died.


def test_the_first_failure_stops_them(tmp_path, environment):
    for number in range(4):
        (tmp_path / f"test_{number}.py").write_text("def test_one():\n    assert False\n" * (number == 0))
    (tmp_path / "conftest.py").write_text(SHARED)
    (tmp_path / "test_1.py").write_text(
        "import time\n\ndef test_long():\n    time.sleep(1)\n\ndef test_after():\n    open('after', 'w')\n"
    )
    done = forked.run(command(tmp_path, "-x"), env=environment, cwd=tmp_path)
    assert "stopping after 1 failures" in done.stdout
    assert done.returncode == 1
    assert len(list(tmp_path.glob("begun_*"))) == len(list(tmp_path.glob("ended_*")))
    assert not (tmp_path / "after").exists()


def test_an_interruption_ends_them(tmp_path, environment):
    (tmp_path / "conftest.py").write_text(SHARED)
    for number in range(2):
        (tmp_path / f"test_{number}.py").write_text(
            "import os, signal, time\n\ndef test_long():\n    os.kill(os.getppid(), signal.SIGINT)\n    time.sleep(1)\n"
        )
    with forked.Process(command(tmp_path), env=environment, cwd=tmp_path) as process:
        assert "KeyboardInterrupt" in process.stdout.read()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert len(list(tmp_path.glob("begun_*"))) == len(list(tmp_path.glob("ended_*")))
