"""Dates, times of day and durations, from files of all kinds to predictions and the doctor."""

from __future__ import annotations

import random
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest

import tonggan
from tonggan.api import diagnose
from tonggan.data.kinds import guess_columns
from tonggan.data.readers import open_table
from tonggan.errors import DataError, DataWarning
from tonggan.modalities import TableConfig

SETTINGS = ["floor.preset=fast", "audit_alone=false"]


def frame(num_rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Trips, whose fare depends on the hour of their start and on how long they took."""
    draw = random.Random(seed)
    starts = [datetime(2024, 3, 1) + timedelta(minutes=draw.randrange(60 * 24 * 60)) for _ in range(num_rows)]
    took = [timedelta(seconds=draw.randrange(120, 7200)) for _ in starts]
    fares = [
        5.0 * (start.hour >= 18) + length.total_seconds() / 900 for start, length in zip(starts, took, strict=True)
    ]
    return pd.DataFrame(
        {
            "start": starts,
            "day": [start.date() for start in starts],
            "open": [time(draw.randrange(6, 23), 30) for _ in starts],
            "took": took,
            "fare": fares,
        }
    )


def as_workbook(data: pd.DataFrame, path: Path) -> Path:
    book = openpyxl.Workbook()
    book.active.append(list(data))
    for row in data.itertuples(index=False):
        book.active.append([value.to_pydatetime() if isinstance(value, pd.Timestamp) else value for value in row])
    book.save(path)
    return path


def as_csv(data: pd.DataFrame, path: Path) -> Path:
    data.to_csv(path, index=False)
    return path


def as_parquet(data: pd.DataFrame, path: Path) -> Path:
    data.to_parquet(path)
    return path


def as_world(data: pd.DataFrame, path: Path) -> Path:
    """As people write it."""
    seconds = [int(took.total_seconds()) for took in data["took"]]
    written = data.assign(
        start=[f"{start:%Y年}{start.month}月{start.day}日 {start:%H:%M}" for start in data["start"]],
        day=[f"{day.day}.{day.month}.{day.year}" for day in data["day"]],
        open=[f"{each:%I:%M %p}" for each in data["open"]],
        took=[f"{each // 3600} h {each // 60 % 60} min {each % 60} s" for each in seconds],
    )
    return as_csv(written, path)


@pytest.mark.parametrize(
    "write",
    [
        lambda data, _: data,
        lambda data, folder: as_csv(data, folder / "a.csv"),
        lambda data, folder: as_parquet(data, folder / "a.parquet"),
        lambda data, folder: as_workbook(data, folder / "a.xlsx"),
        lambda data, folder: as_world(data, folder / "a.csv"),
    ],
    ids=["pandas", "csv", "parquet", "excel", "world"],
)
def test_a_table_means_the_same_whoever_wrote_it(tmp_path: Path, write: Any) -> None:
    data = frame()
    table = open_table(write(data, tmp_path), cache=tmp_path / "cache")
    guesses = guess_columns(table, target=["fare"], declared={})
    kinds = {name: guess.config.kind for name, guess in guesses.items()}
    assert kinds == {"start": "date", "day": "date", "open": "time", "took": "duration", "fare": "number"}
    read = {
        name: [guesses[name].config.read(cell) for cell in table.values(name)] for name in ("start", "took", "open")
    }
    np.testing.assert_allclose(read["took"], data["took"].dt.total_seconds())
    since = (data["start"] - pd.Timestamp(1970, 1, 1)).dt.total_seconds()
    np.testing.assert_allclose(read["start"], since)
    assert read["open"] == [each.hour * 3600 + 1800 for each in data["open"]]
    row = TableConfig(columns={name: guesses[name].config for name in read}).build()
    row.fit({name: table.values(name) for name in read})
    assert row.sizes == [0] * len(row.token_of)
    assert row.token_of.count(0) > 5


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> tonggan.Predictor:
    folder = tmp_path_factory.mktemp("runs")
    return tonggan.fit(as_csv(frame(300), folder / "train.csv"), target="fare", out=folder / "run", settings=SETTINGS)


def test_the_hour_and_the_length_are_learned(predictor: tonggan.Predictor) -> None:
    assert predictor.evaluate(frame(100, seed=1))["metrics"]["test"]["r2"] > 0.8


def test_importance_is_told_by_column(predictor: tonggan.Predictor) -> None:
    told = predictor.evaluate(frame(100, seed=1))["audit"]["columns"]["table"]
    assert set(told) == {"start", "day", "open", "took"}
    assert list(told)[-1] == "open"  # nothing depends on it; the hour is told by 'start' and 'day' together


def test_a_bundle_reads_them_in_another_writing(predictor: tonggan.Predictor, tmp_path: Path) -> None:
    new = frame(40, seed=2)
    usual = predictor.predict(as_csv(new, tmp_path / "a.csv"))
    again = tonggan.load(predictor.folder)
    assert again.predict(new).tolist() == pytest.approx(usual)
    assert again.predict(as_parquet(new, tmp_path / "a.parquet")) == pytest.approx(usual)
    assert again.predict(as_world(new.assign(start=new["start"].dt.floor("min")), tmp_path / "b.csv")) == pytest.approx(
        usual, abs=0.01
    )
    american = new.assign(start=new["start"].dt.strftime("%m/%d/%Y %H:%M:%S"), day=new["start"].dt.strftime("%m/%d/%Y"))
    with pytest.warns(
        DataWarning, match=r"of 'start' in the table are written in another way than in training"
    ) as said:
        assert again.predict(american).tolist() == pytest.approx(usual)
    assert "they are read as dates, this one as 2024-" in str(said[0].message)


def test_what_differs_from_training_is_told(predictor: tonggan.Predictor) -> None:
    new = frame(40, seed=3)
    later = new.assign(start=new["start"] + timedelta(days=3650))
    with pytest.warns(
        DataWarning, match=r"far outside the range of training, e.g. '2034-[^']*' .*; training has 2024-03"
    ):
        predictor.predict(later)
    with pytest.warns(
        DataWarning, match="of 'start' .* are not written as the dates of this column are, e.g. 'Tuesday'"
    ):
        predictor.predict(new.assign(start="Tuesday"))
    with pytest.warns(DataWarning, match="of 'took' .* are not written as the durations of this column are"):
        predictor.predict(new.assign(took="long"))


def test_wild_dates_are_named() -> None:
    data = frame(100)
    data["start"] = data["start"].astype(str)
    data.loc[3, "start"] = "9999-12-31"
    [finding] = [each for each in diagnose(data, target="fare").findings if each.column == "start"]
    assert "holds dates far from all others, which are from 2024-03-" in finding.message
    assert "9999-12-31 in row 4 (1 of 100)" in finding.message
    assert "有远离其余日期" in finding.message_zh


def test_a_date_is_no_target_and_a_duration_is_one(tmp_path: Path) -> None:
    data = frame(60).drop(columns="day")
    data["at"] = [f"{each:%H:%M:%S}" for each in data["start"] + data["took"]]
    for name in ("start", "at"):
        with pytest.raises(DataError, match=rf"target '{name}'.*Predict a number in a column of its own"):
            tonggan.fit(data, target=name, out=tmp_path / name, settings=SETTINGS)
    declared = [*SETTINGS, "columns.start.kind=date"]
    for task in (None, "regression"):
        with pytest.raises(DataError, match="a column of dates"):
            tonggan.fit(data, target="start", task=task, out=tmp_path / "declared", settings=declared)
    data["took"] = [f"{int(each.total_seconds()) // 60}:{int(each.total_seconds()) % 60:02d}" for each in data["took"]]
    model = tonggan.fit(data, target="took", out=tmp_path / "took", settings=SETTINGS)
    assert model.bundle.task.kind == "regression"
    assert 0 < model.predict(data).mean() < 7200


def test_seconds_since_1970_only_where_declared(tmp_path: Path) -> None:
    data = frame(60)[["start", "fare"]].assign(start=lambda each: each["start"].astype("datetime64[s]").astype("int64"))
    assert dict(each[:2] for each in diagnose(data, target="fare").columns)["start"] == "number"
    table = open_table(data, cache=tmp_path)
    declared = TableConfig(columns={"start": {"kind": "date"}}).columns
    guess = guess_columns(table, target=["fare"], declared=declared)["start"]
    assert guess.config.epoch == "s"
    assert guess.reason.startswith("declared, dates from 2024-03-")
