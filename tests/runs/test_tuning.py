import json
import math
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.csv
import pytest

import forked
import run_scene
import tonggan
from tonggan.config import read_yaml
from tonggan.errors import BundleError, ConfigError, MissingExtraError, TrainingError
from tonggan.progress import Progress
from tonggan.runs.recipe import RangeConfig, load_recipe
from tonggan.runs.tuning import Journal, open_tuning, results_of
from tonggan.runs.tuning_worker import _ray_workers

optuna = pytest.importorskip("optuna", reason="tonggan tune wants Optuna: pip install 'tonggan[tune]'")

SMALL = (
    "floor=null", "columns.note.kind=ignore", "training.epochs=2", "training.batch_size=16",
    "study.ranges={training.learning_rate: {low: 0.0001, high: 0.1, log: true}, model.dim: [16, 32]}",
)  # fmt: skip


class Said(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def write(folder: Path, rows: int = 120, *, name: str = "train") -> Path:
    path = folder / f"{name}.csv"
    pyarrow.csv.write_csv(run_scene.table(rows), path)
    return path


def tune(data: Any, out: Path, *, settings: tuple[str, ...] = (), trials: int = 4, **options: Any) -> Any:
    return tonggan.tune(data, target="answer", trials=trials, out=out, settings=[*SMALL, *settings], **options)


def plain(found: Any) -> list[dict[str, Any]]:
    """The trials without what depends on the clock."""
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in found["trials"]]


