"""From a table of pictures to answers in them: fit, evaluate, predict, draw, serve, and what the report shows."""

import base64
import io
import json
import re

import httpx
import numpy as np
import pytest
from PIL import Image

import detection_scene
import tonggan as api
from command_line import tonggan
from serving_scene import data_url, running
from small_data import make_table
from tonggan.errors import ConfigError
from tonggan.progress import Progress
from tonggan.runs.plan import resolve
from tonggan.runs.recipe import Recipe
from tonggan.serving.config import ServerConfig
from tonggan.serving.services import RowService, Service
from tonggan.training.supervised import Supervised

FAST = ("training.epochs=1", "model.dim=8")


def valid_of(predictor):
    return predictor.folder.parent / "valid.jsonl"


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def pictures_of(report):
    """The pictures in the order of a report."""
    found = re.findall(r'src="(data:image/png;base64,[^"]+)"', report.read_text())
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each.partition(",")[2])))) for each in found]


def test_it_learns(boxes_run, masks_run):
    boxes, masks = (run.results["metrics"]["valid"] for run in (boxes_run, masks_run))
    assert boxes["map_50"] > 0.7
    assert boxes["f1"] > 0.7
    assert masks["miou"] > 0.45
    for run in (boxes_run, masks_run):
        name, results = run.bundle.task.score_name, run.results
        score = results["metrics"]["valid"][name]
        assert results["constant"]["constant"] < score
        assert results["constant"]["model"] == score
        low, high = results["intervals"]["valid"][name]
        assert low <= score <= high


@pytest.mark.parametrize("fixture", ["boxes_run", "masks_run"])
def test_evaluate_gives_the_stored_numbers(fixture, request):
    run = request.getfixturevalue(fixture)
    outcome = tonggan("evaluate", run.folder, valid_of(run), "--json")
    assert outcome.code == 0, outcome.err
    measured, stored = outcome.json["metrics"]["test"], run.results["metrics"]["valid"]
    assert measured == pytest.approx(stored, abs=1e-6)
    assert outcome.json["rows"] == {"test": 12}


def test_the_command_line_from_end_to_end(boxes_run, tmp_path):
    source, drawn = valid_of(boxes_run), tmp_path / "drawn"
    outcome = tonggan("predict", boxes_run.folder, source, "--out", tmp_path / "found.json", "--draw", drawn)
    assert outcome.code == 0, outcome.err
    assert "12 predictions in" in outcome.out
    assert f"12 pictures in {drawn}".split()[:2] == ["12", "pictures"]
    assert len(list(drawn.iterdir())) == 12
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["images"]) == 12
    assert found["annotations"]
    told = tonggan("info", boxes_run.folder)
    assert told.code == 0, told.err
    assert "mAP" in told.out


def test_the_report_shows_pictures(boxes_run, masks_run):
    for run in (boxes_run, masks_run):
        report = run.folder / "report.html"
        pictures = pictures_of(report)
        assert len(pictures) >= 3, "of each of the worst rows the picture, what was found and what is true"
        assert all(min(picture.shape[:2]) >= 40 for picture in pictures)
        text = report.read_text()
        assert "错误最多的图片" in text
        assert "The pictures with the most mistakes" in text
    assert "Precision by recall" in (boxes_run.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def server(boxes_run, masks_run):
    config = ServerConfig(timeout=60)
    models = [
        Service(name, rows=RowService(run.bundle, config=config))
        for name, run in (("boxes", boxes_run), ("masks", masks_run))
    ]
    with running(models, config=config) as started:
        yield started


def test_boxes_are_served(boxes_run, server):
    source = valid_of(boxes_run)
    photos = [data_url((source.parent / line["photo"]).read_bytes()) for line in lines_of(source)]
    body = {"model": "boxes", "rows": [{"photo": photo} for photo in photos]}
    reply = httpx.post(f"{server.url}/v1/predict", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    served = [each["prediction"] for each in reply.json()["predictions"]]
    for boxes, told in zip(served, boxes_run.predict(source), strict=True):
        assert [box["label"] for box in boxes] == [box["label"] for box in told]
        for box, other in zip(boxes, told, strict=True):
            assert box["box"] == pytest.approx(other["box"], abs=0.05)


def test_masks_are_served(masks_run, server):
    source = valid_of(masks_run)
    photo = source.parent / lines_of(source)[1]["photo"]
    body = {"model": "masks", "rows": [{"photo": data_url(photo.read_bytes())}]}
    reply = httpx.post(f"{server.url}/v1/predict", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    (answer,) = reply.json()["predictions"]
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["prediction"].partition(",")[2]))))
    assert mask.shape == Image.open(photo).size[::-1] == (64, 40)
    (told,) = masks_run.predict({"photo": [str(photo)]})
    assert (mask != told).mean() < 0.01
    assert sum(answer["shares"].values()) == pytest.approx(1, abs=1e-3)
    assert answer["shares"]["0"] == pytest.approx((mask == 0).mean(), abs=1e-3)


