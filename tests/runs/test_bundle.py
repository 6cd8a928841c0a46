import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

import ensemble_scene
import run_scene
import tonggan
from offline import run_offline
from tonggan.errors import BundleError
from tonggan.runs.bundle_folder import FORMAT

PREDICT = """
import numpy
model = tonggan.api.load(sys.argv[1])
numpy.savez(sys.argv[3], p=model.predict_proba(sys.argv[2]), e=model.embed(sys.argv[2]), y=model.predict(sys.argv[2]))
"""


@pytest.fixture
def copied(finished: tonggan.Predictor, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.folder, tmp_path / "copy"))


def test_a_fresh_process_without_network_and_pickle_predicts_the_same(
    finished: tonggan.Predictor, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(run_scene.table(40, seed=9).drop_columns("answer"), rows)
    saved = finished.save(tmp_path / "saved")
    run_offline(PREDICT, saved, rows, tmp_path / "found.npz", cache=tmp_path / "cache")
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(found["p"], finished.predict_proba(rows), atol=1e-6, rtol=0)
    np.testing.assert_allclose(found["e"], finished.embed(rows), atol=1e-6, rtol=0)
    assert found["y"].tolist() == finished.predict(rows)


def test_a_saved_copy_is_the_same_bundle_with_its_report(finished: tonggan.Predictor, tmp_path: Path) -> None:
    copy = tonggan.load(finished.save(tmp_path / "saved"))
    assert copy.results == finished.results
    assert copy.bundle.recipe == finished.bundle.recipe
    assert copy.bundle.info == finished.bundle.info
    assert copy.bundle.task.temperature == finished.bundle.task.temperature
    assert (tmp_path / "saved" / "report.html").read_bytes() == (finished.folder / "report.html").read_bytes()


@pytest.mark.parametrize("name", ["weights.safetensors", "inputs.json", "recipe.yaml"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "removed"])
def test_a_damaged_file_is_named(copied: Path, name: str, damage: str) -> None:
    path = copied / name
    content = bytearray(path.read_bytes())
    if damage == "removed":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(BundleError, match=f"{name}.*The bundle is damaged"):
        tonggan.load(copied)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"format": "x", "files": {}}', b"\xff\xfe"])
def test_a_damaged_index_says_so(copied: Path, content: bytes) -> None:
    (copied / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"unreadable bundle.json"):
        tonggan.load(copied)


@pytest.mark.parametrize("missing", ["task", "results", "files"])
def test_an_index_that_lacks_a_part_says_so(copied: Path, missing: str) -> None:
    index = json.loads((copied / "bundle.json").read_text())
    del index[missing]
    (copied / "bundle.json").write_text(json.dumps(index))
    with pytest.raises(BundleError, match=f"unreadable bundle.json .*{missing}"):
        tonggan.load(copied)


def test_an_index_names_exactly_the_files_of_a_bundle(copied: Path) -> None:
    index = json.loads((copied / "bundle.json").read_text())
    index["files"]["../elsewhere"] = index["files"].pop("inputs.json")
    (copied / "bundle.json").write_text(json.dumps(index))
    with pytest.raises(BundleError, match=r"unreadable bundle.json .files\.\.\./elsewhere"):
        tonggan.load(copied)


def test_a_newer_format_asks_for_an_update(copied: Path) -> None:
    index = json.loads((copied / "bundle.json").read_text())
    index["format"] = FORMAT + 1
    (copied / "bundle.json").write_text(json.dumps(index))
    with pytest.raises(BundleError, match=rf"format {FORMAT + 1}.*format {FORMAT} or older.*--upgrade tonggan"):
        tonggan.load(copied)


def test_only_bundles_of_members_are_closed_to_versions_without_members(
    finished: tonggan.Predictor, members: tonggan.Predictor, tmp_path: Path
) -> None:
    formats = [json.loads((each.folder / "bundle.json").read_text())["format"] for each in (finished, members)]
    assert formats == [2, 3]
    before = Path(shutil.copytree(members.folder, tmp_path / "before"))
    index = json.loads((before / "bundle.json").read_text())
    (before / "bundle.json").write_text(json.dumps(index | {"format": 2}))
    rows = ensemble_scene.frame(20, seed=3)
    old = tonggan.load(before)
    np.testing.assert_array_equal(old.predict_proba(rows), members.predict_proba(rows))
    assert json.loads((old.save(tmp_path / "again") / "bundle.json").read_text())["format"] == 3


def test_a_folder_without_a_bundle_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no file bundle.json.*Check the path"):
        tonggan.load(tmp_path)
    (tmp_path / "recipe.yaml").write_text("")
    with pytest.raises(BundleError, match="an unfinished run"):
        tonggan.load(tmp_path)


def test_a_folder_that_cannot_be_written_says_so(finished: tonggan.Predictor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="expected a folder that can be written"):
        finished.save(tmp_path / "file" / "run")
