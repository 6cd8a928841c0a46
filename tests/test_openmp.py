"""Waiting threads of OpenMP are bounded where PyTorch is imported by Tonggan, and the user's own choice stays."""

import os
import re
import subprocess
import sys

import pytest

from tonggan.openmp import spin_bounds

COMMAND = "import sys; from tonggan.cli.app import main; main(['fit', 'none.csv', '--target', 'x', '--out', 'none'])"
PYTHON = "import os, tonggan; before = dict(os.environ); tonggan.fit; assert os.environ == before"


def spin_count(program: str, **environment: str) -> str:
    """What GNU's runtime says that it has read, at the time when it is loaded."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OMP", "GOMP", "KMP"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**own, "OMP_DISPLAY_ENV": "VERBOSE", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    if found is None:
        pytest.skip("this PyTorch does not use GNU's OpenMP")
    assert "AssertionError" not in done.stderr
    return found.group(1)


@pytest.mark.parametrize("program", [COMMAND, PYTHON])
def test_waiting_threads_are_bounded_before_torch_is_loaded(program: str) -> None:
    assert spin_count(program) == "5000"


def test_what_the_user_has_set_stays() -> None:
    assert spin_count(PYTHON, GOMP_SPINCOUNT="777") == "777"
    assert spin_bounds({"OMP_WAIT_POLICY": "passive"}) == {}
