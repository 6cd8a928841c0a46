import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import forked
import run_scene
import tonggan
from tonggan.errors import ConfigError, DataError
from tonggan.progress import Progress
from tonggan.training import Budget

CELLS = ("columns.note.kind=ignore", "model.encoders={table: {kind: table}}", "training.epochs=2")


class Said(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def out_of_fold(model: tonggan.Predictor) -> dict[str, list[Any]]:
    return pyarrow.csv.read_csv(model.folder / "out_of_fold.csv").to_pydict()


def quick(out: Path, *, data: Any = None, **options: Any) -> tonggan.Predictor:
    """Cells alone, in two epochs."""
    settings = [*CELLS, *options.pop("settings", ())]
    return run_scene.fit(out, data=data, settings=settings, **options)


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> tonggan.Predictor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        return quick(tmp_path_factory.mktemp("folded"), folds=4)


def test_every_row_is_predicted_by_a_model_that_has_not_learned_from_it(folded: tonggan.Predictor) -> None:
    table, found = run_scene.table(), out_of_fold(folded)
    assert found["row"] == list(range(1, 161))
    assert found["answer"] == table["answer"].to_pylist()
    sizes = np.bincount(found["fold"])[1:]
    assert sizes.tolist() == [40, 40, 40, 40]
    yes = [found["fold"][row] for row in range(160) if found["answer"][row] == "yes"]
    assert np.ptp(np.bincount(yes)[1:]) <= 1, "classes are dealt out evenly"
    right = np.mean([said == truth for said, truth in zip(found["prediction"], found["answer"], strict=True)])
    metrics = folded.results["metrics"]["valid"]
    assert right == pytest.approx(metrics["accuracy"])
    likely = np.array(found["p_yes"])
    losses = -np.log(np.where(np.array(found["answer"]) == "yes", likely, 1 - likely))
    assert losses.mean() == pytest.approx(metrics["log_loss"], abs=1e-5)
    study = folded.results["study"]
    assert study["kind"] == "folds"
    scores = [trial["metrics"]["valid"]["accuracy"] for trial in study["trials"]]
    assert study["mean"]["valid"]["accuracy"] == pytest.approx(np.mean(scores))
    assert study["spread"]["valid"]["accuracy"] == pytest.approx(np.std(scores, ddof=1))
    page = (folded.folder / "report.html").read_text(encoding="utf-8")
    assert "Folds" in page
    assert "交叉验证" in page
    assert " ± " in page


@pytest.mark.slow
def test_folds_in_two_processes_are_cut_as_those_of_one(
    folded: tonggan.Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    program = f"import sys, run_scene; run_scene.fit(sys.argv[1], settings={CELLS!r}, folds=4)"
    command = [sys.executable, "-c", program, str(tmp_path / "run")]
    for done in forked.run_together(command, number=2):
        assert done.returncode == 0, done.stderr
    both = tonggan.load(tmp_path / "run")
    found, alone = out_of_fold(both), out_of_fold(folded)
    assert found["fold"] == alone["fold"]
    likely, truth = np.array(found["p_yes"]), np.array(found["answer"])
    losses = -np.log(np.where(truth == "yes", likely, 1 - likely))
    assert losses.mean() == pytest.approx(both.results["metrics"]["valid"]["log_loss"], abs=1e-5)
    assert len(both.bundle.networks) == len(both.results["study"]["trials"]) == 4


def test_the_bundle_serves_the_mean_of_the_folds(folded: tonggan.Predictor, tmp_path: Path) -> None:
    rows = run_scene.table(30, seed=5)
    served = folded.predict_proba(rows)
    loaded = tonggan.load(folded.folder)
    np.testing.assert_allclose(loaded.predict_proba(rows), served, atol=1e-6)
    networks = loaded.bundle.networks
    assert len(networks) == 4
    np.testing.assert_allclose(tonggan.load(loaded.save(tmp_path / "copy")).predict_proba(rows), served, atol=1e-6)
    dataset = loaded.read(rows).dataset
    batch = dataset.batch(np.arange(30))
    shares = [network(batch.inputs)["outputs"].sigmoid().detach().double().numpy() for network in networks]
    plain = np.mean(shares, axis=0).clip(1e-6, 1 - 1e-6)
    calibrated = 1 / (1 + np.exp(-np.log(plain / (1 - plain)) / loaded.bundle.task.temperature))
    np.testing.assert_allclose(served[:, 1], calibrated.ravel(), atol=1e-5)


def test_the_same_seed_gives_the_same_folds_and_numbers(folded: tonggan.Predictor, tmp_path: Path) -> None:
    again = quick(tmp_path / "again", folds=4)
    assert (again.folder / "out_of_fold.csv").read_bytes() == (folded.folder / "out_of_fold.csv").read_bytes()
    assert again.results["metrics"] == folded.results["metrics"]
    other = quick(tmp_path / "other", folds=4, seed=1)
    assert out_of_fold(other)["fold"] != out_of_fold(folded)["fold"]


@pytest.mark.slow
def test_a_killed_study_keeps_its_finished_folds(folded: tonggan.Predictor, tmp_path: Path) -> None:
    out = tmp_path / "run"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = (
        f"import run_scene, sys; from pathlib import Path; run_scene.stop_at_step(40); "
        f"run_scene.fit(Path(sys.argv[1]), settings={list(CELLS)!r}, folds=4)"
    )
    with forked.Process([sys.executable, "-c", program, str(out)], env=environment) as process:
        assert process.stdout.readline().strip() == run_scene.HERE
        process.send_signal(signal.SIGKILL)
    assert (out / "trials/0/bundle.json").exists()
    assert not (out / "trials/3/bundle.json").exists()
    before = (out / "trials/0/bundle.json").stat().st_mtime_ns
    said = Said()

    class Kept(Said):
        def say(self, text: str) -> None:
            said.say(text)
            if text.startswith("Fold 2"):
                assert (out / "trials/0/bundle.json").stat().st_mtime_ns == before

    resumed = quick(out, folds=4, progress=Kept())
    assert any(line.startswith("Fold 2") for line in said.lines)
    assert (out / "out_of_fold.csv").read_bytes() == (folded.folder / "out_of_fold.csv").read_bytes()
    assert resumed.results["metrics"] == folded.results["metrics"]
    assert not (out / "trials").exists()


def grouped(rows: int = 120) -> pa.Table:
    table = run_scene.table(rows)
    patients = pa.array([f"p{row // 10}" for row in range(rows)])
    days = pa.array([f"2024-{1 + row * 7 % 12:02d}-{1 + row % 28:02d}" for row in range(rows)])
    return table.append_column("patient", patients).append_column("day", days)


IGNORED = ["columns.patient.kind=ignore", "columns.day.kind=ignore"]


def test_groups_are_in_one_fold_each(tmp_path: Path) -> None:
    table = grouped()
    model = quick(tmp_path / "run", data=table, folds=3, settings=["data.group=patient", *IGNORED])
    found = out_of_fold(model)
    folds = {patient: set() for patient in table["patient"].to_pylist()}
    for patient, fold in zip(table["patient"].to_pylist(), found["fold"], strict=True):
        folds[patient].add(fold)
    assert all(len(each) == 1 for each in folds.values())
    with pytest.raises(DataError, match=r"12 groups.*at least 15"):
        quick(tmp_path / "many", data=table, folds=15, settings=["data.group=patient", *IGNORED])


def test_what_is_validated_is_later_than_what_is_learned_from(tmp_path: Path) -> None:
    table = grouped()
    days = table["day"].to_pylist()
    model = quick(tmp_path / "folds", data=table, folds=3, settings=["data.time=day", *IGNORED])
    found = out_of_fold(model)
    assert len(found["row"]) < 120, "the earliest rows have nothing before them"
    pairs = list(zip(found["row"], found["fold"], strict=True))
    held = {fold: [days[row - 1] for row, of in pairs if of == fold] for fold in (1, 2, 3)}
    unseen = [days[row] for row in range(120) if row + 1 not in found["row"]]
    assert max(unseen) < min(held[1])
    assert max(held[1]) < min(held[2]) <= max(held[2]) < min(held[3])
    assert len(model.bundle.networks) == 1, "the last fold, which has learned from the latest rows, is served"
    plain = quick(tmp_path / "plain", data=table, settings=["data.time=day", *IGNORED])
    assert plain.results["rows"]["valid"] in range(8, 17)


def test_a_floor_of_a_table_by_time_is_chosen_by_the_latest_rows(tmp_path: Path) -> None:
    table = grouped()
    one = table.set_column(table.column_names.index("patient"), "patient", [["p0"] * 120])
    floor = ["floor={preset: fast, network: false}", "data.time=day", "data.group=patient", *IGNORED]
    with pytest.raises(DataError, match="no earlier row whose 'patient'"):
        tonggan.fit(one, target="answer", out=tmp_path / "none", settings=floor)
    model = tonggan.fit(table, target="answer", out=tmp_path / "run", settings=[*floor[:2], *IGNORED], folds=2)
    assert model.results["floor"]["rows"] == len(out_of_fold(model)["row"])
    np.testing.assert_allclose(
        tonggan.load(tmp_path / "run").predict_proba(table), model.predict_proba(table), atol=1e-6
    )


def test_a_class_that_a_fold_has_not_learned(tmp_path: Path) -> None:
    table = run_scene.table(60)
    answers = ["once", *table["answer"].to_pylist()[1:]]
    data = table.set_column(table.column_names.index("answer"), "answer", [answers])
    model = quick(tmp_path / "network", data=data, folds=3)
    assert model.labels == ["no", "once", "yes"]
    assert model.predict_proba(data).shape == (60, 3)
    floor = tonggan.fit(data, target="answer", out=tmp_path / "floor", preset="fast", folds=3, settings=[CELLS[0]])
    assert floor.predict_proba(data).shape == (60, 3)
    assert np.isfinite(floor.results["metrics"]["valid"]["log_loss"])


def test_too_few_rows_and_what_folds_exclude(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got 8 rows, expected at least 10"):
        quick(tmp_path / "few", data=run_scene.table(8), folds=10)
    with pytest.raises(ConfigError, match="a validation table beside folds"):
        quick(tmp_path / "valid", folds=3, valid=run_scene.table(20, seed=1))
    with pytest.raises(ConfigError, match="'folds' and 'seeds' exclude each other"):
        quick(tmp_path / "both", folds=3, seeds=3)
    with pytest.raises(ConfigError, match="a task of classes, labels or numbers"):
        tonggan.fit(run_scene.table(40), target="note", task="caption", out=tmp_path / "text", folds=2)
    with pytest.raises(DataError, match="in every row a number, or in every row a date"):
        quick(tmp_path / "time", settings=["data.time=note"])
    with pytest.raises(DataError, match="no rows"):
        quick(tmp_path / "empty", folds=2, test=run_scene.table(20).slice(0, 0))


def test_seeds_tell_how_far_the_numbers_move(tmp_path: Path) -> None:
    test = run_scene.table(40, seed=3)
    model = quick(tmp_path / "run", seeds=2, test=test)
    study = model.results["study"]
    assert study["kind"] == "seeds"
    assert [set(trial["metrics"]) for trial in study["trials"]] == [{"valid", "test"}] * 2
    alone = quick(tmp_path / "second", seed=0, test=test, settings=["audit_alone=false"])
    assert study["trials"][0]["metrics"] == alone.results["metrics"], "the first of them is the single run"
    losses = [trial["metrics"]["test"]["log_loss"] for trial in study["trials"]]
    assert losses[0] != losses[1]
    assert study["spread"]["test"]["log_loss"] == pytest.approx(abs(losses[0] - losses[1]) / np.sqrt(2))
    assert len(tonggan.load(tmp_path / "run").bundle.networks) == 2
    assert not (tmp_path / "run/out_of_fold.csv").exists()


def test_a_time_limit_is_shared_by_the_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []

    def budget(seconds: float) -> Budget:
        shares.append(seconds)
        return Budget(seconds)

    monkeypatch.setattr("tonggan.runs.study.Budget", budget)
    endless = ["training.epochs=100000"]
    model = quick(tmp_path / "run", data=run_scene.table(2_000), folds=3, settings=endless, time_limit=6.0)
    assert len(model.results["study"]["trials"]) == 3
    assert all(0 <= share <= 6.0 / (3 - place) for place, share in enumerate(shares))
    assert shares[0] > 0
    assert len(shares) == 3
    assert len(tonggan.load(tmp_path / "run").predict(run_scene.table(8))) == 8
