"""The results of a run as a table for people, and as a dict for everything else."""

from __future__ import annotations

import json

from tonggan.runs.results import Results

RUN = {
    "metrics": {"valid": {"accuracy": 0.9314, "log_loss": 0.2}, "test": {"accuracy": 0.9, "roc_auc": 0.95}},
    "intervals": {"valid": {"accuracy": [0.88, 0.975]}, "test": {}},
    "constant": {"headline": "It is <not> certain.", "constant": 0.53},
    "score_name": "accuracy",
    "task": "binary",
    "constant_answer": "always the majority class",
    "constant_answer_zh": "总是预测多数类",
    "rows": {"train": 1_440, "valid": 1_600, "test": 40},
}


def test_a_run_prints_its_score_beside_the_constant_answer_and_a_table_of_metrics() -> None:
    results = Results(RUN)
    assert str(results).splitlines() == [
        "It is <not> certain.",
        "accuracy 0.9 on 40 rows of test, always the majority class 0.53",
        "",
        "metric    valid (n=1,600)  95 % interval  test (n=40)  95 % interval",
        "accuracy  0.9314           0.88 to 0.975  0.9",
        "log_loss  0.2",
        "roc_auc                                   0.95",
    ]
    assert repr(results) == str(results)
    page = results._repr_html_()
    assert page is not None
    assert "It is &lt;not&gt; certain.<br>accuracy 0.9 on 40 rows" in page
    assert "<td>log_loss</td><td>0.2</td>" in page


def test_an_older_run_does_not_say_what_its_constant_answer_is() -> None:
    older = {name: value for name, value in RUN.items() if not name.startswith("constant_answer")}
    assert "of test, the constant answer 0.53" in str(Results(older))


def test_a_part_of_results_is_a_dict_as_others_are() -> None:
    results = Results(RUN)
    assert repr(results.metrics.test) == "{'accuracy': 0.9, 'roc_auc': 0.95}"
    assert results.metrics.test._repr_html_() is None
    assert results.metrics.valid.accuracy == results["metrics"]["valid"]["accuracy"] == 0.9314
    assert json.loads(json.dumps(results)) == RUN
