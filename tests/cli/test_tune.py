import pytest

from command_line import assert_named, tonggan, write_csv

pytest.importorskip("optuna", reason="tonggan tune wants Optuna: pip install 'tonggan[tune]'")


@pytest.fixture
def numbers(tmp_path):
    rows = [{"size": row % 7, "weight": row % 5, "label": "yes" if row % 7 > 3 else "no"} for row in range(80)]
    return write_csv(tmp_path / "train.csv", rows, "size", "weight", "label")


SMALL = ("--set", "floor=null", "--set", "training.epochs=1", "--set", "model.dim=16")
RANGES = ("--set", "study.ranges={training.learning_rate: {low: 0.001, high: 0.1, log: true}}")


def test_tuning_of_a_table_is_shown_and_can_be_run(numbers, tmp_path):
    out = tmp_path / "study"
    command = ("tune", numbers, "--target", "label", "--trials", "2", "--out", out, *SMALL, *RANGES)
    outcome = tonggan(*command)
    assert outcome.code == 0, outcome.err
    assert "Best of 2 trials" in outcome.out
    assert "training.learning_rate" in outcome.out
    assert f"tonggan run {out / 'best.yaml'} --out runs/best" in outcome.out
    again = tonggan(*command, "--json", "--fit")
    assert again.code == 0, again.err
    assert len(again.json["trials"]) == 2
    assert again.json["run"] == str(out / "best")
    assert (out / "best/report.html").is_file()
    recipe = tonggan("tune", out / "best.yaml", "--trials", "1", "--out", tmp_path / "second", "--json")
    assert recipe.code == 0, recipe.err


def test_wrong_ranges_and_names(numbers, tmp_path):
    out = tmp_path / "study"
    assert_named(tonggan("tune", "nosuch", "--trials", "2", "--out", out), "no such recipe", code=2)
    wrong = ("--set", "study.ranges={training.rate: [1]}")
    assert_named(
        tonggan("tune", numbers, "--target", "label", "--trials", "2", "--out", out, *SMALL, *wrong),
        "training.rate: no such field",
        code=2,
    )


def test_folds_are_shown_with_their_spread(numbers, tmp_path):
    out = tmp_path / "run"
    outcome = tonggan("fit", numbers, "--target", "label", "--folds", "2", "--out", out, *SMALL)
    assert outcome.code == 0, outcome.err
    assert "Over 2 folds: mean ± standard deviation" in outcome.out
    assert f"Predictions out of fold: {out / 'out_of_fold.csv'}" in outcome.out.replace("\n", "")
    seeds = ("--seeds", "2", "--set", "data.valid_fraction=0.5", "--lang", "zh")
    chinese = tonggan("fit", numbers, "--target", "label", "--out", tmp_path / "zh", *SMALL, *seeds)
    assert "2 个随机种子：均值 ± 标准差" in chinese.out
