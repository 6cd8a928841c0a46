"""Time used and kept, and how amounts read."""

import math
import re
import time
from pathlib import Path

import pytest
import torch

from tonggan.training import Budget
from tonggan.training.budget import describe_bytes, describe_seconds, peak_memory


def test_budget_counts_from_its_making_and_keeps_what_is_reserved():
    budget = Budget(10.0)
    time.sleep(0.02)
    assert 0.02 <= budget.elapsed < 1
    budget.reserve(3.0)
    budget.reserve(4.0)
    assert budget.end == 6.0, "what is reserved last replaces what was"
    assert Budget(10.0, started=time.monotonic() - 3).left <= 7
    budget.restore(5.0)
    assert 5.02 <= budget.elapsed < 6
    budget.reserve(100.0)
    assert budget.end == 0.0
    assert Budget().end == math.inf


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (45.4, "45 s"), (59.7, "1 min 0 s"), (190, "3 min 10 s"), (7500, "2 h 5 min")]
)
def test_seconds_read_as_people_say_them(seconds, text):
    assert describe_seconds(seconds) == text


def test_bytes_read_as_people_say_them():
    assert describe_bytes(849_500_000) == "850 MB"
    assert describe_bytes(2_400_000_000) == "2.4 GB"


def test_peak_memory_is_at_least_what_is_held_now():
    status = Path("/proc/self/status").read_text()
    now = int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024
    # The kernel counts each processor's last pages late.
    assert 0.98 * now <= peak_memory(torch.device("cpu")) < 50 * now
