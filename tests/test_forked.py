"""Programs that are forked are what Python would have started."""

import os
import signal
import subprocess
import sys

import pytest

import forked

PROGRAM = """
import os, sys
print(sys.argv[-2:], os.getcwd(), os.environ["COLOR"], __name__)
print([name for name in sys.modules if name.startswith("tonggan.")])
print("beside", file=sys.stderr)
sys.exit(3)
"""


@pytest.mark.parametrize("how", ["-c", "-I", "-m", "file"])
def test_it_starts_and_ends_as_python_starts_it(tmp_path, how):
    (tmp_path / "program.py").write_text(PROGRAM)
    starts = {"-c": ["-c", PROGRAM], "-I": ["-I", "-c", PROGRAM], "-m": ["-m", "program"]}
    start = starts.get(how, [str(tmp_path / "program.py")])
    command, environment = [sys.executable, *start, "one", "two words"], {**os.environ, "COLOR": "red"}
    found = forked.run(command, env=environment, cwd=tmp_path, is_fresh=True)
    expected = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (3, expected.stdout, expected.stderr)


def test_an_error_ends_it_and_a_signal_kills_it():
    failed = forked.run([sys.executable, "-c", "1 / 0"])
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    with forked.Process([sys.executable, "-c", "import time; print('on', flush=True); time.sleep(60)"]) as one:
        assert one.stdout.readline() == "on\n"
        assert one.poll() is None
        one.send_signal(signal.SIGKILL)
    assert one.returncode == one.poll() == -signal.SIGKILL


def test_processes_together_know_their_ranks():
    program = "import os; print(os.environ['RANK'], os.environ['WORLD_SIZE'], os.environ['MASTER_PORT'])"
    one, other = (done.stdout.split() for done in forked.run_together([sys.executable, "-c", program], number=2))
    assert (one[:2], other[:2]) == (["0", "2"], ["1", "2"])
    assert one[2] == other[2]
