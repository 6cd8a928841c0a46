"""What the console says of results, as ``--json`` has them."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tonggan.cli.show import show_info, show_results

INPUTS = ("photo", "sound", "table", "title")


def results(beaten: str = "yes") -> dict[str, Any]:
    subsets = [chosen for size in range(5) for chosen in combinations(INPUTS, size)]
    by_input = dict.fromkeys(INPUTS, 0.5)
    columns = {f"column {number}": {"importance": 0.2, "interval": [0.1, 0.3]} for number in range(14)}
    headline = "" if beaten == "yes" else "Look here first."
    return {
        "metrics": {"valid": {"accuracy": 0.9}},
        "intervals": {"valid": {"accuracy": [0.8, 0.95]}},
        "constant": {
            "beaten": beaten,
            "headline": headline,
            "sentence": "Then this." if headline else "",
            "score_name": "accuracy",
            "model": 0.9,
            "constant": 0.6,
            "num_rows": 100,
        },
        "subsets": [{"present": list(chosen), "score": 0.1 * len(chosen)} for chosen in subsets],
        "audit": {
            "score_name": "accuracy",
            "alone": by_input,
            "alone_trained": {},
            "shuffled": by_input,
            "shapley": by_input,
            "majority": 0.6,
            "full": 0.9,
            "columns": {"table": columns},
            "verdict": {"sentence": "Fusion pays."},
        },
        "rows": {"valid": 100},
        "audited": 100,
        "score_name": "accuracy",
        "task": "binary",
        "constant_answer": "always the majority class",
        "constant_answer_zh": "总是预测多数类",
        "seconds": 1.0,
    }


def shown(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    show_results(given)
    return capsys.readouterr().out


def test_of_the_subsets_each_alone_all_but_one_and_all_are_shown(capsys):
    text = shown(results(), capsys)
    _, _, table = text.partition("With some of the inputs")
    table = table.partition("Is it multimodal?")[0]
    sizes = [line.count("+") + 1 for line in table.splitlines() if line.startswith(INPUTS)]
    assert sorted(sizes) == [1] * 4 + [3] * 4 + [4]


def test_the_columns_that_matter_most_are_shown(capsys):
    text = shown(results(), capsys)
    assert "column 11" in text
    assert "column 12" not in text
    assert "and 2 more columns in the report" in text
    assert "share their importance" in text


def test_one_column_shares_with_none(capsys):
    given = results()
    given["audit"]["columns"]["table"] = {"column": {"importance": 0.2, "interval": [0.1, 0.3]}}
    assert "share their importance" not in shown(given, capsys)


def test_a_table_is_named_by_its_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    about = {
        "inputs": {"photo": "image", "table": "table"},
        "target": ["kind"],
        "labels": [],
        "data": {"train": "a.csv"},
    }
    index = {"results": {**results(), **about, "rows": {"train": 10, "valid": 100}}, "parameters": 7, "versions": {}}
    index["results"]["audit"]["columns"]["table"] = {"price": {"importance": 0.2, "interval": None}}
    show_info(Path("run"), {**index, "fingerprint": "f", "created": "c"})
    assert "photo (image), table (price)" in capsys.readouterr().out
    assert "share their importance" not in shown(results("no"), capsys)


@pytest.mark.parametrize(
    ("beaten", "color"), [("no", "\x1b[1;31m"), ("uncertain", "\x1b[1;31m"), ("too few rows", "\x1b[1;33m")]
)
def test_a_warning_is_the_first_line_and_colored(beaten, color, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = shown(results(beaten), capsys)
    assert text.startswith(f"{color}Look here first.")


def test_a_few_rows_are_a_few_lines(capsys):
    text = shown(results("too few rows"), capsys)
    assert len(text.splitlines()) == 4
    assert "accuracy 0.9000   always the majority class 0.6000   (100 rows)" in text


def test_results_of_an_older_bundle_are_shown(capsys):
    old = results()
    del old["constant"], old["audit"]["columns"], old["constant_answer"]
    text = shown(old, capsys)
    assert text.lstrip().startswith("valid")
    assert "Full model 0.9000   the constant answer 0.6000" in text
    assert "Fusion pays." in text