def test_the_best_settings_are_a_recipe_that_reaches_their_score(tmp_path: Path) -> None:
    data, test = write(tmp_path), write(tmp_path, 40, name="test")
    found = tune(data, tmp_path / "study", trials=5, test=test, fit_best=True)
    scores = [trial["score"] for trial in found["trials"] if trial["score"] is not None]
    assert len(found["trials"]) == 5
    assert found["best"]["score"] == max(scores)
    recipe = load_recipe(found["recipe"])
    assert recipe.training.learning_rate == found["best"]["values"]["training.learning_rate"]
    assert recipe.model.dim == found["best"]["values"]["model.dim"]
    assert recipe.audit_alone, "the best run is audited in full"
    best = tonggan.load(found["run"])
    assert best.results["metrics"]["valid"]["accuracy"] == pytest.approx(found["best"]["score"])
    assert best.results["rows"]["test"] == 40
    assert not list((tmp_path / "study/trials").glob("[0-9]*")), "trials leave nothing but their scores"
    page = (tmp_path / "study/report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3, "the course and both fields"
    for said in ("Best settings", "最佳设置", "training.learning_rate", "best so far"):
        assert said in page
    assert "http" not in page.replace("http-equiv", "")


def test_no_trial_opens_the_test_part(tmp_path: Path) -> None:
    data = write(tmp_path)
    found = tune(data, tmp_path / "study", trials=2, test=tmp_path / "nowhere.csv")
    assert len(found["trials"]) == 2
    assert read_yaml(Path(found["recipe"]))["data"]["test"] == str(tmp_path / "nowhere.csv")


def test_the_same_seed_proposes_the_same_after_a_stop_as_well(tmp_path: Path) -> None:
    data = write(tmp_path)
    whole = tune(data, tmp_path / "whole", trials=4)
    first = tune(data, tmp_path / "parts", trials=2)
    assert plain(first) == plain(whole)[:2]
    assert plain(tune(data, tmp_path / "parts", trials=4)) == plain(whole)
    again = tune(data, tmp_path / "parts", trials=4)
    assert again["trials"] == tune(data, tmp_path / "parts", trials=1)["trials"], "what is done is not done again"
    other = tune(data, tmp_path / "other", trials=2, settings=("seed=1",))
    assert plain(other)[0]["values"] != plain(whole)[0]["values"]
    with pytest.raises(ConfigError, match="a study of another recipe"):
        tune(data, tmp_path / "parts", settings=("training.epochs=3",))


WORKER = """
import sys
from importlib.util import find_spec
from pathlib import Path
import run_scene
from test_tuning import tune
run_scene.stop_at_step(int(sys.argv[3]))
tune(sys.argv[1], Path(sys.argv[2]))
"""


def start(data: Path, out: Path, *, stop_at: int) -> forked.Process:
    paths = [*sys.path, str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER, str(data), str(out), str(stop_at)]
    return forked.Process(command, env=environment)


@pytest.mark.slow
def test_a_trial_whose_worker_was_killed_is_taken_up_again(tmp_path: Path) -> None:
    data, out = write(tmp_path), tmp_path / "study"
    whole = tune(data, tmp_path / "whole")
    with start(data, out, stop_at=40) as process:  # about 16 steps a trial
        assert process.stdout.readline().strip() == run_scene.HERE
        process.send_signal(signal.SIGKILL)
    with (out / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"op_code": 5, "torn')
    said = Said()
    found = tune(data, out, progress=said)
    assert len(found["trials"]) == 4
    expected = {json.dumps(trial["values"], sort_keys=True): trial["score"] for trial in plain(whole)}
    killed = found["trials"][-1] if found["trials"][-1]["number"] == 5 else None
    assert killed is not None, "it goes on under another number"
    assert expected[json.dumps(plain(found)[2]["values"], sort_keys=True)] == found["trials"][2]["score"]


@pytest.mark.slow
def test_two_workers_share_a_study_and_one_may_die(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, out = write(tmp_path), tmp_path / "study"
    found = tune(data, out, trials=6, jobs=2)
    assert len(found["trials"]) == 6
    assert sorted(trial["number"] for trial in found["trials"]) == [1, 2, 3, 4, 5, 6]
    values = [json.dumps(trial["values"]) for trial in found["trials"]]
    assert len(set(values)) == 6, "they propose different settings"
    assert (out / "worker-1.log").read_text(encoding="utf-8") == ""
    forked.instead_of_subprocess("tonggan.runs.tuning_worker", monkeypatch)
    with start(data, tmp_path / "second", stop_at=5) as process:
        assert process.stdout.readline().strip() == run_scene.HERE
        with pytest.raises(BundleError, match="another study at work"):
            tune(data, tmp_path / "second")
        process.send_signal(signal.SIGKILL)
    assert len(tune(data, tmp_path / "second", trials=2, jobs=2)["trials"]) == 2


def test_what_fails_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    data = write(tmp_path)
    wild = ("study.ranges={training.learning_rate: [0.001, 1.0e+30], training.clip_norm: [null]}",)
    found = tune(data, tmp_path / "study", trials=6, settings=wild)
    failed = [trial for trial in found["trials"] if trial["state"] == "failed"]
    assert failed
    assert all("not finite" in trial["problem"] for trial in failed)
    assert found["best"]["values"]["training.learning_rate"] == 0.001
    nothing = ("study.ranges={training.learning_rate: [1.0e+30], training.clip_norm: [null]}",)
    with pytest.raises(TrainingError, match="expected at least one trial that is finished"):
        tune(data, tmp_path / "none", trials=2, settings=nothing)


def test_ranges_are_checked_before_anything_is_tried(tmp_path: Path) -> None:
    data = write(tmp_path)
    with pytest.raises(ConfigError, match=r"trial: got training\.learnin_rate"):
        tune(data, tmp_path / "a", settings=("study.ranges={training.learnin_rate: [0.1]}",))
    with pytest.raises(ConfigError, match="low is 2 and high 1"):
        tune(data, tmp_path / "b", settings=("study.ranges={model.dim: {low: 2, high: 1}}",))
    with pytest.raises(ConfigError, match="only numbers above 0 have a logarithm"):
        tune(data, tmp_path / "c", settings=("study.ranges={training.weight_decay: {low: 0, high: 1, log: true}}",))
    with pytest.raises(ConfigError, match="2 processes for a table in memory"):
        tune(run_scene.table(40), tmp_path / "d", jobs=2)
    assert RangeConfig(low=1, high=5).low == 1


def test_members_are_tuned_where_there_is_no_network(tmp_path: Path) -> None:
    settings = ["floor={preset: fast, network: false}", "columns.note.kind=ignore"]
    found = tonggan.tune(run_scene.table(80), target="answer", trials=2, out=tmp_path / "study", settings=settings)
    assert set(found["best"]["values"]) == {
        f"floor.members.boosted_trees.{name}" for name in ("learning_rate", "leaves", "min_rows", "column_share")
    }
    assert load_recipe(found["recipe"]).floor is not None


def test_folds_are_the_score_of_a_trial_and_losing_trials_are_given_up(tmp_path: Path) -> None:
    said = Said()
    found = tune(run_scene.table(60), tmp_path / "study", trials=2, settings=("study.folds=2",), progress=said)
    assert any(line.startswith("Fold 2 of 2") for line in said.lines)
    assert load_recipe(found["recipe"]).study.folds == 2
    plain_rows = run_scene.table(200)
    answers = ["yes" if size > 0 else "no" for size in plain_rows["size"].to_pylist()]
    easy = plain_rows.set_column(plain_rows.column_names.index("answer"), "answer", [answers])
    ranges = (
        "study.ranges={training.learning_rate: [0.003, 0.004, 0.005, 1.0e-9]}",
        "training.epochs=4",
        "training.batch_size=16",
    )
    given = tune(easy, tmp_path / "pruned", trials=12, settings=ranges, progress=said)
    lost = [trial for trial in given["trials"] if trial["state"] == "given up"]
    assert 1e-9 in {trial["values"]["training.learning_rate"] for trial in lost}
    assert given["best"]["values"]["training.learning_rate"] != 1e-9
    assert any("stopped early: others were better at this point" in line for line in said.lines)


def test_a_time_limit_ends_a_study(tmp_path: Path) -> None:
    endless = ("training.epochs=100000",)
    found = tune(run_scene.table(120), tmp_path / "study", trials=1000, settings=endless, time_limit=4)
    assert 1 <= len(found["trials"]) < 1000


def test_a_torn_line_of_the_journal_is_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    assert list(journal.read_logs(0)) == []
    journal.append_logs([{"a": 1}, {"b": 2}])
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"c"')
    assert list(journal.read_logs(1)) == [{"b": 2}]
    journal.append_logs([{"d": 4}])
    assert list(journal.read_logs(0)) == [{"a": 1}, {"b": 2}, {"d": 4}]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Run: pip install 'tonggan[scale]'")
def test_workers_on_ray_make_their_trials_and_leave_nothing_running(tmp_path: Path) -> None:
    import ray

    found = tune(write(tmp_path), tmp_path / "study", trials=6, jobs=2, engine="ray")
    assert [trial["state"] for trial in found["trials"]].count("failed") == 0
    assert len(found["trials"]) == 6
    assert not ray.is_initialized()
    tuning = open_tuning(tmp_path / "study", trials=8)
    with _ray_workers(tuning, 1, until=math.inf):  # beside a process that makes none itself
        pass
    again = results_of(tuning).trials
    assert len(again) == 8
    assert "failed" not in {trial.state for trial in again}
    assert [trial.values for trial in again[:6]] == [trial["values"] for trial in found["trials"]]


def test_without_ray_the_install_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tonggan.runs.ray_cluster.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[scale\]'"):
        tune(write(tmp_path), tmp_path / "study", jobs=2, engine="ray")
