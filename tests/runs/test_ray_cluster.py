"""Processes of Ray Train make the run that one process makes, and their errors are the user's."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import tonggan
from tonggan.errors import ConfigError, DataError, MissingExtraError

SETTINGS = {
    "floor": None,
    "training.epochs": 2,
    "training.precision": "fp32",
    "model.encoders.table": {"kind": "table", "dropout": 0},
}
with_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Run: pip install 'tonggan[scale]'")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "train.csv"
    left, right = np.random.default_rng(0).normal(size=(2, 120))
    pyarrow.csv.write_csv(pa.table({"left": left, "right": right, "answer": 3 * left + np.sign(right)}), path)
    return path


@pytest.mark.slow
@with_ray
def test_two_processes_on_ray_fit_what_one_does(table: Path, tmp_path: Path) -> None:
    import ray

    one = tonggan.fit(table, target="answer", out=tmp_path / "one", settings=SETTINGS)
    two = tonggan.fit(table, target="answer", out=tmp_path / "two", settings=SETTINGS, engine="ray", processes=2)
    assert two.results["metrics"]["valid"] == pytest.approx(one.results["metrics"]["valid"], rel=1e-3)
    assert not ray.is_initialized()
    with pytest.raises(DataError, match="no column 'nothing'"):
        tonggan.fit(table, target="nothing", out=tmp_path / "no", engine="ray", processes=2)


def test_processes_want_an_engine_and_a_table_that_all_can_read(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"2 processes without an engine.*torchrun --standalone"):
        tonggan.fit(table, target="answer", out=tmp_path / "no", processes=2)
    with pytest.raises(ConfigError, match=r"got a table in memory.*Write the table to a file"):
        tonggan.fit({"a": [1, 2], "b": [1, 2]}, target="b", out=tmp_path / "no", engine="ray")


def test_without_ray_the_install_line_is_named(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tonggan.runs.ray_cluster.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[scale\]'"):
        tonggan.fit(table, target="answer", out=tmp_path / "no", engine="ray", processes=2)
