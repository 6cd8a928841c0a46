import json

import numpy as np
import pytest
import torch

import tonggan
from command_line import make_rows, write_csv
from tonggan.compression.onnx_graph import compute, open_graph
from tonggan.errors import BundleError, ConfigError
from tonggan.runs.one_file import unpacked

SETTINGS = ["floor=null", "training.epochs=1", "model.dim=16", "audit_alone=false", "columns.text.kind=text"]
COLUMNS = ("image", "sound", "text", "age", "label")


@pytest.fixture(scope="module")
def scene(tmp_path_factory, shared_cache):
    """A run of a picture, a sound, a text and a number, and its graph."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("exported")
    rows = make_rows(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        pictures = "columns.image={kind: image, size: 24}"
        table = write_csv(folder / "train.csv", rows, *COLUMNS)
        run = tonggan.fit(table, target="label", out=folder / "run", settings=[*SETTINGS, pictures])
        told = tonggan.export(run.folder, folder / "run.onnx", format="onnx")
    session = open_graph((folder / "run.onnx").read_bytes(), threads=1)
    return run, told, session, rows, folder


def tensors(run, rows, folder):
    """What the graph reads of ``rows``, whose files lie in ``folder``, made without the exporter."""
    import soundfile
    from PIL import Image
    from tokenizers import Tokenizer

    pictures = [np.asarray(Image.open(folder / row["image"]).convert("RGB")) for row in rows]
    sounds = [soundfile.read(folder / row["sound"], dtype="float32")[0] for row in rows]
    tokenizer = Tokenizer.from_file(str(folder / "run.onnx.text.tokenizer.json"))
    ids = [run.bundle.modalities["text"].collate([row["text"]]).values[0].tolist() for row in rows]
    assert tokenizer.get_vocab_size() > 0
    return {
        "image": torch.from_numpy(np.stack(pictures)),
        "image.present": torch.ones(len(rows), dtype=torch.bool),
        "sound": torch.from_numpy(np.stack(sounds)),
        "sound.length": torch.tensor([len(each) for each in sounds]),
        "text": torch.tensor([row + [0] * (12 - len(row)) for row in ids]),
        "text.length": torch.tensor([len(row) for row in ids]),
        "table": torch.tensor([[row["age"]] for row in rows], dtype=torch.float64),
    }


def check_answers(scene, rows, given):
    run, _, session, _, folder = scene
    found = compute(session, given)[1]
    files = [{**row, **{name: str(folder / row[name]) for name in ("image", "sound") if row.get(name)}} for row in rows]
    np.testing.assert_allclose(found.numpy(), run.predict_proba(files), atol=2e-3)


def test_a_graph_reads_pixels_samples_ids_and_cells(scene):
    run, told, _, rows, folder = scene
    assert told["difference"] <= 1e-4
    assert told["rows"] == 32
    check_answers(scene, rows[:5], tensors(run, rows[:5], folder))
    check_answers(scene, rows[7:8], tensors(run, rows[7:8], folder))


def test_a_picture_of_another_shape_is_fitted_in_the_graph(scene, tmp_path):
    from PIL import Image

    _, _, _, rows, folder = scene
    pixels = np.random.default_rng(0).integers(0, 256, (30, 47, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    given = tensors(scene[0], rows[:1], folder) | {"image": torch.from_numpy(pixels)[None]}
    check_answers(scene, [rows[0] | {"image": str(tmp_path / "wide.png")}], given)


def test_what_is_absent_is_absent_in_the_graph(scene):
    run, _, _, rows, folder = scene
    lacking = [{**row, "image": None, "text": None, "age": None} for row in rows[:3]]
    given = tensors(run, rows[:3], folder)
    given["image.present"][:] = False
    given["text.length"][:] = 0
    given["table"][:] = float("nan")
    check_answers(scene, lacking, given)
    other = {**given, "image": 255 - given["image"], "text": given["text"] + 1}
    for one, two in zip(compute(scene[2], given), compute(scene[2], other), strict=True):
        torch.testing.assert_close(one, two)


def test_the_graph_says_what_it_reads(scene):
    notes = json.loads(scene[2].get_modelmeta().custom_metadata_map["tonggan"])
    assert notes["labels"] == ["cat", "dog"]
    assert notes["inputs"]["image"]["size"] == 24
    assert notes["inputs"]["table"]["cells"] == [{"column": "age"}]


def test_members_are_refused_for_a_graph_and_packed_as_a_file(members, tmp_path):
    with pytest.raises(ConfigError, match="--distill small"):
        tonggan.export(members.folder, tmp_path / "run.onnx", format="onnx")
    file = tmp_path / "run.tonggan"
    assert tonggan.export(members.folder, file, format="bundle")["bytes"] == file.stat().st_size
    row = {"note": "red", "noise": "blue"}
    assert tonggan.load(file).predict([row]) == members.predict([row])
    assert (unpacked(file) / "report.html").is_file()


def archive(path, names, *, method=0):
    import zipfile

    with zipfile.ZipFile(path, "w", method) as file:
        for name in names:
            file.writestr(name, "{}" * 2000)
    return path


@pytest.mark.parametrize(
    ("names", "method", "message"),
    [
        (["bundle.json", "../outside.json"], 0, "an archive with '../outside.json'"),
        (["/etc/outside"], 0, "an archive with '/etc/outside'"),
        (["bundle.json", "recipe.yaml", "weights.safetensors", "inputs.json"], 8, "compressed files in it"),
        (["recipe.yaml"], 0, "an archive without 'bundle.json'"),
    ],
)
def test_archives_that_export_has_not_written_are_refused(tmp_path, names, method, message):
    path = archive(tmp_path / "run.tonggan", names, method=method)
    with pytest.raises(BundleError, match=message):
        tonggan.load(path)
    assert not (tmp_path / "outside.json").exists()


def test_a_file_of_another_kind_and_a_damaged_one_are_refused(finished, tmp_path):
    path = tmp_path / "run.tonggan"
    path.write_text("no archive")
    with pytest.raises(BundleError, match="a file of another kind"):
        tonggan.load(path)
    tonggan.export(finished.folder, path, format="bundle")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match=r"run\.tonggan"):
        tonggan.load(path)
    path.write_bytes(whole[:2000] + bytes([whole[2000] ^ 255]) + whole[2001:])
    with pytest.raises(BundleError):
        tonggan.load(path)
