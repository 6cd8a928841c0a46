import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from command_line import ENSEMBLE, Outcome, make_rows, tonggan, write_csv
from forked_tests import made_once


@pytest.fixture(autouse=True)
def _cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGGAN_CACHE", str(shared_cache))
    monkeypatch.delenv("TONGGAN_MIRROR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures and recordings are; tests write their tables into it."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def rows(folder: Path) -> list[dict[str, Any]]:
    return make_rows(folder)


@pytest.fixture(scope="session")
def table(folder: Path, rows: list[dict[str, Any]]) -> Path:
    return write_csv(folder / "train.csv", rows, "image", "age", "label")


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path, table: Path) -> tuple[Path, Outcome]:
    """The folder of an ensemble, which is not to be changed, and what ``fit --json`` said."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TONGGAN_CACHE", str(shared_cache))
            files = (table, "--test", table, "--out", folder / "first")
            said = tonggan("fit", *files, "--target", "label", "--json", *ENSEMBLE)
        (folder / "said.json").write_text(json.dumps(asdict(said)))

    folder = made_once(tmp_path_factory, "first", make)
    return folder / "first", Outcome(**json.loads((folder / "said.json").read_text()))


@pytest.fixture
def run(fitted: tuple[Path, Outcome]) -> Path:
    return fitted[0]
