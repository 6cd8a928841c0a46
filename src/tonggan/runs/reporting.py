"""What a run's report shows, collected from its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tonggan.data.kinds import Guess
from tonggan.evaluation.content import ColumnSummary, PartResult, ReportContent, SplitSummary
from tonggan.evaluation.examples import calibration, confusion, find_mistakes, scatters
from tonggan.runs.bundle import Bundle
from tonggan.training.budget import describe_seconds

if TYPE_CHECKING:
    from tonggan.runs.fitting import Account
    from tonggan.runs.prepare import Prepared


def report_content(bundle: Bundle, prepared: Prepared, account: Account) -> ReportContent:
    """Everything that ``report.html`` shows of a run; the last measured part is its headline."""
    task = prepared.task
    split = list(account.outputs)[-1]
    outputs = account.outputs[split]
    assert outputs.target is not None
    return ReportContent(
        title=", ".join(bundle.recipe.target) + " ← " + " + ".join(prepared.modalities),
        target=", ".join(bundle.recipe.target),
        task_kind=task.kind,
        score_name=task.score_name,
        results=[
            PartResult(name, len(account.outputs[name]), account.metrics[name], account.intervals[name])
            for name in account.metrics
        ],
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
        confusion=confusion(task, outputs.outputs, outputs.target),
        calibration=calibration(task, outputs.outputs, outputs.target),
        scatters=scatters(task, outputs.outputs, outputs.target),
        mistakes=find_mistakes(task, outputs, prepared.datasets[split]),
        writes=task.text is not None,
        recipe=bundle.recipe.to_yaml(),
        facts=_facts(bundle, account),
    )


def _role(name: str, guess: Guess, target: list[str]) -> Literal["input", "target", "ignored"]:
    if name in target:
        return "target"
    return "ignored" if guess.config.kind == "ignore" else "input"


def _facts(bundle: Bundle, account: Account) -> dict[str, str]:
    training = account.training
    return {
        "Seed": str(bundle.recipe.seed),
        "Parameters": f"{bundle.info['parameters']:,}",
        "Training": f"{training.steps:,} steps in {describe_seconds(training.seconds)}, {training.precision}, "
        f"ended by {training.stopped_by}, best at step {training.best_step:,}",
        "Whole run": describe_seconds(bundle.results["seconds"]),
        "Data fingerprint": bundle.info["fingerprint"],
        "Made": bundle.info["created"],
        "Versions": ", ".join(f"{name} {number}" for name, number in bundle.info["versions"].items()),
    }
