"""A hostile repository is survived: nothing outside of the copy is changed, read or left running."""

from __future__ import annotations

import hashlib
import os
import platform
import sys

import pytest

from optimization_scene import UNIQUE
from tonggan.codelm.optimization import optimize
from tonggan.errors import DataError

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the kernel's protection is known on Linux on x86_64 and aarch64 only",
)

SLOW = UNIQUE
HOSTILE = """\
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from slow import unique


def test_unique():
    assert unique([1, 2, 1]) == [1, 2]


def test_forks():
    with pytest.raises(PermissionError):
        os.fork()
    with pytest.raises(PermissionError):
        subprocess.run(["true"])


def test_writes_outside():
    for path in ({root!r} + "/slow.py", {root!r} + "/new.py", "/tmp/tonggan-hostile"):
        with pytest.raises(PermissionError):
            Path(path).write_text("hacked")


def test_reads_secrets():
    for path in ({root!r} + "/../secret.txt", {root!r} + "/.env", "/etc/shadow", str(Path({home!r}) / ".ssh")):
        with pytest.raises((PermissionError, FileNotFoundError)):
            Path(path).read_text()
    assert not Path(".env").exists()
    assert "SECRET_OF_TESTS" not in os.environ


def test_kills_its_parent():
    for number in (os.getppid(), {parent}):
        if number:
            with pytest.raises((PermissionError, ProcessLookupError)):
                os.kill(number, signal.SIGKILL)


def test_calls_out():
    with pytest.raises(PermissionError):
        socket.socket()


def test_changes_its_own_tree():
    Path("slow.py").write_text("changed")
"""


def digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def project(tmp_path, tests):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "slow.py").write_text(SLOW)
    (folder / ".env").write_text("PASSWORD=1")
    (tmp_path / "secret.txt").write_text("secret")
    values = {"root": str(folder), "home": os.path.expanduser("~"), "parent": os.getpid()}  # noqa: PTH111
    for name, value in values.items():
        tests = tests.replace(f"{{{name}!r}}", repr(value)).replace(f"{{{name}}}", str(value))
    (folder / "test_slow.py").write_text(tests)
    return folder


def test_a_hostile_test_reaches_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_TESTS", "secret")
    folder = project(tmp_path, HOSTILE)
    before = digest(tmp_path)
    report = optimize(str(folder / "slow.py"))
    assert digest(tmp_path) == before
    assert report.failed == []
    assert {"network", "processes"} <= set(report.protection)
    assert not os.path.exists("/tmp/tonggan-hostile")  # noqa: PTH110


FORGED = """\
import json
import os


def test_it():
    forged = {"outcomes": {"a": "passed"}, "functions": [["slow.py", 1, 1, 9.0]]}
    for number in range(1, 64):
        try:
            os.write(number, (json.dumps(forged) + chr(10)).encode())
        except OSError:
            pass
    os._exit(0)
"""


def test_an_answer_that_a_test_has_forged_proposes_nothing(tmp_path):
    folder = project(tmp_path, FORGED)
    before = digest(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        optimize(str(folder / "slow.py"), time_limit=50.0)
    assert digest(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "got"),
    [
        ("import time; time.sleep(100_000)", "no end within"),
        ("while True: pass", "no end within"),
        ("import os; os._exit(0)", "before it answered"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "no test that passes"),
        ("import os; os.write(1, b'{}'); os._exit(0)", "before it answered"),
        ("x = bytearray(1 << 40)", "no test that passes"),
    ],
)
def test_what_never_answers_is_said(tmp_path, line, got):
    folder = project(tmp_path, f"def test_it():\n    {line}\n")
    before = digest(tmp_path)
    with pytest.raises(DataError, match=got):
        optimize(str(folder / "slow.py"), time_limit=15.0)
    assert digest(tmp_path) == before


@pytest.mark.parametrize(
    "source",
    ["x = " + "(" * 150 + "1" + ")" * 150, "x = " + "-" * 50_000 + "1", "x = " + "+".join(["1"] * 20_000),
     "".join(f"{' ' * depth}if x:\n" for depth in range(90)) + " " * 90 + "pass", "x = '\\ud800'\x00", "\ufeff\ufeffx"],
    ids=["brackets", "signs", "terms", "blocks", "nul", "marks"],
)  # fmt: skip
def test_code_that_breaks_parsers_is_named(tmp_path, source):
    (tmp_path / "deep.py").write_text(source)
    with pytest.raises(DataError, match=r"nested|parse"):
        optimize(str(tmp_path / "deep.py"))


def test_a_huge_file_is_named(tmp_path):
    (tmp_path / "huge.py").write_text("x = 1\n" * 500_000)
    with pytest.raises(DataError, match="too large"):
        optimize(str(tmp_path / "huge.py"))


def test_links_out_of_the_tree_are_not_followed(tmp_path):
    folder = project(tmp_path, "from pathlib import Path\n\n\ndef test_it():\n    assert not Path('out').exists()\n")
    (folder / "out").symlink_to(tmp_path / "secret.txt")
    report = optimize(str(folder / "slow.py"))
    assert report.failed == []
