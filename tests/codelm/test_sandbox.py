"""The sandbox lets ordinary programs run, and stops those that reach out or take too much."""

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tonggan.codelm import sandbox_guard
from tonggan.codelm.sandbox import run_python

IS_GUARDED = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
guarded = pytest.mark.skipif(
    not IS_GUARDED, reason="the kernel's protection is known on Linux on x86_64 and aarch64 only"
)


def test_a_program_reads_and_writes_its_streams():
    outcome = run_python("import sys\nprint(input().upper())\nprint('said', file=sys.stderr)", stdin="hello\n")
    assert (outcome.status, outcome.exit_code, outcome.output, outcome.errors) == ("passed", 0, "HELLO\n", "said\n")


def test_a_failing_program_shows_its_traceback():
    outcome = run_python("assert sum([1, 2]) == 4, 'wrong sum'")
    assert outcome.status == "failed"
    assert outcome.errors.endswith("AssertionError: wrong sum\n")
    assert "SyntaxError" in run_python("def (").errors


def test_time_is_limited_for_work_and_for_sleep():
    for code in ("while True: pass", "import time\ntime.sleep(60)"):
        start = time.monotonic()
        assert run_python(code, timeout=0.3).status == "timeout"
        assert time.monotonic() - start < 3


def test_a_memory_hog_ends_at_its_limit():
    outcome = run_python("hog = bytearray(2 << 30)", max_memory=512 << 20)
    assert outcome.status == "failed"
    assert "MemoryError" in outcome.errors


@guarded
def test_forks_are_refused_and_threads_are_not():
    outcome = run_python("import os\nwhile True: os.fork()")
    assert (outcome.status, outcome.protection[-1]) == ("failed", "processes")
    assert "Operation not permitted" in outcome.errors
    assert "not permitted" in run_python("import subprocess\nsubprocess.run(['true'])").errors
    threads = "import threading\nt = threading.Thread(target=print, args=('ran',))\nt.start()\nt.join()"
    assert run_python(threads).output == "ran\n"


@guarded
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"])
def test_no_socket_is_opened(family):
    outcome = run_python(f"import socket\nsocket.socket(socket.{family}, socket.SOCK_DGRAM)")
    assert "network" in outcome.protection
    assert "Operation not permitted" in outcome.errors


@guarded
def test_only_the_temporary_folder_is_written_to(tmp_path):
    inside = run_python(
        "open('a', 'w').write('b')\nimport os\nos.mkdir('c')\nos.rename('a', 'c/a')\nprint(os.listdir('c'))"
    )
    assert inside.output == "['a']\n"
    if "files" not in inside.protection:
        pytest.skip("this kernel has no Landlock")
    file = tmp_path / "kept"
    file.write_text("whole")
    for change in (f"open({str(file)!r}, 'w')", f"os.remove({str(file)!r})", f"os.truncate({str(file)!r}, 0)",
                   f"os.mkdir({str(tmp_path / 'new')!r})", f"os.chmod({str(file)!r}, 0)"):  # fmt: skip
        assert "PermissionError" in run_python(f"import os\n{change}").errors, change
    assert file.read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@guarded
def test_neither_signals_nor_higher_limits_are_allowed():
    assert "PermissionError" in run_python("import os\nos.kill(os.getppid(), 9)").errors
    assert "ValueError" in run_python("import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))").errors


@guarded
@pytest.mark.parametrize(
    "call",
    [
        "os.memfd_create('hidden')",
        "os.utime(FILE, (1, 1))",
        "os.setxattr(FILE, 'user.mark', b'1')",
        "assert ctypes.CDLL(None, use_errno=True).shmget(7, 1 << 20, 0o1600) >= 0, os.strerror(ctypes.get_errno())",
    ],
)
def test_memory_out_of_the_limits_and_attributes_of_others_files_are_out_of_reach(call, tmp_path):
    (tmp_path / "file").write_text("as it was")
    outcome = run_python(f"import ctypes, os\nFILE = {str(tmp_path / 'file')!r}\n{call}")
    assert outcome.status == "failed"
    assert "Operation not permitted" in outcome.errors


@guarded
def test_a_program_ends_with_the_process_that_started_it(tmp_path):
    program = f"import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)  # {tmp_path}"
    starter = subprocess.Popen(
        [sys.executable, "-c", f"from tonggan.codelm.sandbox import run_python\nrun_python({program!r}, timeout=60)"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        numbers = _until(lambda: "".join(path.read_text() for path in tmp_path.glob("*/output")))
        starter.kill()
        assert _until(lambda: not Path(f"/proc/{int(numbers)}").exists())
    finally:
        starter.kill()
        starter.wait()


def _until(condition, *, seconds=30):
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


def test_nothing_is_left_of_a_program_however_deep_its_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = "import os\nos.mkdir('closed', 0)\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')"
    assert run_python(code).status == "passed"
    assert not list(tmp_path.iterdir())


def test_code_that_is_no_text_fails():
    outcome = run_python("print('\ud800')")
    assert outcome.status == "failed"
    assert "UnicodeDecodeError" in outcome.errors


def test_output_without_end_is_cut():
    outcome = run_python("while True: print('x' * 1_000_000)", timeout=5)
    assert outcome.status == "failed"
    assert len(outcome.output) == 1 << 20


@pytest.mark.parametrize(
    "code", ["import socket\nsocket.socket()", "import os\nos.fork()", "import os\nos.system('true')"]
)
def test_where_the_kernel_does_not_help_python_itself_refuses(code):
    program = (
        f"import sys\nsys.path.insert(0, {str(sandbox_guard.__file__.rsplit('/', 1)[0])!r})\nimport sandbox_guard\n"
    )
    program += f"sys.addaudithook(sandbox_guard.refuse_inside)\n{code}"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True)
    assert "PermissionError: the sandbox refuses" in done.stderr
