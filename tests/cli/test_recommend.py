"""``tonggan fit --task recommend`` and ``tonggan recommend`` on a small table."""

from __future__ import annotations

import pytest

import recommendation_scene
from command_line import assert_named, tonggan, write_csv

FAST = ("--set", "members.two_towers=null", "--set", "items.title={kind: category}")  # no network, no frozen encoder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recommend")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(folder / "cache"))
        likes, films = recommendation_scene.write(folder)
        run = folder / "run"
        return run, tonggan("fit", likes, "--task", "recommend", "--items", films, "--out", run, "--json", *FAST)


def test_fit_tells_columns_parts_members_and_the_test(made) -> None:
    run, outcome = made
    assert outcome.code == 0, outcome.err
    assert "Columns: user 'user_id', item 'item_id', rating 'rating', time 'time'." in outcome.err
    assert "Parts (time): " in outcome.err
    results = outcome.json
    assert results["task"] == "recommend"
    warm = results["test"]["warm"]
    assert {"popularity", "item_neighbors", "ease", "blend"} <= warm.keys()
    assert warm["ease"]["metrics"]["ndcg"] > warm["popularity"]["metrics"]["ndcg"]
    assert (run / "recommender.json").is_file()
    report = (run / "report.html").read_text(encoding="utf-8")
    for said in (
        "likes.csv",
        "as in use",
        "与实际使用一致",
        "weighted together",
        f"{warm['ease']['metrics']['ndcg']:.4f}",
    ):
        assert said in report


def test_recommend_for_a_user_a_newcomer_and_an_item(made) -> None:
    run, _ = made
    said = tonggan("recommend", run, "--user", "u4", "-k", "2").out
    assert said.startswith("  1. ")
    assert "liked with " in said
    found = tonggan("recommend", run, "--likes", "1,5", "-k", "3", "--json").json["recommendations"]
    assert {recommendation_scene.genre_of(each["item"]) for each in found} == {1}
    found = tonggan("recommend", run, "--similar", "2", "-k", "1", "--json").json["recommendations"]
    assert recommendation_scene.genre_of(found[0]["item"]) == 2
    every = ",".join(map(str, range(recommendation_scene.NUM_ITEMS)))
    assert "--include-seen" in tonggan("recommend", run, "--likes", every).out
    assert "与喜欢过的" in tonggan("recommend", run, "--user", "u4", "-k", "1", "--lang", "zh").out


def test_other_commands_name_the_right_one(made, tmp_path) -> None:
    run, _ = made
    table = write_csv(tmp_path / "a.csv", recommendation_scene.rows())
    assert_named(tonggan("predict", run, table, "--out", tmp_path / "p.csv"), "tonggan recommend")
    assert_named(tonggan("evaluate", run, table), "tonggan recommend")
    assert_named(tonggan("recommend", run, "--user", "nobody"), "an id that the run does not know")
    assert "错误： 用户 'nobody'" in tonggan("recommend", run, "--user", "nobody", "--lang", "zh").err
    assert_named(tonggan("recommend", run, "--likes", '5, "a, b"'), "item 'a, b'")
    assert_named(tonggan("recommend", run, "--likes", "5\n, c "), "item 'c'")
    assert_named(tonggan("recommend", tmp_path, "--user", "x"), "Check the path")
    assert_named(tonggan("fit", table, "--task", "recommend", "--out", run), "a finished run")
    assert_named(
        tonggan("fit", table, "--target", "rating", "--out", run, "--overwrite"), "a finished run of another kind"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("recommend", "run"), "name exactly one of"),
        (("recommend", "run", "--user", "1", "--likes", "2"), "name exactly one of"),
        (("fit", "a.csv", "--out", "run"), "name the column to predict"),
        (
            ("fit", "a.csv", "--task", "recommend", "--target", "x", "--out", "run"),
            "cannot be combined with --task recommend",
        ),
    ],
)
def test_wrong_usage(arguments, said) -> None:
    outcome = tonggan(*arguments)
    assert outcome.code == 2
    assert said in " ".join(outcome.err.replace("│", " ").split())


def test_what_fails_leaves_no_folder_and_what_is_replaced_is_whole(made, tmp_path) -> None:
    table = write_csv(tmp_path / "few.csv", recommendation_scene.rows()[:6])
    outcome = tonggan("fit", table, "--task", "recommend", "--out", tmp_path / "run")
    assert_named(outcome, "at least two of each")
    assert not (tmp_path / "run").exists()
    text = [{**row, "rating": "good"} for row in recommendation_scene.rows()]
    outcome = tonggan(
        "fit", write_csv(tmp_path / "text.csv", text), "--task", "recommend", "--out", made[0], "--overwrite"
    )
    assert_named(outcome, "ratings that are texts")
    assert tonggan("recommend", made[0], "--user", "u4").code == 0
