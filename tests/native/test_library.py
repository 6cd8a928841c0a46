from __future__ import annotations

from pathlib import Path

import pytest

from tonggan.errors import ConfigError
from tonggan.native import available, library


@pytest.fixture
def _unloaded() -> object:
    library.load.cache_clear()
    yield
    library.load.cache_clear()


@pytest.mark.usefixtures("_unloaded")
def test_tells_that_kernels_were_not_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    assert available() is not None
    assert "no C compiler" in available()
    with pytest.raises(ConfigError, match="or use the torch engine"):
        library.load()


@pytest.mark.usefixtures("_unloaded")
def test_tells_that_kernels_do_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / f"_kernels{library.EXTENSION_SUFFIXES[0]}").write_bytes(b"no library")
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    assert "do not load" in str(available())
