import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch

from tonggan.data.findings import Finding
from tonggan.decoders import TARGET
from tonggan.evaluation.audit import Audit
from tonggan.evaluation.bootstrap import Answer
from tonggan.evaluation.mistakes import Mistake
from tonggan.evaluation.permutation import ColumnImportance
from tonggan.evaluation.report import (
    ColumnSummary,
    PartResult,
    ReportContent,
    SplitSummary,
    render_report,
    write_report,
)
from tonggan.evaluation.subsets import SubsetRow
from tonggan.evaluation.verdict import AgainstConstant, Verdict
from tonggan.modalities.base import Cell
from tonggan.tasks import Advice, RegressConfig
from tonggan.tasks.figures import Chart, Line, Matrix, Section, Table
from tonggan.tokens import Arrays, Prediction
from tonggan.wording import Words

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \"'&{{ 7 * 7 }}"
SMALLEST = ReportContent(
    "a run", "price", Words("regression", "回归"), "r2", [PartResult("valid", 10, {"r2": 0.5}, {})]
)
MEASURE = (
    RegressConfig()
    .build()
    .measure(Prediction({"outputs": torch.zeros(0, 0)}), {TARGET: Arrays.whole(torch.zeros(0, 0))})
)


def full_content(text: str) -> ReportContent:
    metrics = {"accuracy": 0.913, "log_loss": 0.25}
    rows = [SubsetRow(present, 1234, 0.5, metrics, MEASURE) for present in [(), (text,), ("b",), (text, "b")]]
    words = Words(text, text)
    chart = Chart(words, words, [Line(words, [(0, 1)])], dots=[(0, 1)], weights=[3], diagonal=True, caption=words)
    return ReportContent(
        title=text,
        target=text,
        task=Words("multiclass", "多分类"),
        score_name="accuracy",
        results=[PartResult("test", 1234, metrics, {"accuracy": (0.9, 0.93)})],
        parts=[PartResult(text, 1000, {"accuracy": 0.873}, {}), PartResult("b", 234, metrics, {})],
        parts_by=text,
        splits=[SplitSummary("train", 5000, text, 3)],
        columns=[ColumnSummary(text, "input", "image", text), ColumnSummary("b", "target", "category", text)],
        findings=[Finding("warning", text, "train", 1, text, "有问题：" + text, text, text)],
        subsets=rows,
        audit=Audit(
            "accuracy",
            True,
            1234,
            majority=0.2,
            alone={text: 0.5, "b": 0.3},
            alone_trained={text: 0.6},
            shuffled={text: 0.3, "b": 0.4},
            full=0.913,
            shapley={text: 0.4, "b": -0.1},
            verdict=Verdict("yes", "Fusion pays: " + text, "融合有效：" + text),
            columns={"table": [ColumnImportance(text, 0.2, (0.1, 0.3)), ColumnImportance("b", -0.01, None)]},
        ),
        history=[{"step": step, "train_loss": 1.0, "valid_loss": 2.0, "valid_score": 0.5} for step in (10, 20)],
        sections=[
            Section(words, words, [chart, chart]),
            Section(Words("Confusion", "混淆"), words, matrix=Matrix([text, "b"], [[3, 1], [0, 0]])),
            Section(words, words, table=Table([words, Words("objects", "目标数")], [[text, "12"], ["b", "3"]])),
        ],
        mistakes=[
            Mistake(
                7,
                Cell("predicted", "text", text),
                Cell("true", "text", text),
                [
                    Cell(text, "text", text),
                    Cell("photo", "image", "data:image/png;base64,AAAA"),
                    Cell("sound", "audio", "data:audio/wav;base64,AAAA"),
                    Cell("gone", "image", None),
                ],
            )
        ],
        recipe=text,
        facts=[(Words(text, text), Words(text, text))],
    )


