"""Freed memory stays with the process, so that the next step finds it without page faults."""

import os
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, sys
import numpy as np
from tonggan.training.memory import keep_freed_memory

def count():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        parts = [np.ones(5_000_000, np.uint8) for _ in range(10)]
        del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = count()
keep_freed_memory()
count()
print(plain, count())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_page_faults_go_away():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", COUNT_FAULTS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    plain, kept = map(int, done.stdout.split())
    assert kept < plain / 10, (plain, kept)
