"""Numbers in the ways of the world, from fit to predict, evaluate and the doctor."""

import random

import pandas as pd
import pytest

import tonggan
from tonggan.api import diagnose
from tonggan.errors import DataWarning


def frame(num_rows=160, seed=0):
    draw = random.Random(seed)
    sizes = [draw.uniform(1, 5) for _ in range(num_rows)]
    weights = [f"{size:.2f} kg".replace(".", ",") if index % 10 else "kaputt" for index, size in enumerate(sizes)]
    prices = [f"€ {1000 * size:,.2f}".translate(str.maketrans(",.", ".,")) for size in sizes]
    return pd.DataFrame({"weight": weights, "noise": [draw.random() for _ in sizes], "price": prices}), sizes


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    data, _ = frame()
    settings = ["floor=null", "training.epochs=25", "audit_alone=false"]
    return tonggan.fit(data, target="price", out=tmp_path_factory.mktemp("runs") / "run", settings=settings)


def test_inputs_and_targets_are_read_and_the_way_is_kept_in_the_bundle(predictor):
    assert predictor.bundle.task.kind == "regression"
    columns = tonggan.load(predictor.folder).bundle.recipe.columns
    assert columns["weight"].read("3,5 kg") == 3.5
    assert columns["weight"].missing == ["kaputt"]
    assert columns["price"].read("€ 1.200,50") == 1200.5


def test_predictions_are_in_the_units_of_the_data(predictor):
    data, sizes = frame(40, seed=1)
    predicted = predictor.predict(data.drop(columns="price"))
    told = [index for index in range(40) if index % 10]
    assert pd.Series([predicted[index] for index in told]).corr(pd.Series([sizes[index] for index in told])) > 0.9
    as_numbers = pd.DataFrame({"weight": sizes, "noise": data["noise"]})
    assert predictor.predict(as_numbers)[1] == pytest.approx(predicted[1], rel=0.02)


def test_evaluate_reads_the_target_in_the_same_way(predictor):
    data, _ = frame(60, seed=2)
    assert predictor.evaluate(data)["metrics"]["test"]["r2"] > 0.7


def test_the_doctor_says_how_numbers_are_read_and_when_they_are_not():
    data, _ = frame()
    data["mixed"] = [f"{index} {'kg' if index % 2 else 'g'}" for index in range(len(data))]
    diagnosis = diagnose(data, target="price")
    reasons = {name: reason for name, _, reason in diagnosis.columns}
    assert "in kg, 'kaputt' count as missing" in reasons["weight"]
    [finding] = [finding for finding in diagnosis.findings if finding.column == "mixed"]
    assert "different units" in finding.message
    assert "--set" in finding.remedy


def test_new_rows_may_be_written_in_another_way(predictor):
    data, sizes = frame(40, seed=3)
    usual = predictor.predict(data)
    other = data.assign(weight=[f"{size:.2f}kg" for size in sizes], price=[f"{1000 * size:.2f} EUR" for size in sizes])
    told = [index for index in range(40) if index % 10]
    with pytest.warns(DataWarning, match=r"40 of 40 cells of 'weight' in the table are written in another way") as said:
        found = predictor.predict(other)
    assert len(said) == 1
    assert [found[index] for index in told] == [usual[index] for index in told]
    rows = predictor.read(other, with_target=True)
    assert {(note.column, note.severity) for note in rows.diagnosis.aloud} == {("weight", "note"), ("price", "note")}
    assert predictor.evaluate(rows).metrics.test.r2 > 0.7
    unsure = other.assign(weight=[f"{size:.2f} lb" for size in sizes])
    with pytest.warns(
        DataWarning, match="are not written as the numbers of this column are, e.g. '[0-9.]+ lb' in row 1"
    ):
        predictor.predict(unsure)


def test_a_test_table_may_be_written_in_another_way(tmp_path):
    draw = random.Random(0)
    sizes = [draw.uniform(1, 5) for _ in range(200)]
    table = pd.DataFrame({"size": [f"{size:.3f}" for size in sizes], "y": [f"{3 * size:.2f}" for size in sizes]})
    test = table[100:].map(lambda cell: cell.replace(".", ","))
    model = tonggan.fit(
        table[:100],
        target="y",
        test=test,
        out=tmp_path / "run",
        settings=["floor=null", "training.epochs=30", "training.hidden_cells=0", "audit_alone=false"],
    )
    assert model.results.rows.test == 100
    assert model.results.metrics.test.r2 > 0.9
    notes = [finding for finding in model.results.findings if "another way" in finding["message"]]
    assert {(note["column"], note["split"], note["count"]) for note in notes} == {
        ("size", "test", 100),
        ("y", "test", 100),
    }
