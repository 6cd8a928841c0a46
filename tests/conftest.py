"""What all tests share."""

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def _interruptible():
    """Ctrl-C works, here and in the processes that tests start, also where a shell has started this one without it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)