class Page(HTMLParser):
    """Collects tags, and checks that each is closed."""

    VOID = frozenset({"meta", "input", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_hostile_text_is_shown_and_does_not_run():
    page = Page(render_report(full_content(HOSTILE)))
    assert not [tag for tag, _ in page.tags if tag in {"script", "iframe", "object", "link", "base"}]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 1
    assert "".join(page.text).count("{{ 7 * 7 }}") > 10


def test_nothing_is_loaded_from_elsewhere():
    text = render_report(full_content("plain"))
    page = Page(text)
    addresses = [value for _, attributes in page.tags for name, value in attributes.items() if name in {"src", "href"}]
    assert addresses == ["data:image/png;base64,AAAA", "data:audio/wav;base64,AAAA"]
    assert not re.search(r"url\(|@import|https?://", text)
    assert "default-src 'none'" in text


def test_an_answer_that_is_a_picture_is_shown_as_one():
    content = full_content("plain")
    drawn = [Cell(name, "image", f"data:image/png;base64,{name}") for name in ("predicted", "true")]
    mistake = replace(content.mistakes[0], predicted=drawn[0], truth=drawn[1])
    page = Page(render_report(replace(content, mistakes=[mistake])))
    shown = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert shown == ["data:image/png;base64,predicted", "data:image/png;base64,true", "data:image/png;base64,AAAA"]


def test_every_label_has_both_languages():
    page = Page(render_report(full_content("plain")))
    english = [attributes for _, attributes in page.tags if attributes.get("lang") == "en" and "class" in attributes]
    chinese = [attributes for _, attributes in page.tags if attributes.get("lang") == "zh-CN"]
    assert len(english) == len(chinese) > 40


def test_what_the_page_says():
    text = " ".join("".join(Page(render_report(full_content("plain"))).text).split())
    for expected in [
        "91.3 %",
        "90.0 – 93.0 %",
        "Fusion pays: plain",
        "融合有效：plain",
        "0.25",
        "+40.0 points",
        "-10.0 个百分点",
        "有问题：plain",
        "Confusion混淆",
        "1,234 rows",
        "absent",
        "By按 plain",
        "87.3 %",
    ]:
        assert expected in text, expected


def test_the_smallest_page():
    text = render_report(SMALLEST)
    Page(text)
    assert "0.5" in text
    assert "<h2>" in text
    for absent in ("Confusion", "multimodal", "confident mistakes", "Learning curves", "Shapley"):
        assert absent not in text


def test_a_single_input_has_no_shares(tmp_path):
    content = full_content("plain")
    alone = replace(content.audit, alone={"b": 0.9}, alone_trained={}, shuffled={}, shapley={"b": 0.5})
    assert "Shapley" not in render_report(replace(content, audit=alone))


def against(beaten: Answer) -> AgainstConstant:
    return AgainstConstant(
        beaten, "accuracy", 12, 0.913, 0.9, 0.013, None, f"First: {beaten}.", "先说这句。", "Then 90 %.", "然后 90 %。"
    )


def visible_text(content: ReportContent, *, language: str) -> str:
    """The page's text in one language, without style."""
    text = render_report(content)
    other = {"en": "zh", "zh": "en"}[language]
    body = text[text.index("<main>") :]
    body = re.sub(rf'<(span|text) class="[^"]*\b{other}\b[^"]*"[^>]*>.*?</\1>', "", body, flags=re.DOTALL)
    return " ".join(" ".join(Page(body.removesuffix("</body>\n</html>")).text).split())


@pytest.mark.parametrize("beaten", ["no", "uncertain", "too few rows"])
def test_a_warning_stands_before_every_number(beaten):
    content = replace(full_content("plain"), constant=against(beaten))
    shown = visible_text(content, language="en")
    assert f"First: {beaten}." in shown
    assert "%" not in shown[: shown.index("First:")]
    assert shown.index("Then 90 %.") < shown.index("91.3 %")
    assert "先说这句。" in visible_text(content, language="zh")
    assert 'class="hero plain"' in render_report(content)


def test_a_model_that_is_better_has_no_warning():
    text = render_report(replace(full_content("plain"), constant=against("yes")))
    assert "First" not in text
    assert 'role="alert"' not in text


def test_a_few_rows_have_no_verdict_and_no_tables_of_them():
    content = full_content("plain")
    part = replace(content.results[0], num_rows=12)
    shown = visible_text(replace(content, results=[part], constant=against("too few rows")), language="en")
    for absent in ("Fusion pays", "Shapley", "subset", "worse", "90.0 – 93.0"):
        assert absent not in shown, absent


def test_columns_are_shown():
    shown = visible_text(full_content("plain"), language="en")
    assert "20.0 points (10.0 – 30.0)" in shown
    assert "-1.0 points not certain" in shown
    assert "Columns that say the same share their importance" in shown
    useless = visible_text(replace(full_content("plain"), constant=against("no")), language="en")
    assert "share their importance" not in useless


def test_an_imbalanced_target_leads_with_its_rare_class_and_says_what_helps():
    metrics = {"balanced_accuracy": 0.6, "f1_rare": 0.4, "accuracy": 0.98}
    content = replace(
        SMALLEST,
        task=Words("binary", "二分类"),
        score_name="balanced_accuracy",
        leading=("balanced_accuracy", "f1_rare"),
        results=[PartResult("valid", 200, metrics, {})],
        notes=[Words("The rare class is 'fraud'.", "少数类为“fraud”。")],
        advice=Advice(Words("Let every class count", "使各类别同等重要"), ["task.class_weights=balanced"]),
    )
    shown = visible_text(content, language="en")
    assert shown.index("60.0 %") < shown.index("40.0 %") < shown.index("98.0 %")
    assert "F1 of the rare class ·" in shown
    assert "The rare class is 'fraud'." in shown
    assert shown.index("Let every class count") < shown.index("--set")
    assert "--set task.class_weights=balanced" in shown


def test_the_chinese_page_has_no_english_words_of_its_own():
    content = replace(
        full_content("某列"),
        inputs=["某列", "table"],
        constant=against("uncertain"),
        results=[PartResult("valid", 1234, {"accuracy": 0.913}, {}), PartResult("test", 1234, {"accuracy": 0.9}, {})],
        splits=[SplitSummary(name, 5, "某列", 0) for name in ("train", "valid", "test")],
        columns=[
            ColumnSummary("某列", "input", kind, "某列")
            for kind in ("image", "text", "audio", "number", "category", "multilabel", "ignore")
        ],
        advice=Advice(Words("why", "某列"), ["task.class_weights=balanced"]),
        notes=[Words("what", "某列")],
    )
    shown = visible_text(content, language="zh")
    allowed = {"English", "Shapley", "F1", "b", "R", "csv", "quarantine", "set", "task", "class_weights", "balanced"}
    allowed |= {"photo", "sound", "gone"}  # columns of the example
    allowed |= {"accuracy", "log_loss"}  # names to look up in --json
    assert set(re.findall(r"[A-Za-z][A-Za-z_0-9]*", shown)) <= allowed


def test_the_file_replaces_an_older_one(tmp_path):
    path = tmp_path / "run" / "report.html"
    write_report(path, content=SMALLEST)
    write_report(path, content=replace(SMALLEST, title="another run · 另一次"))
    assert "another run · 另一次" in path.read_text(encoding="utf-8")
    assert [found.name for found in path.parent.iterdir()] == ["report.html"]


def test_the_baseline_and_the_worst_rows_are_named_as_the_task_says():
    said = {"always": Words("always nothing", "总是空"), "mistakes_title": Words("The emptiest", "最空的")}
    shown = visible_text(replace(full_content("plain"), **said), language="en")
    assert "Always nothing" in shown
    assert "The emptiest" in shown
