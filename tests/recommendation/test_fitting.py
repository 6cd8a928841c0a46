"""A run that is stopped anywhere goes on to the same numbers; one of other tables or settings is not taken for it."""

from __future__ import annotations

import json

import pytest

import recommendation_scene
import tonggan
from tonggan.errors import ConfigError
from tonggan.progress import Progress
from tonggan.recommendation.blend import Blend
from tonggan.recommendation.two_towers import TowersObjective

SETTINGS = {
    "items.title": {"kind": "category"},  # no frozen encoder
    "members.two_towers": {"kind": "two_towers", "dim": 8, "training": {"epochs": 3, "checkpoint_every": 0}},
}


class Killed(BaseException):
    """What nobody catches."""


class StoppingAt(Progress):
    """Stops the run once a member is about to be fitted."""

    def __init__(self, name: str) -> None:
        self.name = name

    def update(self, label: str, *, done: float, total: float, note: str = "") -> None:
        del label, done, total
        if note == self.name:
            raise Killed


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path / "cache"))
    return recommendation_scene.write(tmp_path)


def fit(tables, out, progress=None, **settings):
    likes, films = tables
    return tonggan.fit_recommender(likes, items=films, out=out, settings={**SETTINGS, **settings}, progress=progress)


def numbers_of(folder):
    index = json.loads((folder / "recommender.json").read_text())
    index["results"].pop("seconds")
    for member in index["results"]["members"]:
        member.pop("seconds")
    return index


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(tables, tmp_path, monkeypatch) -> None:
    fit(tables, tmp_path / "whole")
    out = tmp_path / "stopped"
    with pytest.raises(Killed):
        fit(tables, out, StoppingAt("ease"))
    done = {path.parent.name: path.stat().st_mtime_ns for path in (out / "trials/valid").glob("*/tried.json")}
    assert set(done) == {"popularity", "item_neighbors"}

    measure, calls = TowersObjective.measure, []

    def stopped_at_the_second(self, *given):
        calls.append(given)
        if len(calls) == 2:
            raise Killed
        return measure(self, *given)

    monkeypatch.setattr(TowersObjective, "measure", stopped_at_the_second)
    with pytest.raises(Killed):
        fit(tables, out)
    assert (out / "trials/valid/two_towers/training/last.safetensors").exists()
    with monkeypatch.context() as patch:
        patch.setattr(Blend, "alike", None)
        patch.setattr("tonggan.recommendation.fitting.measured", lambda *_, **__: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            fit(tables, out)
    assert {name: (out / f"trials/valid/{name}/tried.json").stat().st_mtime_ns for name in done} == done
    fit(tables, out)
    assert numbers_of(out) == numbers_of(tmp_path / "whole")
    assert not (out / "trials").exists()


def test_an_unfinished_run_of_other_settings_is_not_continued(tables, tmp_path) -> None:
    with pytest.raises(Killed):
        fit(tables, tmp_path / "run", StoppingAt("ease"))
    with pytest.raises(ConfigError, match="k is 10, now 5"):
        fit(tables, tmp_path / "run", k=5)
