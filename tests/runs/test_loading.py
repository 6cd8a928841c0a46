import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import detection_scene
import run_scene
from tonggan.api import diagnose
from tonggan.errors import ConfigError, DataError
from tonggan.progress import Progress
from tonggan.runs.loading import Data, load
from tonggan.runs.plan import Plan, resolve
from tonggan.runs.recipe import Recipe
from tonggan.runs.splits import open_splits


def made(recipe: Recipe, sources: dict[str, Any], cache: Path) -> tuple[Plan, Data]:
    tables = open_splits(
        recipe.data, target=recipe.target, sources=sources, seed=recipe.seed, cache=cache, progress=Progress()
    )
    plan = resolve(recipe, tables)
    return plan, load(plan, tables, cache=cache, progress=Progress())


def loaded(cache: Path, table: pa.Table | None = None, *, test: pa.Table | None = None, **recipe: Any) -> Data:
    sources = {"train": run_scene.table() if table is None else table}
    if test is not None:
        sources["test"] = test
    parsed = Recipe.parse({"target": "answer", "columns": {"note": {"kind": "text"}}, **recipe}, who="test")
    return made(parsed, sources, cache)[1]


def test_a_plan_is_plain_data_with_every_choice_filled_in(tmp_path: Path) -> None:
    recipe = Recipe.parse({"target": "answer"}, who="test")
    plan, _ = made(recipe, {"train": run_scene.table()}, tmp_path)
    assert Plan.parse(json.loads(json.dumps(plan.to_dict())), who="test") == plan
    assert plan.recipe.task is not None
    assert list(plan.recipe.columns) == list(plan.reasons) == run_scene.table().column_names
    assert plan.recipe.model.encoders.keys() == {"note", "table"}
    again, _ = made(plan.recipe, {"train": run_scene.table()}, tmp_path)
    assert again.recipe == plan.recipe


def test_where_keeps_the_rows_with_these_values_in_every_table(tmp_path: Path) -> None:
    kinds = pa.array(["cat", "dog", "owl", None] * 40)
    table = run_scene.table().append_column("kind", kinds)
    parts = loaded(tmp_path, table, test=table, data={"where": {"kind": ["cat", "owl"]}})
    assert {split: len(part) for split, part in parts.tables.items()} == {"train": 72, "valid": 8, "test": 80}
    assert set(parts.tables["test"].values("kind")) == {"cat", "owl"}
    with pytest.raises(DataError, match=r"recipe.data.where.kind.*no row.*with one of cow"):
        loaded(tmp_path, table, data={"where": {"kind": ["cow"]}})
    with pytest.raises(DataError, match="no column 'sort'"):
        loaded(tmp_path, table, data={"where": {"sort": ["cow"]}})


def test_max_rows_draws_the_same_rows_for_the_same_seed(tmp_path: Path) -> None:
    one, same, other = (loaded(tmp_path, data={"max_rows": 40}, seed=seed) for seed in (1, 1, 2))
    assert sum(len(table) for table in one.tables.values()) == 40
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.tables["train"].values("size") == same.tables["train"].values("size")


def test_rows_of_a_group_stay_on_one_side_of_the_cut(tmp_path: Path) -> None:
    table = run_scene.table().append_column("patient", pa.array([f"p{row // 4}" for row in range(160)]))
    parts = loaded(tmp_path, table, data={"group": "patient", "valid_fraction": 0.25})
    sides = [set(parts.tables[split].values("patient")) for split in ("train", "valid")]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 40
    assert len(parts.tables["valid"]) == pytest.approx(40, abs=4)


def test_batch_by_marks_rows_with_equal_values(tmp_path: Path) -> None:
    table = run_scene.table().append_column("picture", pa.array([f"{row % 20}.png" for row in range(160)]))
    parts = loaded(
        tmp_path,
        table,
        data={"batch_by": "picture"},
        columns={"note": {"kind": "text"}, "picture": {"kind": "ignore"}},
    )
    groups = parts.datasets["train"].groups
    assert groups is not None
    values = np.array(parts.tables["train"].values("picture"))
    assert len(np.unique(groups)) == len(np.unique(values))
    for group in np.unique(groups):
        assert len(set(values[groups == group])) == 1
    assert parts.datasets["valid"].groups is None


