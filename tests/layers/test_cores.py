import threading
import time

import pytest
import torch

from tonggan.layers.cores import map_on_cores


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_and_each_has_one_thread():
    def work(seconds):
        time.sleep(seconds)
        return seconds, torch.get_num_threads(), threading.get_ident()

    found = list(map_on_cores(work, [0.05, 0.0, 0.02, 0.01]))
    assert [seconds for seconds, _, _ in found] == [0.05, 0.0, 0.02, 0.01]
    assert {threads for _, threads, _ in found} == {1}
    assert len({thread for _, _, thread in found}) > 1


def test_the_number_of_threads_is_what_it_was_here_and_in_threads_to_come():
    list(map_on_cores(abs, [1, -2, 3]))
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), seen) == (3, [3])


def test_one_item_has_one_thread_too_and_with_one_thread_the_caller_works():
    assert list(map_on_cores(lambda _: torch.get_num_threads(), [0])) == [1]
    assert list(map_on_cores(abs, [])) == []
    torch.set_num_threads(1)
    assert set(map_on_cores(lambda _: threading.get_ident(), [0, 1])) == {threading.get_ident()}


def test_an_error_comes_through_and_ends_the_work():
    done = []

    def work(number):
        if number == 0:
            raise ValueError("the first")
        time.sleep(0.01)
        done.append(number)

    with pytest.raises(ValueError, match="the first"):
        list(map_on_cores(work, range(100)))
    assert len(done) < 100
