"""The end of a run: its bundle, and the report that shows it to people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tonggan.evaluation.mistakes import find_mistakes
from tonggan.evaluation.report import (
    ColumnSummary,
    PartResult,
    ReportContent,
    SplitSummary,
    StudySummary,
    write_report,
)
from tonggan.floor.ensemble import Ensemble
from tonggan.models import Model
from tonggan.runs.assess import Assessment, advise
from tonggan.runs.bundle import Bundle, base_of, versions, weights_of
from tonggan.runs.footprint import comparison
from tonggan.runs.loading import Data
from tonggan.runs.members import Floor
from tonggan.runs.plan import Plan
from tonggan.runs.start import Start
from tonggan.tasks import Advice, Task
from tonggan.tasks.figures import Section
from tonggan.training import TrainingResult
from tonggan.training.budget import describe_seconds
from tonggan.wording import Words


@dataclass(frozen=True)
class Made:
    """What a run has made.

    Attributes:
        model: that is served.
        training: the course of the network's, where one was trained.
        floor: the members, where there are some.
        alone: by input, a model of that input alone.
        study: the trials whose mean the model is.
    """

    model: Model
    training: TrainingResult | None = None
    floor: Floor | None = None
    alone: Mapping[str, Model] = field(default_factory=dict)
    study: StudySummary | None = None


def save(
    folder: Path,
    plan: Plan,
    data: Data,
    start: Start,
    made: Made,
    found: Assessment,
    *,
    seconds: float,
    compression: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write bundle and report of a run into ``folder``.

    Args:
        folder: of the run.
        plan: what was run.
        data: what it was run on.
        start: where encoders began.
        made: the model.
        found: what it is worth.
        seconds: that everything took.
        compression: the model beside the larger one that it was made of.

    Raises:
        BundleError: the folder cannot be written.
    """
    advice = advise(data.task, plan.recipe, found.constant)
    bundle = Bundle(
        plan.recipe,
        data.modalities,
        data.task,
        made.model.cpu().eval(),
        _results(plan, data, made, found, advice, seconds=seconds) | {"compression": compression},
        info_of(plan, data, start, made.model) | {"compression": compression and _kind_of(compression)},
        data.diagnosis.profiles,
    )
    write_report(folder / "report.html", content=_report(bundle, plan, data, made, found, advice))
    bundle.save(folder)
    return bundle


def _kind_of(compression: Mapping[str, Any]) -> dict[str, Any]:
    return {name: compression[name] for name in ("kind", "of")}


def save_trial(
    folder: Path,
    plan: Plan,
    data: Data,
    start: Start,
    made: Made,
    task: Task,
    metrics: Mapping[str, Mapping[str, float]],
    *,
    seconds: float,
) -> Bundle:
    """Write the bundle of a trial into ``folder``, with little more than its ``metrics`` and the calibrated ``task``.

    Raises:
        BundleError: the folder cannot be written.
    """
    results = {
        "metrics": {split: dict(values) for split, values in metrics.items()},
        "intervals": {},
        "rows": {split: len(dataset) for split, dataset in data.datasets.items()},
        "inputs": {name: modality.kind for name, modality in data.modalities.items()},
        "task": task.kind,
        "target": plan.recipe.target,
        "score_name": task.score_name,
        "seconds": seconds,
        "floor": None if made.floor is None else made.floor.to_dict(),
    }
    info = info_of(plan, data, start, made.model)
    bundle = Bundle(plan.recipe, data.modalities, task, made.model.cpu().eval(), results, info, data.diagnosis.profiles)
    bundle.save(folder)
    return bundle


def _results(
    plan: Plan, data: Data, made: Made, found: Assessment, advice: Advice | None, *, seconds: float
) -> dict[str, Any]:
    """All that a bundle tells of a run."""
    rows = {split: len(dataset) for split, dataset in data.datasets.items()}
    splits = {split: part.measure for split, part in found.measured.items()}
    return found.results(data.task, rows=rows, seconds=seconds) | {
        "parts": {name: {"rows": len(part), **part.metrics()} for name, part in found.slices.items()},
        "signatures": {name: part.signatures() for name, part in {**splits, **found.slices}.items()},
        "measured": {split: len(part) for split, part in splits.items()},
        "settings_to_try": list(advice.settings) if advice else [],
        "settings_reason": advice.reason.english if advice else "",
        "settings_reason_zh": advice.reason.chinese if advice else "",
        "target": plan.recipe.target,
        "labels": data.task.labels,
        "inputs": {name: modality.kind for name, modality in data.modalities.items()},
        "data": {split: table.source for split, table in data.tables.items()},
        "training": None if made.training is None else _course(made.training),
        "floor": None if made.floor is None else made.floor.to_dict(),
        "study": None if made.study is None else made.study.to_dict(),
        "findings": [finding.to_dict() for finding in data.diagnosis.findings],
    }