def test_a_damaged_picture_is_refused_by_the_server(server):
    body = {"model": "boxes", "rows": [{"photo": data_url(b"no picture")}]}
    reply = httpx.post(f"{server.url}/v1/predict", json=body, timeout=60)
    assert reply.status_code == 400
    assert "photo" in reply.text


def test_new_rows_without_the_target(boxes_run, masks_run):
    for run in (boxes_run, masks_run):
        photos = [str(run.folder.parent / line["photo"]) for line in lines_of(valid_of(run))]
        found, told = run.predict({"photo": photos}), run.predict(valid_of(run))
        assert len(found) == 12
        assert all(np.array_equal(one, other) for one, other in zip(found, told, strict=True))


def test_a_row_whose_picture_is_missing(boxes_run, masks_run, tmp_path):
    good = str(boxes_run.folder.parent / "valid/1.png")
    for run in (boxes_run, masks_run):
        with pytest.warns(match=r"gone\.png"):
            found = run.predict({"photo": [good, str(tmp_path / "gone.png"), None]})
        assert len(found) == 3
    with pytest.warns(match=r"gone\.png"):
        assert boxes_run.predict({"photo": [good, str(tmp_path / "gone.png")]})[1] == []


def test_a_training_picture_that_is_missing_stops_no_run(tmp_path):
    rows = detection_scene.rows(tmp_path, 24)
    (tmp_path / rows[3]["photo"]).unlink()
    source = detection_scene.write(tmp_path, rows, "photo", "objects")
    with pytest.warns(match=r"train/3\.png"):
        run = api.fit(source, target="objects", out=tmp_path / "run", settings=[*detection_scene.DETECT, *FAST])
    assert np.isfinite(run.results["metrics"]["valid"]["count_error"])


def test_pictures_without_objects_teach_that(tmp_path):
    rows = detection_scene.rows(tmp_path, 24)
    for row in rows[::2]:
        row["objects"] = "[]"
    source = detection_scene.write(tmp_path, rows, "photo", "objects")
    with pytest.warns(match="fewer than 10 objects"):
        run = api.fit(source, target="objects", out=tmp_path / "run", settings=[*detection_scene.DETECT, *FAST])
    assert sum(run.results["rows"].values()) == 24
    assert not [each for each in run.results["findings"] if each["severity"] == "error"]


def test_ten_thousand_boxes_in_one_picture(tmp_path):
    rows = detection_scene.rows(tmp_path, 24)
    random = np.random.default_rng(0)
    corners = random.integers(0, [54, 38], size=(10_000, 2))
    rows[0]["objects"] = json.dumps([{"label": "red", "box": [x, y, x + 6, y + 6]} for x, y in corners.tolist()])
    source = detection_scene.write(tmp_path, rows, "photo", "objects")
    run = api.fit(source, target="objects", out=tmp_path / "run", settings=[*detection_scene.DETECT, *FAST])
    measured = run.evaluate({"photo": [str(tmp_path / rows[0]["photo"])], "objects": [rows[0]["objects"]]})
    assert measured["metrics"]["test"]["count_error"] > 9_000
    report = (run.folder / "report.html").read_text()
    assert "10,000" in report or sum(run.results["rows"].values()) == 24


