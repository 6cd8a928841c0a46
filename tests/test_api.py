import datetime
import json
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

import tonggan
from offline import run_offline
from small_data import png
from tonggan.errors import ConfigError, DataError

QUICK = [
    "audit_alone=false",
    "floor={preset: fast, folds: 2}",
    "floor.members={linear: {kind: linear}, trees: {kind: boosted_trees, learning_rate: 0.3}}",
]
# Whatever weights are installed, pictures and recordings are for a network alone.
TINY = [*QUICK, "training.epochs=2", "training.batch_size=16", "model.dim=16"]
UNREAD = "floor.weights={picture: null, sound: null, words: null}"


@pytest.fixture(autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path_factory.getbasetemp() / "api_cache"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def numbers(rows: int = 80, *, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame({"a": random.normal(size=rows), "b": random.normal(size=rows)})


def mixed_rows(folder: Path, rows: int = 60) -> list[dict]:
    """A picture, a sound, a text and a number for each row, each of them missing in some."""
    random = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    result = []
    for row in range(rows):
        label = row % 2
        picture, sound = folder / f"{row}.png", folder / f"{row}.wav"
        noise = random.integers(0, 60, size=(12, 12, 3))
        Image.fromarray((noise + (160 if label else 0)).astype(np.uint8)).save(picture)
        with wave.open(str(sound), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            tone = np.sin(np.arange(1600) * (0.9 if label else 0.2)) + 0.1 * random.normal(size=1600)
            file.writeframes((8000 * tone).astype("<i2").tobytes())
        cells = {
            "picture": picture.name,
            "sound": sound.name,
            "words": f"{'bright and high' if label else 'dark and low'} number {row} of them",
            "size": float(random.normal() + label),
        }
        for name in random.choice(list(cells), size=row % 3, replace=False):
            cells[name] = None
        result.append({**cells, "label": ["low", "high"][label]})
    return result


def with_whole_paths(rows: list[dict], folder: Path) -> list[dict]:
    return [{**row, **{name: row[name] and str(folder / row[name]) for name in ("picture", "sound")}} for row in rows]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[tonggan.Predictor, Path, list[dict]]:
    folder = tmp_path_factory.mktemp("mixed")
    rows = mixed_rows(folder)
    pd.DataFrame(rows).to_json(folder / "rows.jsonl", orient="records", lines=True)
    small = [
        "columns={picture: {kind: image, size: 16}, sound: {kind: audio, sample_rate: 8000, max_seconds: 0.5}}",
        "columns.words.kind=text",
        UNREAD,
        "model.encoders.picture={kind: image_cnn}",
        "training.epochs=8",
        "training.learning_rate=0.005",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(folder / "cache"))
        model = tonggan.fit(folder / "rows.jsonl", target="label", out=folder / "run", settings=[*TINY, *small])
    return model, folder, rows


def test_importing_is_light_and_offers_what_it_says() -> None:
    code = "import sys, tonggan; print('torch' in sys.modules, set(tonggan.__all__) <= set(dir(tonggan)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        tonggan.fitt  # noqa: B018


def test_a_data_frame_and_an_arrow_table_give_the_same_model(tmp_path: Path) -> None:
    frame = numbers()
    frame["y"] = np.where(frame["a"] > frame["b"], "more", "less")
    one = tonggan.fit(frame, target="y", out=tmp_path / "one", settings=QUICK)
    other = tonggan.fit(
        pa.Table.from_pandas(frame, preserve_index=False), target="y", out=tmp_path / "other", settings=QUICK
    )
    rows = numbers(10, seed=1)
    np.testing.assert_array_equal(one.predict_proba(rows), other.predict_proba(pa.Table.from_pandas(rows)))
    assert one.labels == ["less", "more"]
    assert one.predict_proba(rows).shape == (10, 2)
    np.testing.assert_allclose(one.predict_proba(rows).sum(axis=1), 1, atol=1e-6)
    assert one.predict(rows).tolist() == [one.labels[index] for index in one.predict_proba(rows).argmax(axis=1)]
    assert one.embed(rows).shape == (10, 2)


def test_a_folder_of_class_folders_is_a_table(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label, low in (("day", 150), ("night", 0)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for index in range(20):
            color = (low + random.integers(100, size=3)).tolist()
            (tmp_path / "data" / label / f"{index}.png").write_bytes(png(*color))
    settings = [*TINY, "columns.image={kind: image, size: 16}", "training.epochs=6", "floor=null"]
    model = tonggan.fit(tmp_path / "data", target="label", out=tmp_path / "run", settings=settings)
    assert model.labels == ["day", "night"]
    assert list(model.bundle.modalities) == ["image"]
    found = model.predict([{"image": png(230, 230, 230)}, {"image": png(5, 5, 5)}])
    assert set(found) <= {"day", "night"}


def test_several_numbers_are_predicted_together(tmp_path: Path) -> None:
    frame = numbers(120)
    frame["sum"], frame["ten"] = frame["a"] + frame["b"], 1000 + 10 * frame["a"]
    model = tonggan.fit(frame, target=["sum", "ten"], out=tmp_path / "run", settings=QUICK)
    found = model.predict(frame.set_index(frame.index + 7))
    assert list(found.columns) == ["sum", "ten"]
    assert list(found.index) == list(frame.index + 7)
    assert np.corrcoef(found["sum"], frame["sum"])[0, 1] > 0.8
    assert found["ten"].mean() == pytest.approx(1000, abs=5)
    assert model.predict(frame.to_dict("list"))[0] == found.iloc[0].to_dict()
    assert {"mae", "rmse", "r2"} <= set(model.results["metrics"]["valid"])
    assert model.evaluate(frame)["metrics"]["test"]["r2"] > 0.5
    with pytest.raises(DataError, match=r"predict_proba.*regression.*Call predict instead"):
        model.predict_proba(frame)


def test_tags_are_predicted_as_lists(tmp_path: Path) -> None:
    frame = numbers(120)
    signs = [("a" * (a > 0), "b" * (b > 0)) for a, b in zip(frame["a"], frame["b"], strict=True)]
    frame["tags"] = ["|".join(filter(None, pair)) or "none" for pair in signs]
    settings = [*QUICK, "columns.tags.kind=multilabel"]
    model = tonggan.fit(frame, target="tags", out=tmp_path / "run", settings=settings)
    assert sorted(model.labels) == ["a", "b", "none"]
    found = model.predict(frame)
    right = [sorted(tags) == sorted(truth.split("|")) for tags, truth in zip(found, frame["tags"], strict=True)]
    assert np.mean(right) > 0.7
    assert model.predict_proba(frame).shape == (120, 3)


def test_all_modalities_at_once_each_missing_in_some_rows(mixed: tuple[tonggan.Predictor, Path, list[dict]]) -> None:
    model, folder, _ = mixed
    assert set(model.results["inputs"].values()) == {"image", "audio", "text", "table"}
    assert len(model.results["subsets"]) == 16
    assert set(model.results["audit"]["shapley"]) == set(model.results["inputs"])
    probabilities = model.predict_proba(folder / "rows.jsonl")
    assert probabilities.shape == (60, 2)
    assert np.isfinite(probabilities).all()
    measured = model.evaluate(folder / "rows.jsonl")
    assert measured["metrics"]["test"]["accuracy"] > 0.8
    assert measured["rows"] == {"test": 60}


def test_rows_may_be_mappings(mixed: tuple[tonggan.Predictor, Path, list[dict]]) -> None:
    model, folder, rows = mixed
    whole = model.predict_proba(folder / "rows.jsonl")
    given = with_whole_paths(rows[:6], folder)
    np.testing.assert_allclose(model.predict_proba(given), whole[:6], atol=1e-6)
    complete = next(row for row in given if None not in row.values())
    assert model.predict(complete) == model.predict([complete])
    words_only = {name: complete[name] if name == "words" else None for name in complete}
    together = model.predict_proba([{"words": complete["words"]}, complete])
    np.testing.assert_allclose(together, model.predict_proba([words_only, complete]), atol=1e-6)
    as_bytes = {**complete, "picture": Path(complete["picture"]).read_bytes()}
    np.testing.assert_allclose(model.predict_proba(as_bytes), model.predict_proba(complete), atol=1e-6)


def test_a_missing_cell_is_what_the_subsets_table_calls_absent(
    mixed: tuple[tonggan.Predictor, Path, list[dict]],
) -> None:
    model, folder, rows = mixed
    frame = pd.DataFrame(with_whole_paths(rows, folder))
    subsets = {tuple(row["present"]): row["metrics"] for row in model.evaluate(frame)["subsets"]}
    only_words = frame.assign(picture=None, sound=None, size=None)
    assert model.evaluate(only_words)["metrics"]["test"] == pytest.approx(subsets["words",], abs=1e-6)
    without_sound = frame.assign(sound=None)
    assert model.evaluate(without_sound)["metrics"]["test"] == pytest.approx(
        subsets["picture", "words", "table"], abs=1e-6
    )


def test_a_column_that_is_left_out_is_absent_and_told(mixed: tuple[tonggan.Predictor, Path, list[dict]]) -> None:
    model, folder, rows = mixed
    frame = pd.DataFrame(with_whole_paths(rows, folder))
    with pytest.warns(
        tonggan.DataWarning, match="cells of 'sound' in the table are empty; in training 15 of 54"
    ) as empty:
        expected = model.predict_proba(frame.assign(sound=None, size=None))
    assert len(empty) == 2
    with pytest.warns(tonggan.DataWarning, match="no column 'sound', 'size', which the model reads") as told:
        found = model.predict_proba(frame.drop(columns=["sound", "size"]))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(told) == 1
    assert told[0].filename == __file__
    with pytest.raises(DataError, match="no column 'picture'"):
        model.predict([{"sounds": "1.wav"}])
    with pytest.raises(DataError, match="no column 'label'"):
        model.evaluate(frame.drop(columns=["label"]))


def test_columns_as_a_mapping_of_lists_are_rows_and_a_list_in_a_text_is_refused(
    mixed: tuple[tonggan.Predictor, Path, list[dict]],
) -> None:
    model, _, _ = mixed
    words = ["bright and high number 3", "dark and low number 4", None]
    assert model.predict({"words": words}) == [model.predict({"words": word})[0] for word in words]
    for cell in (["red", "apple"], {"red": 1}, b"red"):
        with pytest.raises(DataError, match=r"column 'words' of rows: got .* in a cell, such as .*red"):
            model.predict([{"words": cell}])


TARGETS = {
    "integers": ([0, 1, 2], ["0.0", "1", " 2"]),
    "floats": ([0.5, 1.0, 2.0], ["0.50", "1", "2.0"]),
    "booleans": ([False, True, True], ["FALSE", 1.0, "true"]),
    "texts": (["01", "1", "x"], ["01", "1.0", "x "]),
    "dates": ([datetime.date(2024, 3, 5), datetime.date(2024, 3, 6), datetime.date(2024, 3, 7)],
              ["2024/3/5", datetime.datetime(2024, 3, 6), "2024-03-07"]),
    "times": (list(pd.to_datetime(["2024-03-05 10:00:00", "2024-03-06 00:00:00", "2024-03-07 01:02:03"])),
              ["2024-03-05T10:00", "2024-03-06", "2024-03-07 01:02:03"]),
    "categories": (list(pd.Categorical([3, 1, 2])), ["3", "1.0", 2]),
    "bins": (list(pd.interval_range(0, 3)), ["(0, 1]", "(1, 2]", "(2, 3]"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_labels_come_back_as_they_were_with_the_callers_index(name: str, tmp_path: Path) -> None:
    values, spelled = TARGETS[name]
    frame = pd.DataFrame({"x": np.tile([-1.0, 0.0, 1.0], 30) + np.linspace(0, 0.1, 90), "y": values * 30})
    if name in ("categories", "bins"):
        frame["y"] = frame["y"].astype("category")
    settings = [*QUICK, "columns.y.kind=category"]
    fitted = tonggan.fit(frame, target="y", out=tmp_path / "run", settings=settings)
    model = tonggan.load(tmp_path / "run")
    rows = frame.set_index(pd.Index([f"row {number}" for number in range(90)]))
    found = model.predict(rows)
    assert found.name == "y"
    assert list(found.index) == list(rows.index)
    own = [str(value) for value in values] if name == "bins" else values
    assert found.tolist() == (own * 30 if name == "bins" else frame["y"].tolist())
    assert set(map(type, found.tolist())) == set(map(type, own))
    assert model.predict(frame.head(3).to_dict("list")) == fitted.predict(frame.head(3)).tolist()
    assert set(model.labels) == set(own)
    assert len(model.labels) == model.predict_proba(rows).shape[1]
    target = model.bundle.task.target
    assert target.collate(spelled).values.tolist() == target.collate(own).values.tolist()
    if name == "integers":
        other = rows.assign(y=pd.Series(spelled * 30, index=rows.index))
        assert model.evaluate(other).metrics == model.evaluate(rows).metrics


def test_one_value_of_a_cell_in_every_reader(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"flag": random.random(90) < 0.5, "store": random.choice([1, 2, 30], 90), "dose": 0.0})
    frame["dose"] = random.choice(np.array([0.1, 1.0, 2.5], np.float32), 90)
    frame["y"] = frame["flag"].map({True: "a", False: "b"}) + (frame["store"] % 2).astype(str)
    settings = [*QUICK, *(f"columns.{name}.kind=category" for name in ("flag", "store", "dose"))]
    model = tonggan.fit(frame, target="y", out=tmp_path / "run", settings=settings)
    expected = model.predict_proba(frame)
    for suffix, write in (("csv", frame.to_csv), ("parquet", frame.to_parquet)):
        write(tmp_path / f"own.{suffix}", index=False)
        np.testing.assert_array_equal(model.predict_proba(tmp_path / f"own.{suffix}"), expected)
    text = (tmp_path / "own.csv").read_text()
    (tmp_path / "excel.csv").write_text(text.replace("True", "TRUE").replace("False", "FALSE"), encoding="utf-8-sig")
    np.testing.assert_array_equal(model.predict_proba(tmp_path / "excel.csv"), expected)
    other = frame.astype({"flag": int, "store": float, "dose": str}).astype({"store": object})
    np.testing.assert_array_equal(model.predict_proba(other), expected)
    np.testing.assert_array_equal(model.predict_proba(frame.to_dict("records")), expected)


def test_a_file_without_types_gives_numbers_where_all_labels_are_numbers(tmp_path: Path) -> None:
    frame = numbers(60)
    frame["y"] = (frame["a"] > 0).astype(int)
    frame.to_csv(tmp_path / "train.csv", index=False)
    model = tonggan.fit(tmp_path / "train.csv", target="y", out=tmp_path / "run", settings=QUICK)
    assert model.labels == [0, 1]
    assert set(map(type, model.predict(tmp_path / "train.csv"))) == {int}


def test_column_names_may_be_numbers(tmp_path: Path) -> None:
    frame = numbers(60).set_axis([0, 1], axis=1)
    frame[2] = np.where(frame[0] > 0, "more", "less")
    model = tonggan.fit(frame, target=2, out=tmp_path / "run", settings=QUICK)
    assert set(model.predict(frame[[0, 1]])) <= {"more", "less"}


def test_without_out_the_run_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = numbers(40)
    frame["the target"] = np.where(frame["a"] > 0, "more", "less")
    caplog.set_level("INFO", logger="tonggan")
    models = [tonggan.fit(frame, target="the target", settings=QUICK) for _ in range(2)]
    assert len({model.folder for model in models}) == 2
    for model in models:
        assert model.folder.parent == Path("runs")
        assert model.folder.name.startswith("the_target-20")
        assert f"The run is in {model.folder}" in caplog.text
        assert tonggan.load(model.folder).labels == ["less", "more"]
    assert "Rows: 36 train, 4 valid. Task: binary." in caplog.text


def test_results_have_names(tmp_path: Path) -> None:
    frame = numbers(60)
    frame["y"] = np.where(frame["a"] > 0, "more", "less")
    model = tonggan.fit(frame, target="y", out=tmp_path / "run", settings=QUICK)
    results = model.results
    assert results.metrics.valid.accuracy == results["metrics"]["valid"]["accuracy"]
    assert results.subsets[0].present == results["subsets"][0]["present"]
    assert json.loads(json.dumps(results)) == results
    assert {"metrics", "audit", "keys"} <= set(dir(results))
    with pytest.raises(AttributeError, match="no 'metric' in these results; there are metrics"):
        results.metric  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training": {"epochs": "x"}}, "training.epochs = 'x', expected training.epochs: a whole number"),
        ({"training": {"epoch": 3}}, "training.epoch: no such field, the nearest is 'epochs'"),
        ({"audit_alone.x": 1, "audit_alone": 3}, "audit_alone: true or false"),
        ([("training.epochs", 3)], r"got \('training.epochs', 3\) in a list.*settings="),
    ],
)
def test_settings_that_are_wrong_are_named(settings: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        tonggan.fit(numbers(), target="b", out=tmp_path / "run", settings=settings)
    assert "pydantic" not in str(caught.value).lower()
    assert "Input should" not in str(caught.value)


OFFLINE = """
import tonggan.api
train, out = sys.argv[1:]
model = tonggan.api.fit(train, target="label", out=out, settings=[
    "columns={picture: {kind: image, size: 16}, sound: {kind: audio, sample_rate: 8000, max_seconds: 0.5}}",
    "training.epochs=1", "model.dim=16", "model.encoders.picture={kind: image_cnn}", "audit_alone=false",
    "floor={preset: fast, folds: 2, weights: {picture: null, sound: null}}",
])
again = tonggan.api.load(out)
assert again.predict(train) == model.predict(train)
assert again.evaluate(train)["metrics"]
"""


@pytest.mark.slow
def test_fit_predict_and_evaluate_use_no_network(
    mixed: tuple[tonggan.Predictor, Path, list[dict]], tmp_path: Path
) -> None:
    _, folder, _ = mixed
    rules = {"pickle_allowed": True, "imports_libraries": True}
    run_offline(OFFLINE, folder / "rows.jsonl", tmp_path / "run", cache=tmp_path / "cache", **rules)
    for rules in ({}, {"imports_libraries": True}):
        with pytest.raises(AssertionError, match="the network was used"):
            run_offline("import urllib.request; urllib.request.urlopen('http://192.0.2.1/')", cache=tmp_path, **rules)