def test_rows_without_a_target_teach_nothing_and_are_in_the_quarantine(tmp_path: Path) -> None:
    answers = ["yes", "no", "yes", "no", None, *["yes", "no"] * 77, ""]
    table = run_scene.table().set_column(3, "answer", pa.array(answers))
    parts = loaded(tmp_path, table)
    kept = {split: len(dataset) for split, dataset in parts.datasets.items()}
    assert sum(kept.values()) == 158
    assert sum(len(table) for table in parts.tables.values()) == 160
    assert {row.column for row in parts.diagnosis.quarantine} == {"answer"}
    assert len(parts.diagnosis.quarantine) == 2


def test_auxiliary_targets_are_beside_the_task_of_the_training_part_alone(tmp_path: Path) -> None:
    table = run_scene.table().append_column("sort", pa.array(["cat", "dog", "owl", "cow"] * 40))
    parts = loaded(tmp_path, table, test=table, auxiliary={"sort": {"input": "note", "weight": 0.3}})
    assert {split: list(dataset.targets) for split, dataset in parts.datasets.items()} == {
        "train": ["target", "sort"],
        "valid": ["target"],
        "test": ["target"],
    }
    assert list(parts.modalities) == ["note", "table"]
    sort = parts.auxiliaries["sort"]
    assert (sort.input, sort.weight, sort.task.labels) == ("note", 0.3, ["cat", "cow", "dog", "owl"])
    batch = parts.datasets["train"].batch(np.arange(20))
    expected = [sort.task.labels.index(value) for value in parts.tables["train"].values("sort", batch.rows.numpy())]
    assert batch.targets["sort"].values.tolist() == expected


def test_what_is_learned_from_data_is_learned_from_the_training_part_alone(tmp_path: Path) -> None:
    test = run_scene.table(40, seed=3)
    test = test.set_column(0, "size", pa.array(np.full(40, 1e6)))
    alone, with_test = loaded(tmp_path), loaded(tmp_path, test=test)
    assert alone.modalities["table"].state() == with_test.modalities["table"].state()
    assert alone.modalities["note"].state() == with_test.modalities["note"].state()


def test_columns_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'anwser'.*nearest is 'answer'"):
        loaded(tmp_path, target="anwser")
    ignored = {name: {"kind": "ignore"} for name in ("size", "weight", "note")}
    with pytest.raises(ConfigError, match="no column to learn from"):
        loaded(tmp_path, columns=ignored)
    with pytest.raises(ConfigError, match=r"column 'note'.*kind 'multilabel' for an input"):
        loaded(tmp_path, columns={"note": {"kind": "multilabel"}})
    auxiliary = {"drawn": {"input": "note"}}
    drawn = run_scene.table().append_column("drawn", pa.array(['[{"label": "cat", "box": [0, 0, 2, 2]}]'] * 160))
    with pytest.raises(ConfigError, match=r"auxiliary\.drawn: got a column of kind boxes, expected a class"):
        loaded(tmp_path, drawn, auxiliary=auxiliary)
    with pytest.raises(DataError, match="no table to learn from"):
        made(Recipe(target=["y"]), {}, tmp_path)


@pytest.fixture
def shelves(tmp_path: Path) -> list[dict[str, Any]]:
    rows = detection_scene.rows(tmp_path, 12, seed=0, name="train")
    rows[0]["objects"] = json.dumps([{"label": "red", "box": [900, 900, 950, 950]}])
    rows[1]["mask"] = "train/nowhere.png"
    return rows


def test_the_doctor_looks_at_masks_and_boxes_beside_their_picture(
    shelves: list[dict[str, Any]], tmp_path: Path
) -> None:
    masks = diagnose(detection_scene.write(tmp_path, shelves, "photo", "mask", name="masks"), target="mask")
    assert [(bad.number, bad.reason.partition(":")[0]) for bad in masks.quarantine] == [(2, "no mask that can be read")]
    boxes = diagnose(detection_scene.write(tmp_path, shelves, "photo", "objects", name="boxes"), target="objects")
    assert [(bad.number, bad.reason.partition(":")[0]) for bad in boxes.quarantine] == [
        (1, "a box outside its picture")
    ]


def test_the_doctor_takes_the_first_of_several_pictures_and_says_so(
    shelves: list[dict[str, Any]], tmp_path: Path
) -> None:
    source = detection_scene.write(tmp_path, shelves, "photo", "objects", "mask", name="all")
    diagnosis = diagnose(source, target="objects")
    (finding,) = [finding for finding in diagnosis.findings if "may lie in any" in finding.message]
    assert "'photo', 'mask'; here 'photo' is taken" in finding.message
    assert "“photo”、“mask”" in finding.message_zh
    assert any(bad.reason.startswith("a box outside its picture") for bad in diagnosis.quarantine)
