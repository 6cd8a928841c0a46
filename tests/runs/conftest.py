from pathlib import Path

import pytest

import detection_scene
import ensemble_scene
import run_scene
import tonggan


@pytest.fixture(autouse=True)
def _cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGGAN_CACHE", str(shared_cache))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> tonggan.Predictor:
    """The scene's run, never stopped; its folder is not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        return run_scene.fit(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> tonggan.Predictor:
    """A run of members without a network; its folder is not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        return ensemble_scene.fit(tmp_path_factory.mktemp("members") / "run")


@pytest.fixture(scope="session")
def boxes_run(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> tonggan.Predictor:
    """One that finds boxes, with its tables ``train.jsonl`` and ``valid.jsonl`` beside it; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        folder = tmp_path_factory.mktemp("boxes")
        return detection_scene.fit(folder, "objects", settings=detection_scene.DETECT)


@pytest.fixture(scope="session")
def masks_run(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> tonggan.Predictor:
    """One that finds regions, likewise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        folder = tmp_path_factory.mktemp("masks")
        return detection_scene.fit(folder, "mask", settings=detection_scene.SEGMENT)
