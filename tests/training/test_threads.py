"""The number of threads follows what steps take with it."""

import pytest
import torch

from tonggan.layers.cores import num_threads
from tonggan.training.threads import ThreadTuner


def steps(tuner: ThreadTuner, seconds_by_threads: dict[int, float], *, number: int = 60) -> int:
    for _ in range(number):
        tuner.took(seconds_by_threads[tuner.threads])
    assert torch.get_num_threads() == tuner.threads
    return tuner.threads


@pytest.fixture
def tuner():
    with num_threads(4):
        yield ThreadTuner(longest=100.0)


def test_the_fastest_number_is_taken(tuner):
    assert steps(tuner, {4: 0.010, 2: 0.020, 1: 0.040}) == 4


def test_beside_another_program_fewer_are_faster_and_later_more_again(tuner):
    alone, beside = {4: 0.010, 2: 0.018, 1: 0.034}, {4: 1.4, 2: 0.3, 1: 0.05}
    assert steps(tuner, alone) == 4
    assert steps(tuner, beside) == 1
    assert steps(tuner, alone, number=800) == 4


def test_one_thread_is_left_alone():
    with num_threads(1):
        assert steps(ThreadTuner(longest=100.0), {1: 1.0}) == 1


def test_the_number_before_comes_back():
    before = torch.get_num_threads()
    with num_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_long_steps_keep_all_threads():
    tuner = ThreadTuner(longest=1.0)
    most = tuner.threads
    tuner.took(2.0)
    assert tuner.is_settled
    assert tuner.threads == most
