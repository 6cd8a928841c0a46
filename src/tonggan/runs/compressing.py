"""A finished run made smaller and faster: by a student, by pruning, or in 8-bit integers; told beside the original."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tonggan.compression.channels import channels_of
from tonggan.compression.int8 import quantize
from tonggan.compression.pruning import prune
from tonggan.config import apply_overrides
from tonggan.data.loader import Loader
from tonggan.errors import ConfigError, TrainingError
from tonggan.evaluation.bootstrap import Comparison, compare, intervals
from tonggan.evaluation.predict import Measured, iterate_batches, measure_rows
from tonggan.evaluation.wording import format_gain, format_score, is_share, metric_words
from tonggan.floor.ensemble import Ensemble
from tonggan.layers.cores import num_threads
from tonggan.models import FusedModel, Model
from tonggan.progress import Progress, chosen_progress
from tonggan.runs.bundle import Bundle
from tonggan.runs.bundle_folder import CHECKPOINTS, INDEX, read_index
from tonggan.runs.duration import parse_duration
from tonggan.runs.fitting import assess_made, identity_of
from tonggan.runs.footprint import Footprint, footprints
from tonggan.runs.loading import Data
from tonggan.runs.plan import Plan, resolve
from tonggan.runs.predictor import Predictor
from tonggan.runs.recipe import Recipe, student_recipe
from tonggan.runs.reopening import with_data
from tonggan.runs.run_folder import claimed, finish, remember
from tonggan.runs.saving import Made, info_of, save
from tonggan.runs.start import Start
from tonggan.runs.trainings import new_model, train_objective
from tonggan.runs.trial import closing_of
from tonggan.tasks.measure import Measure
from tonggan.training import Budget, TrainingResult
from tonggan.training.supervised import Distillation, Supervised
from tonggan.training.world import World, refuse_processes, world

# Rows of the training part that show how large activations are, and batches that show which channels matter.
_CALIBRATED_ROWS, _WEIGHED_BATCHES = 256, 8
_PRUNED_SCHEDULES = 2  # as many times the original's epochs
_NOTHING = Start({}, {})


@dataclass(frozen=True)
class Way:
    """How a run is made smaller.

    Attributes:
        kind: of it.
        student: of ``distill``: the size, encoder or YAML file, as ``students`` reads it.
        share: of ``prune``: of the channels, units and heads that is taken out.
    """

    kind: Literal["distill", "prune", "int8"]
    student: str = ""
    share: float = 0.0

    def __post_init__(self) -> None:
        if self.kind == "prune" and not 0 < self.share < 1:
            raise ConfigError(
                "compress --prune", got=f"{self.share:g}", expected="a share between 0 and 1", remedy="Write e.g. 0.5"
            )


@dataclass(frozen=True)
class _Work:
    """What a run is made smaller with."""

    original: Bundle
    plan: Plan
    data: Data
    budget: Budget
    folder: Path
    progress: Progress


def compress(
    run: str | Path,
    *,
    out: str | Path,
    distill: str | None = None,
    prune: float | None = None,
    quantize: Literal["int8"] | None = None,
    data: Any = None,
    keep_within: float | None = None,
    settings: Sequence[str] | Mapping[str, Any] = (),
    time_limit: str | float | None = None,
    overwrite: bool = False,
    progress: Progress | bool | None = None,
) -> Predictor:
    """Make a finished run smaller and faster; ``results.compression`` tells what it lost beside the original.

    Started by ``torchrun``, the processes train together; all else the main one does.

    Args:
        run: its folder.
        out: folder of the new run, which is used as any other.
        distill: train a student by the run, of any kind: ``"small"`` or ``"tiny"`` (half or a quarter of the widths of
            its network), the kind of an encoder, or a YAML file with fields of ``model`` and ``training``.
        prune: take this share of the channels, units and heads out of its network, and train the rest further.
        quantize: ``"int8"``: let its encoders compute in 8-bit integers; needs the extra ``onnx``.
        data: the table that the run has learned from, where it is no longer where it was.
        keep_within: raise where the validation part loses more: 0.01 for a point, or 1 % of a score that is no share.
        settings: single fields of ``model`` and ``training``, as for ``fit``.
        time_limit: for everything, in seconds or as ``"5m"``.
        overwrite: replace a run that is already in ``out``.
        progress: as for ``fit``.

    Raises:
        TongganError: with who, what was got, what was expected, and the remedy.
    """
    ways = {
        "distill": distill is not None and Way("distill", student=str(distill)),
        "prune": prune is not None and Way("prune", share=float(prune)),
        "quantize": quantize is not None and Way("int8"),
    }
    chosen = [way for way in ways.values() if isinstance(way, Way)]
    if len(chosen) != 1:
        raise ConfigError(
            "compress",
            got=", ".join(name for name, way in ways.items() if way) or "no way",
            expected=f"one of {', '.join(ways)}",
            remedy="Choose one; another one can follow on the run that it makes",
        )
    return _compress(
        Path(run),
        chosen[0],
        out=Path(out),
        source=data,
        keep_within=keep_within,
        settings=settings,
        budget=Budget(None if time_limit is None else parse_duration(time_limit)),
        overwrite=overwrite,
        progress=chosen_progress(progress),
    )


def _compress(
    run: Path,
    way: Way,
    *,
    out: Path,
    source: Any,
    keep_within: float | None,
    settings: Sequence[str] | Mapping[str, Any],
    budget: Budget,
    overwrite: bool,
    progress: Progress,
) -> Predictor:
    if way.kind == "int8":
        refuse_processes("compress --quantize")
    original = Bundle.load(run)
    _check_way(original, way, settings)
    with world() as processes:
        if not processes.is_main:
            return _follow(original, run, way, out, source, settings, budget, processes)
        plan, data = with_data(original, run, source, progress=progress)
        plan = _plan_of(plan, data, way, settings)
        with claimed(out, overwrite=overwrite):
            text = f"# compress {way}: {read_index(run)['files']}\n{identity_of(plan, data, _NOTHING)}"
            folder = remember(out, text, overwrite=overwrite)
            is_finished = (folder / INDEX).exists()
            processes.gather(None if is_finished else folder)
            if not is_finished:
                if budget.seconds is not None:
                    budget.reserve(0.25 * budget.left)
                work = _Work(original, plan, data, budget, folder, progress)
                model, training = _WAYS[way.kind](work, way)
                original.model.cpu()
                _check_loss(work, model, keep_within, is_trained=training is not None, out=out)
                _finish(work, way, run, model, training)
            finish(out)
        processes.wait()
    return Predictor.load(out)


def _follow(
    original: Bundle,
    run: Path,
    way: Way,
    out: Path,
    source: Any,
    settings: Sequence[str] | Mapping[str, Any],
    budget: Budget,
    processes: World,
) -> Predictor:
    """The training, beside the main process, whose run is waited for."""
    folder = processes.gather(None)[0]  # By then what is decoded is in the cache.
    if folder is not None:
        silent = Progress()
        plan, data = with_data(original, run, source, progress=silent)
        work = _Work(original, _plan_of(plan, data, way, settings), data, budget, folder, silent)
        _WAYS[way.kind](work, way)
    processes.wait()
    return Predictor.load(out)


def _check_way(original: Bundle, way: Way, settings: Sequence[str] | Mapping[str, Any]) -> None:
    kind = original.task.kind
    if way.kind == "distill" and original.recipe.task is not None and original.recipe.task.form is None:
        raise ConfigError(
            "compress --distill",
            got=f"the task '{kind}'",
            expected="a task of classes, labels or numbers",
            remedy="Use --prune or --quantize int8",
        )
    is_single = isinstance(original.model, FusedModel)
    if (way.kind == "prune" and not is_single) or (not original.networks and way.kind == "int8"):
        raise ConfigError(
            f"compress --{'prune' if way.kind == 'prune' else 'quantize'}",
            got="members that are not networks" if not original.networks else "members of an ensemble",
            expected="a single network" if way.kind == "prune" else "a network",
            remedy="Use --distill small, which trains one network to say what all of them say",
        )
    if settings and way.kind == "int8":
        raise ConfigError(
            "compress --quantize", got="settings", expected="none, as nothing is trained", remedy="Leave them out"
        )


def _plan_of(plan: Plan, data: Data, way: Way, settings: Sequence[str] | Mapping[str, Any]) -> Plan:
    """What is trained, as a plan of the same inputs and the same target."""
    if way.kind == "int8":
        return plan
    if way.kind == "distill":
        recipe = student_recipe(plan.recipe, way.student, settings)
    else:
        # The whole schedule again gains more than a short one (Renda et al. 2020), and twice of it still more.
        fields = plan.recipe.to_dict()
        fields["training"]["epochs"] *= _PRUNED_SCHEDULES
        recipe = Recipe.parse(apply_overrides(fields, settings), who="settings")
    made = resolve(recipe, data.tables)
    former, columns = plan.recipe.columns, made.recipe.columns
    others = ", ".join(f"'{name}'" for name, column in columns.items() if column != former.get(name))
    if others:
        raise ConfigError(
            f"compress --{way.kind}",
            got=f"a network that reads {others} in another way than the run",
            expected="one that reads its inputs as the run does, so that both see the same",
            remedy="Choose another student, such as small or another encoder, or fit it by itself",
        )
    if way.kind == "prune" and made.recipe.model != plan.recipe.model:
        raise ConfigError(
            "compress --prune",
            got="fields of model",
            expected="fields of training: what is trained is the pruned network",
            remedy="Leave them out",
        )
    return made


def _distill(work: _Work, way: Way) -> tuple[Model, TrainingResult | None]:
    rows = len(work.data.datasets["train"])
    work.progress.say(f"A student '{way.student}' learns from {rows:,} rows and from the original.")
    student = new_model(work.plan, work.data, _NOTHING, progress=work.progress)
    return student, _taught(work, student, by_vector=False)


def _prune(work: _Work, way: Way) -> tuple[Model, TrainingResult | None]:
    network = copy.deepcopy(work.original.model)
    assert isinstance(network, FusedModel)
    recipe = work.plan.recipe
    loader = Loader(work.data.datasets["train"], batch_size=recipe.training.batch_size, seed=recipe.seed, shuffle=True)
    batches = [batch for _, batch in zip(range(_WEIGHED_BATCHES), loader.epoch(0), strict=False)]
    before = network.num_parameters
    objective = Supervised(network, work.data.task)
    count = prune(network, channels_of(network, batches[0]), batches, share=way.share, losses=objective.losses)
    work.progress.say(
        f"{count:,} channels, units and heads are pruned: {before:,} parameters become {network.num_parameters:,}."
    )
    return network, _taught(work, network, by_vector=True)


def _taught(work: _Work, network: FusedModel, *, by_vector: bool) -> TrainingResult:
    """Train ``network`` by the original, where its task has logits to compare; ``by_vector`` of each row as well.

    Half of a network gains by finding its own vectors again, a student by the logits alone: docs/compression.md.
    """
    original, task, form = work.original, work.data.task, work.plan.task.form
    make: Any = Supervised
    if form is not None:
        dim = original.recipe.model.dim
        widths = (dim, dim) if by_vector else None
        make = partial(Distillation, teacher=original.model, form=form, widths=widths)
    return train_objective(
        partial(make, network, task),
        work.plan,
        work.data,
        folder=work.folder / CHECKPOINTS,
        budget=work.budget,
        progress=work.progress,
    )


def _quantize(work: _Work, way: Way) -> tuple[Model, TrainingResult | None]:
    del way
    model = copy.deepcopy(work.original.model).cpu().eval()
    sample = work.data.datasets["train"].sample(_CALIBRATED_ROWS, seed=work.plan.recipe.seed)
    batches = [dict(batch.inputs) for batch in iterate_batches(sample, batch_size=64, progress=None, label="calibrate")]
    networks = [network for network, _ in model.networks] if isinstance(model, Ensemble) else [model]
    for network in networks:
        assert isinstance(network, FusedModel)
        names = quantize(network, batches)
        work.progress.say(f"Encoders in int8, calibrated on {len(sample):,} training rows: {', '.join(names)}")
    return model, None


_WAYS = {"distill": _distill, "prune": _prune, "int8": _quantize}


def _check_loss(work: _Work, model: Model, keep_within: float | None, *, is_trained: bool, out: Path) -> None:
    """Raise TrainingError where more is lost on the validation part than may be."""
    if keep_within is None:
        return
    mine = measure_rows(model, work.original.task, work.data.datasets["valid"])
    found, _ = _beside(work, mine, "valid")
    lost = -found.gain if is_share(found.score_name) else -found.gain / max(abs(found.other), 1e-12)
    if lost <= keep_within:
        return
    if not is_trained:
        finish(out)
    name = metric_words(found.score_name).english
    score, other = (format_score(found.score_name, each) for each in (found.score, found.other))
    less = format_gain(found.score_name, -found.gain).english
    raise TrainingError(
        "compress --keep-within",
        got=f"{name} {score} on {found.num_rows:,} validation rows, {less} worse than {other} of the original",
        expected=f"at most {100 * keep_within:g} % lost; no run was written",
        remedy="Prune less, train longer with --set training.epochs=…, or allow more with --keep-within, which goes "
        "on from what was trained",
    )


def _beside(work: _Work, mine: Measured, split: str) -> tuple[Comparison, Measure]:
    """The new model and the original on the rows of a part that were measured, and what the original is worth there."""
    dataset = work.data.datasets[split]
    same = dataset.take(np.flatnonzero(np.isin(dataset.rows, mine.rows)))
    former = measure_rows(work.original.model, work.original.task, same)
    one, other = (each.take(np.argsort(each.rows, kind="stable")).measure for each in (mine, former))
    return compare(one, other, seed=work.plan.recipe.seed), other


def _finish(work: _Work, way: Way, run: Path, model: Model, training: TrainingResult | None) -> Bundle:
    plan, data, progress = work.plan, work.data, work.progress
    made = Made(model, training=training)
    closing = closing_of(model, plan, data, budget=work.budget)
    with num_threads(training.threads) if training else nullcontext():
        found = assess_made(plan, data, made, closing, progress=progress)
    both = {split: _beside(work, measured, split) for split, measured in found.measured.items()}
    beside = {split: each for split, (each, _) in both.items()}
    split, (_, former) = list(both.items())[-1]
    progress.say("Measuring size, time and memory of both")
    info = {"kind": way.kind, "of": str(run)}
    with tempfile.TemporaryDirectory() as folder:
        told = info_of(plan, data, _NOTHING, model) | {"compression": info}
        results = work.original.results
        trial = Bundle(plan.recipe, data.modalities, data.task, model.cpu().eval(), results, told)
        trial.save(Path(folder))
        costs = footprints([work.original.model, model], [run, Path(folder)], data.task, data.datasets[split])
    if way.kind == "int8":  # whose weights are in its graphs
        costs[1] = replace(costs[1], parameters=costs[0].parameters)
    bounds = [intervals(former, seed=plan.recipe.seed), found.intervals[split]]
    compared = _results(info, beside, costs, [each.get(former.score_name) for each in bounds])
    return save(work.folder, plan, data, _NOTHING, made, found, seconds=work.budget.elapsed, compression=compared)


def _results(
    info: Mapping[str, Any],
    beside: Mapping[str, Comparison],
    costs: Sequence[Footprint],
    bounds: Sequence[tuple[float, float] | None],
) -> dict[str, Any]:
    """The original and what was made of it, side by side; scores are those of the final part."""
    split, final = list(beside.items())[-1]
    scores = (final.other, final.score)
    rows = [
        {"model": name, "score": score, "interval": None if pair is None else list(pair), **cost.to_dict()}
        for name, score, pair, cost in zip(("original", info["kind"]), scores, bounds, costs, strict=True)
    ]
    gains = {
        name: {"gain": each.gain, "interval": None if each.gain_interval is None else list(each.gain_interval)}
        for name, each in beside.items()
    }
    told = {"split": split, "score_name": final.score_name, "num_rows": final.num_rows}
    return {**info, **told, "gains": gains, "rows": rows}
