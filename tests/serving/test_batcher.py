import threading

import pytest

from serving_scene import until
from tonggan.errors import DataError, QueueFullError
from tonggan.serving.batcher import Batcher


class Squares:
    """A batched function that keeps what it was called with; zero is at fault."""

    def __init__(self):
        self.calls = []
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, items):
        self.calls.append(list(items))
        assert self.may_go.wait(60)
        if 0 in items:
            raise DataError("item", got="0", expected="more", remedy="Add one")
        return [item * item for item in items]


@pytest.fixture
def squares():
    return Squares()


@pytest.fixture
def make(squares):
    made = []

    def build(*, max_items=4, wait=0.0, queue=100):
        made.append(Batcher(squares, max_items=max_items, wait=wait, queue=queue))
        return made[-1]

    yield build
    squares.may_go.set()
    for batcher in made:
        batcher.close()


def test_requests_that_come_together_go_together(make, squares):
    batcher = make(max_items=4, wait=3600.0)  # a full batch does not wait
    futures = [batcher.submit(items) for items in ([1], [2, 3], [4])]
    assert [future.result(60) for future in futures] == [[1], [4, 9], [16]]
    assert squares.calls == [[1, 2, 3, 4]]


def test_a_lone_request_waits_no_longer_than_told(make, squares):
    assert make(wait=0.02).submit([3]).result(60) == [9]
    assert squares.calls == [[3]]


def test_a_large_request_goes_in_slices(make, squares):
    assert make(max_items=2).submit([1, 2, 3, 4, 5]).result(60) == [1, 4, 9, 16, 25]
    assert squares.calls == [[1, 2], [3, 4], [5]]


def test_one_at_fault_leaves_the_others_alone(make):
    batcher = make(wait=0.3, max_items=3)
    futures = [batcher.submit([item]) for item in (1, 0, 2)]
    assert (futures[0].result(60), futures[2].result(60)) == ([1], [4])
    with pytest.raises(DataError, match="got 0"):
        futures[1].result(60)


def test_a_fault_of_the_program_is_logged(make, caplog):
    with pytest.raises(TypeError):
        make().submit(["a"]).result(60)
    assert "a batch failed" in caplog.text


def test_the_queue_is_bounded_and_a_cancelled_request_makes_room(make, squares):
    batcher = make(max_items=1, queue=2)
    squares.may_go.clear()
    first = batcher.submit([1])
    until(lambda: squares.calls)
    second = batcher.submit([2, 3])
    with pytest.raises(QueueFullError, match="got 3 rows in progress or waiting"):
        batcher.submit([4])
    with pytest.raises(DataError, match="at most 3, a batch and the queue"):
        batcher.submit([4] * 4)
    second.cancel()
    third = batcher.submit([5])
    squares.may_go.set()
    assert (first.result(60), third.result(60)) == ([1], [25])
    assert (batcher.held, squares.calls) == (0, [[1], [5]])


def test_close_finishes_what_was_submitted(squares):
    batcher = Batcher(squares, max_items=1, wait=0.0, queue=10)
    futures = [batcher.submit([item]) for item in (1, 2, 3)]
    batcher.close()
    assert [future.result(0) for future in futures] == [[1], [4], [9]]