@pytest.fixture(scope="module")
def wanted(tmp_path_factory, shared_cache):
    """Boxes of which a text says which color is meant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        settings = [*detection_scene.DETECT, *FAST, "columns.color.kind=text"]
        return detection_scene.fit(tmp_path_factory.mktemp("wanted"), "wanted", "color", settings=settings)


def test_subsets_of_inputs_are_measured_on_boxes(wanted):
    results = wanted.results
    assert {tuple(sorted(row["present"])) for row in results["subsets"]} == {
        (),
        ("photo",),
        ("color",),
        ("color", "photo"),
    }
    for row in results["subsets"]:
        assert 0 <= row["score"] <= 1
        if "photo" not in row["present"]:
            assert row["metrics"]["recall"] == 0, "without the picture there is no box"
    assert set(results["audit"]["shuffled"]) == {"photo", "color"}
    assert set(results["audit"]["alone_trained"]) == {"photo"}, "a text alone has no place for a box"


def test_a_text_beside_the_picture_is_predicted_with(wanted):
    rows = lines_of(valid_of(wanted))
    photos = [str(wanted.folder.parent / row["photo"]) for row in rows]
    found = wanted.predict({"photo": photos, "color": [row["color"] for row in rows]})
    assert len(found) == 12
    with pytest.warns(match="color"):
        assert len(wanted.predict({"photo": photos})) == 12


class Listening(Progress):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def interrupt_at_step(patch, step):
    """Ctrl-C in the middle of a training's step."""
    losses, done = Supervised.losses, [0]

    def counted(self, batch):
        done[0] += 1
        if done[0] > step:
            raise KeyboardInterrupt
        return losses(self, batch)

    patch.setattr(Supervised, "losses", counted)


def test_pictures_that_nobody_has_declared_may_show_the_answer(tmp_path):
    columns = {name: [row[name] for row in detection_scene.rows(tmp_path, 8)] for name in ("photo", "mask", "objects")}
    tables = {"train": make_table(tmp_path, columns)}
    recipe = {"target": ["objects"], "task": {"kind": "detect", "picture": "photo"}}
    with pytest.raises(ConfigError, match=r"column 'mask': got pictures beside.*columns\.mask\.kind=ignore"):
        resolve(Recipe.parse(recipe, who="test"), tables)
    for kind in ("ignore", "image"):
        declared = Recipe.parse({**recipe, "columns": {"mask": {"kind": kind}}}, who="test")
        assert resolve(declared, tables).kinds["mask"] == kind


@pytest.mark.parametrize(("kind", "target"), [("DETECT", "objects"), ("SEGMENT", "mask")])
def test_interrupted_and_resumed_is_bitwise_equal(tmp_path, kind, target):
    """In the middle of an epoch, with pictures that are varied and mixed."""
    source = detection_scene.write(tmp_path, detection_scene.rows(tmp_path, 32), "photo", target)
    augment = "columns.photo.augment={flip: true, shift: 0.1, scale: 0.5, mosaic: 0.5, brightness: 0.2}"
    settings = [*getattr(detection_scene, kind), augment, "training.epochs=3", "training.checkpoint_every=0"]
    whole = api.fit(source, target=target, out=tmp_path / "whole", settings=settings)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at_step(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            api.fit(source, target=target, out=tmp_path / "run", settings=settings)
    listening = Listening()
    resumed = api.fit(source, target=target, out=tmp_path / "run", settings=settings, progress=listening)
    assert any("Resuming at step 5" in text for text in listening.said)
    assert (resumed.folder / "weights.safetensors").read_bytes() == (whole.folder / "weights.safetensors").read_bytes()
    assert resumed.results["metrics"] == whole.results["metrics"]
