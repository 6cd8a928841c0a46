"""What all tests share."""

import signal
from pathlib import Path

import pytest
import torch

import forked

pytest_plugins = ["forked_tests", "cpu_times"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that processes that share the files end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Processes that share the tests share libraries, and the process from which programs are forked."""
    if session.config.option.processes > 1:
        forked.start()
        forked.import_libraries()


@pytest.fixture(scope="session", autouse=True)
def _interruptible():
    """Ctrl-C works, here and in the processes that tests start, also where a shell has started this one without it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Sums in the same order as in the processes that some tests start; small tensors gain nothing from two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for the tests that ask for it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def cache_of_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder of all processes that share the tests, for public sets that are long in the making."""
    folder = tmp_path_factory.getbasetemp() / "sets"
    folder.mkdir(exist_ok=True)
    return folder
