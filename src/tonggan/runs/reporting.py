"""What a run's report shows, collected from its parts."""

from __future__ import annotations

from typing import Literal

from tonggan.data.kinds import Guess
from tonggan.evaluation.mistakes import find_mistakes
from tonggan.evaluation.report import ColumnSummary, PartResult, ReportContent, SplitSummary
from tonggan.runs.assess import Account
from tonggan.runs.bundle import Bundle
from tonggan.runs.prepare import Prepared
from tonggan.training.budget import describe_seconds
from tonggan.wording import Words


def report_content(bundle: Bundle, prepared: Prepared, account: Account) -> ReportContent:
    """Everything that ``report.html`` shows of a run; the last measured part is its headline."""
    task = prepared.task
    split = list(account.measured)[-1]
    measured = account.measured[split]
    return ReportContent(
        title=", ".join(bundle.recipe.target) + " ← " + " + ".join(prepared.modalities),
        target=", ".join(bundle.recipe.target),
        task=task.words,
        score_name=task.score_name,
        leading=measured.measure.leading,
        results=[
            PartResult(name, len(part), account.metrics[name], account.intervals[name])
            for name, part in account.measured.items()
        ],
        inputs=list(prepared.modalities),
        constant=account.constant,
        always=task.constant_words,
        notes=measured.measure.notes(),
        advice=account.advice,
        parts=[
            PartResult(name, int(metrics["rows"]), metrics, {}) for name, metrics in bundle.results["parts"].items()
        ],
        parts_by=bundle.recipe.report_by or "",
        splits=[
            SplitSummary(name, len(table), table.source, len(prepared.diagnosis.rows(name)))
            for name, table in prepared.tables.items()
        ],
        columns=[
            ColumnSummary(name, _role(name, guess, bundle.recipe.target), guess.config.kind, guess.reason)
            for name, guess in prepared.guesses.items()
        ],
        findings=prepared.diagnosis.findings,
        subsets=account.subsets,
        audit=account.audit,
        history=account.training.history,
        sections=measured.measure.sections(),
        mistakes=find_mistakes(bundle.model, task, prepared.datasets[split], measured),
        mistakes_title=measured.measure.worst_title,
        mistakes_note=measured.measure.worst_note,
        recipe=bundle.recipe.to_yaml(),
        facts=_facts(bundle, account),
    )


def _role(name: str, guess: Guess, target: list[str]) -> Literal["input", "target", "ignored"]:
    if name in target:
        return "target"
    return "ignored" if guess.config.kind == "ignore" else "input"


def _facts(bundle: Bundle, account: Account) -> list[tuple[Words, Words]]:
    training = account.training
    ends = {"epochs": "达到轮数上限", "time": "达到时间上限", "patience": "不再提高"}
    seconds, whole = describe_seconds(training.seconds), describe_seconds(bundle.results["seconds"])
    return [
        (Words("Seed", "随机种子"), _same(str(bundle.recipe.seed))),
        (Words("Parameters", "参数量"), _same(f"{bundle.info['parameters']:,}")),
        (
            Words("Training", "训练"),
            Words(
                f"{training.steps:,} steps in {seconds}, {training.precision}, ended by {training.stopped_by}, "
                f"best at step {training.best_step:,}",
                f"{training.steps:,} 步，用时 {seconds}，精度 {training.precision}，"
                f"结束原因：{ends[training.stopped_by]}，最佳权重在第 {training.best_step:,} 步",
            ),
        ),
        (Words("Whole run", "总用时"), _same(whole)),
        (Words("Data fingerprint", "数据指纹"), _same(bundle.info["fingerprint"])),
        (Words("Made", "生成时间"), _same(bundle.info["created"])),
        (
            Words("Versions", "版本"),
            _same(", ".join(f"{name} {number}" for name, number in bundle.info["versions"].items())),
        ),
    ]


def _same(text: str) -> Words:
    return Words(text, text)
