"""The sandbox lets ordinary programs run, and stops those that reach out or take too much."""

import ast
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import partial

import pytest

from tonggan.codelm import sandbox, sandbox_guard
from tonggan.codelm.sandbox import Outcome

IS_GUARDED = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
guarded = pytest.mark.skipif(
    not IS_GUARDED, reason="the kernel's protection is known on Linux on x86_64 and aarch64 only"
)
# As long as a busy machine may need to start Python.
run_python = partial(sandbox.run_python, timeout=60)


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
        assert run_python(code, timeout=0.3).status == "timeout"


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
    lower = run_python("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))")
    assert "ValueError" in lower.errors  # of another process, the call would be the same
    looked = run_python("import resource\nprint(resource.getrlimit(resource.RLIMIT_NOFILE)[0])")
    assert looked.output == "256\n"


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


FALLBACK = """
import ctypes, dataclasses, json, sys
from tonggan.codelm import sandbox_guard as guard
from tonggan.codelm.sandbox import run_python
library = ctypes.CDLL(None)
assert library.prctl(38, 1, 0, 0, 0) == 0
allow, refuse = (guard._RETURN, 0, 0, guard._ALLOW), (guard._RETURN, 0, 0, guard._REFUSE | 1)
assert guard.filter_calls(library, [(guard._LOAD, 0, 0, 0), (guard._EQUAL, 0, 1, int(sys.argv[1])), refuse, allow])
print(json.dumps(dataclasses.asdict(run_python(sys.argv[2], timeout=60))))
"""
"""Runs a program where the system lets nobody make namespaces, as some do."""


def outcome(code: str, *, namespaces: bool) -> Outcome:
    if namespaces:
        found = run_python(code)
        if "namespaces" not in found.protection:
            pytest.skip("this system lets its users make no namespaces")
        return found
    unshare = {"x86_64": "272", "aarch64": "97"}[platform.machine()]
    done = subprocess.run(
        [sys.executable, "-c", FALLBACK, unshare, code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = Outcome(**json.loads(done.stdout))
    assert "namespaces" not in found.protection
    return found


PARENT = os.getpid()
CALL = "import ctypes, os\nC = ctypes.CDLL(None, use_errno=True)\n"
# Each prints what it reached, if anything.
ESCAPES = {
    "outlive the parent": CALL + "if C.prctl(1, 0, 0, 0, 0) == 0: print('free')",
    "make a device": "import os, stat\nos.mknod('disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0))\nprint('made')",
    "make a pipe elsewhere": "import os\nos.mkfifo('/tmp/tonggan-escaped')\nprint('made')",
    "name the host": "import socket\nsocket.sethostname('taken')\nprint('named')",
    "set the parent's priority": f"import os\nos.setpriority(os.PRIO_PROCESS, {PARENT}, 19)\nprint('slow')",
    "set its scheduler": f"import os\nos.sched_setscheduler({PARENT}, 3, os.sched_param(0))\nprint('slow')",
    "keep it on a core": f"import os\nos.sched_setaffinity({PARENT}, [0])\nprint('kept')",
    "trace it": CALL + f"if C.ptrace(16, {PARENT}, 0, 0) == 0: print('attached')",
    "signal it": f"import os\nos.kill({PARENT}, 0)\nprint('signaled')",
    "signal its thread": CALL + f"if C.tgkill({PARENT}, {PARENT}, 0) == 0: print('signaled')",
    "signal it with a value": CALL + f"if C.sigqueue({PARENT}, 0, None) == 0: print('signaled')",
    "read its environment": f"print(open('/proc/{PARENT}/environ').read())",
    "read its memory": f"print(open('/proc/{PARENT}/mem', 'rb').read(0))\nprint('opened')",
    "be another session": "import os\nos.setsid()\nprint('away')",
    "be another user": "import os\nos.setuid(12345)\nprint('another')",
    "change its root": "import os\nos.chroot('.')\nprint('changed')",
    "set the clock": "import time\ntime.clock_settime(time.CLOCK_REALTIME, time.time())\nprint('set')",
    "share memory": "import multiprocessing.shared_memory as m\nm.SharedMemory(create=True, size=9)\nprint(1)",
    "connect": "import socket\nsocket.create_connection(('127.0.0.1', 9))\nprint('connected')",
    "fork": "import os\nif os.fork(): print('forked')",
    "spawn": "import os\nos.posix_spawn('/bin/true', ['true'], {})\nprint('spawned')",
    "look around": "import os\nprint(os.listdir('/'))",
    "read a secret": "print(open(SECRET).read())",
    "read it by a link": "import os\nos.symlink(SECRET, 'link')\nprint(open('link').read())",
    "read it by a hard link": "import os\nos.link(SECRET, 'link')\nprint(open('link').read())",
    "write beside it": "open(SECRET + '2', 'w').write('x')\nprint('written')",
    "replace it": "import os\nopen('new', 'w').close()\nos.replace('new', SECRET)\nprint('replaced')",
    "become a shell": "import os\nos.execv('/bin/sh', ['sh', '-c', 'true < ' + SECRET + ' && echo read'])",
}


@guarded
@pytest.mark.parametrize("namespaces", [True, False])
@pytest.mark.parametrize("escape", list(ESCAPES))
def test_there_is_no_way_out(escape, namespaces, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    found = outcome(f"SECRET = {str(secret)!r}\n{ESCAPES[escape]}", namespaces=namespaces)
    if "files" not in found.protection and ("SECRET" in ESCAPES[escape] or "listdir" in ESCAPES[escape]):
        pytest.skip("this kernel has no Landlock")
    assert found.output == ""
    assert "SyntaxError" not in found.errors
    assert "NameError" not in found.errors
    assert secret.read_text() == "hidden"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@guarded
@pytest.mark.parametrize("namespaces", [True, False])
def test_nothing_is_left_of_the_rights_of_root(namespaces):
    code = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')])"
    assert set(ast.literal_eval(outcome(code, namespaces=namespaces).output)) == {"0" * 16}


@guarded
@pytest.mark.parametrize("namespaces", [True, False])
def test_ordinary_programs_run(namespaces):
    code = (
        "import numpy, tempfile, threading, os, signal\n"
        "with tempfile.TemporaryFile() as file: file.write(b'1')\n"
        "print(numpy.ones((64, 64)).dot(numpy.ones((64, 64))).sum(), os.cpu_count() > 0, flush=True)\n"
        "signal.pthread_kill(threading.get_ident(), signal.SIGTERM)"
    )
    found = outcome(code, namespaces=namespaces)
    assert (found.output, found.exit_code) == ("262144.0 True\n", -15), found.errors


BEATS = """
import ctypes, time
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
while True:
    print('beat', flush=True)
    time.sleep(0.01)
"""


@guarded
def test_a_program_ends_with_the_process_that_started_it_and_its_folder_is_deleted(tmp_path, monkeypatch):
    starter = subprocess.Popen(
        [sys.executable, "-c", f"from tonggan.codelm.sandbox import run_python\nrun_python({BEATS!r}, timeout=60)"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        (output,) = _until(lambda: [path for path in tmp_path.glob("*/output") if path.stat().st_size])
    finally:
        starter.kill()
        starter.wait()

    def has_ended():
        size = output.stat().st_size
        time.sleep(0.3)
        return output.stat().st_size == size

    assert _until(has_ended)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run_python("pass")
    assert output.exists(), "a folder so new may be one that is just being made"
    os.utime(output.parent, (1, 1))
    run_python("pass")
    assert not list(tmp_path.iterdir())


def _until(condition, *, seconds=60):
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
    outcome = run_python("while True: print('x' * 1_000_000)")
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
