"""The sandbox lets ordinary programs run, and stops those that reach out or take too much."""

import platform
import subprocess
import sys
import time

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
