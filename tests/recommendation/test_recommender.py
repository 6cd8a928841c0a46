"""The recommender: its answers with reasons, how it is stored, and damage."""

from __future__ import annotations

import json
import shutil

import pytest

import recommendation_scene
import tonggan
from tonggan.errors import BundleError, DataError

FAST = {"members.two_towers": None, "items.title": {"kind": "category"}}  # no network, no frozen encoder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recommender")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(folder / "cache"))
        likes, films = recommendation_scene.write(folder)
        tonggan.fit_recommender(likes, items=films, out=folder / "run", settings=FAST)
    return folder / "run"


def test_a_user_gets_what_they_have_not_seen_with_the_reason(run) -> None:
    recommender = tonggan.load(run)
    found = recommender.recommend("u4", k=5)
    assert len(found) == 5
    place = recommender.users.find("u4")
    seen = {recommender.items.values[item] for item in recommender.seen[place]}
    liked = {recommender.items.values[item] for item in recommender.liked[place]}
    assert not seen & {each.item for each in found}
    assert isinstance(found[0].item, int)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert set(found[0].because) <= liked
    again = recommender.recommend("u4", k=40, include_seen=True)
    assert seen <= {each.item for each in again}


def test_somebody_new_gets_more_of_the_same_genre(run) -> None:
    recommender = tonggan.load(run)
    found = recommender.recommend(likes=["1", 5, 9], k=3)
    assert {recommendation_scene.genre_of(each.item) for each in found} == {1}
    assert set(found[0].because) <= {1, 5, 9}
    assert [each.item for each in recommender.similar(2, k=3)] != [2]
    assert {recommendation_scene.genre_of(each.item) for each in recommender.similar(2, k=3)} == {2}


def test_nothing_known_gives_the_most_popular(run) -> None:
    recommender = tonggan.load(run)
    found = recommender.recommend(likes=[], k=2)
    assert [each.because for each in found] == [[], []]
    popularity = recommender.blend.popularity.counts
    assert popularity[recommender.items.find(found[0].item)] == popularity.max()


def test_items_that_nobody_has_liked_are_recommended_by_what_they_are(run) -> None:
    recommender = tonggan.load(run)
    never = range(recommendation_scene.NUM_ITEMS - 4, recommendation_scene.NUM_ITEMS)
    found = recommender.recommend(likes=[2, 6, 10], k=1, few_likes=True)[0]
    assert found.item in never
    assert recommendation_scene.genre_of(found.item) == 2
    assert found.shares == ["genre: science fiction"]
    assert found.title == f"science fiction number {found.item}"


def test_unknown_ids_and_neither_or_both_are_errors(run) -> None:
    recommender = tonggan.load(run)
    with pytest.raises(DataError, match="an id that the run does not know"):
        recommender.recommend("nobody")
    with pytest.raises(DataError, match="item 'u4'"):
        recommender.similar("u4")
    with pytest.raises(DataError, match="neither a user nor likes"):
        recommender.recommend()
    with pytest.raises(DataError, match="both a user and likes"):
        recommender.recommend("u4", likes=[1])


def test_damage_is_named(run, tmp_path) -> None:
    folder = shutil.copytree(run, tmp_path / "copy")
    (folder / "recommender.safetensors").write_bytes(b"x")
    with pytest.raises(BundleError, match="SHA-256"):
        tonggan.load(folder)
    shutil.copyfile(run / "recommender.safetensors", folder / "recommender.safetensors")
    index = json.loads((folder / "recommender.json").read_text())
    index["users"]["names"].pop()
    (folder / "recommender.json").write_text(json.dumps(index))
    with pytest.raises(BundleError, match="do not fit together"):
        tonggan.load(folder)
    (folder / "recommender.json").write_text(json.dumps({**index, "format": 99}))
    with pytest.raises(BundleError, match="format 99"):
        tonggan.load(folder)
    (folder / "recommender.json").write_text("{")
    with pytest.raises(BundleError, match="valid JSON"):
        tonggan.load(folder)


def test_a_few_users_make_a_whole_run_without_intervals(tmp_path) -> None:
    likes = {"user": [row % 5 for row in range(35)], "item": [row % 7 for row in range(35)]}
    settings = ["members={popular: {kind: popularity}}"]
    run = tonggan.fit_recommender(likes, out=tmp_path / "run", settings=settings)
    assert run.results.test.warm.blend.intervals == {}
    assert run.recommend(1) == []
    assert "nDCG@10" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