def _course(training: TrainingResult) -> dict[str, Any]:
    return {
        "history": training.history,
        "best_step": training.best_step,
        "steps": training.steps,
        "seconds": training.seconds,
        "stopped_by": training.stopped_by,
        "precision": training.precision,
        "peak_memory": training.peak_memory,
    }


def info_of(plan: Plan, data: Data, start: Start, model: Model) -> dict[str, Any]:
    """What the index of a bundle tells of how it was made."""
    return {
        "fingerprint": data.fingerprint,
        "base": base_of(plan.recipe),
        "weights": weights_of(plan.recipe),
        "frozen": model.frozen if isinstance(model, Ensemble) else {},
        "start": start.identity,
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": model.num_parameters,
    }


def _report(
    bundle: Bundle, plan: Plan, data: Data, made: Made, found: Assessment, advice: Advice | None
) -> ReportContent:
    """Everything that ``report.html`` shows of a run; the last measured part is its headline."""
    task = data.task
    split = list(found.measured)[-1]
    measured = found.final
    return ReportContent(
        title=", ".join(bundle.recipe.target) + " ← " + " + ".join(data.modalities),
        target=", ".join(bundle.recipe.target),
        task=task.words,
        score_name=task.score_name,
        leading=measured.measure.leading,
        results=[
            PartResult(name, len(part), found.metrics[name], found.intervals[name])
            for name, part in found.measured.items()
        ],
        inputs=list(data.modalities),
        constant=found.constant,
        always=task.constant_words,
        notes=measured.measure.notes(),
        advice=advice,
        parts=[
            PartResult(name, int(metrics["rows"]), metrics, {}) for name, metrics in bundle.results["parts"].items()
        ],
        parts_by=bundle.recipe.report_by or "",
        splits=[
            SplitSummary(name, len(table), table.source, len(data.diagnosis.rows(name)))
            for name, table in data.tables.items()
        ],
        columns=[ColumnSummary(name, _role(name, plan), kind, plan.reasons[name]) for name, kind in plan.kinds.items()],
        findings=data.diagnosis.findings,
        subsets=found.subsets,
        audit=found.audit,
        history=made.training.history if made.training else (),
        members=made.floor.members if made.floor else (),
        study=made.study,
        without_network=made.floor.score if made.floor and made.training else None,
        sections=[*_compared(bundle), *measured.measure.sections()],
        mistakes=find_mistakes(bundle.model, task, data.datasets[split], measured),
        mistakes_title=measured.measure.worst_title,
        mistakes_note=measured.measure.worst_note,
        recipe=bundle.recipe.to_yaml(),
        facts=_facts(bundle, made.training),
    )


def _compared(bundle: Bundle) -> list[Section]:
    found = bundle.results["compression"]
    return [] if found is None else [comparison(found)]


def _role(name: str, plan: Plan) -> Literal["input", "target", "ignored"]:
    if name in plan.recipe.target:
        return "target"
    return "input" if plan.recipe.columns[name].is_used else "ignored"


def _facts(bundle: Bundle, training: TrainingResult | None) -> list[tuple[Words, Words]]:
    made_with = ", ".join(f"{name} {number}" for name, number in bundle.info["versions"].items())
    return [
        (Words("Seed", "随机种子"), _same(str(bundle.recipe.seed))),
        (Words("Parameters", "参数量"), _same(f"{bundle.info['parameters']:,}")),
        *([] if training is None else [(Words("Training", "训练"), _course_words(training))]),
        (Words("Whole run", "总用时"), _same(describe_seconds(bundle.results["seconds"]))),
        (Words("Data fingerprint", "数据指纹"), _same(bundle.info["fingerprint"])),
        (Words("Made", "生成时间"), _same(bundle.info["created"])),
        (Words("Versions", "版本"), _same(made_with)),
    ]


def _course_words(training: TrainingResult) -> Words:
    ends = {"epochs": "达到轮数上限", "time": "达到时间上限", "patience": "不再提高"}
    seconds = describe_seconds(training.seconds)
    return Words(
        f"{training.steps:,} steps in {seconds}, {training.precision}, ended by {training.stopped_by}, "
        f"best at step {training.best_step:,}",
        f"{training.steps:,} 步，用时 {seconds}，精度 {training.precision}，"
        f"结束原因：{ends[training.stopped_by]}，最佳权重在第 {training.best_step:,} 步",
    )


def _same(text: str) -> Words:
    return Words(text, text)
