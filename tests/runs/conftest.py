from collections.abc import Callable
from pathlib import Path

import pytest

import detection_scene
import ensemble_scene
import run_scene
import tonggan
from forked_tests import made_once


@pytest.fixture(autouse=True)
def _cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGGAN_CACHE", str(shared_cache))


def fitted_once(request: pytest.FixtureRequest, name: str, fit: Callable[[Path], object]) -> tonggan.Predictor:
    """The run that ``fit`` leaves in the folder ``run`` of the one that it is given, the same in all processes."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TONGGAN_CACHE", str(request.getfixturevalue("shared_cache")))
            fit(folder)

    return tonggan.load(made_once(request.getfixturevalue("tmp_path_factory"), name, make) / "run")


@pytest.fixture(scope="session")
def finished(request: pytest.FixtureRequest) -> tonggan.Predictor:
    """The scene's run, never stopped; its folder is not to be changed."""
    return fitted_once(request, "finished", lambda folder: run_scene.fit(folder / "run"))


@pytest.fixture(scope="session")
def members(request: pytest.FixtureRequest) -> tonggan.Predictor:
    """A run of members without a network; its folder is not to be changed."""
    return fitted_once(request, "members", lambda folder: ensemble_scene.fit(folder / "run"))


@pytest.fixture(scope="session")
def boxes_run(request: pytest.FixtureRequest) -> tonggan.Predictor:
    """One that finds boxes, with its tables ``train.jsonl`` and ``valid.jsonl`` beside it; not to be changed."""
    return fitted_once(
        request, "boxes", lambda folder: detection_scene.fit(folder, "objects", settings=detection_scene.DETECT)
    )


@pytest.fixture(scope="session")
def masks_run(request: pytest.FixtureRequest) -> tonggan.Predictor:
    """One that finds regions, likewise."""
    return fitted_once(
        request, "masks", lambda folder: detection_scene.fit(folder, "mask", settings=detection_scene.SEGMENT)
    )
