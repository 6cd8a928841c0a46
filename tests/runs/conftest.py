from pathlib import Path

import pytest

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
