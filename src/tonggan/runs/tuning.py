"""Tuning: what is tuned, the journal of what was tried, and what came of it.

Optuna proposes; ``tuning_worker`` makes the trials. The test part is never opened.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from filelock import FileLock

from tonggan.config import apply_overrides, read_json
from tonggan.data.places import cache_folder
from tonggan.errors import ConfigError, MissingExtraError, TrainingError
from tonggan.evaluation.tuning_report import State, TunedTrial, TuningContent, write_tuning_report
from tonggan.files import whole_file
from tonggan.progress import Progress
from tonggan.runs.plan import Plan, resolve
from tonggan.runs.recipe import RangeConfig, Recipe, StudyConfig
from tonggan.runs.splits import open_splits

if TYPE_CHECKING:
    from optuna import Study

STUDY, JOURNAL, BEST = "study.json", "journal.jsonl", "best.yaml"
TAKEN_UP = "taken up"
"""What Optuna keeps of a trial that goes on under another number, as its process has died."""
Ranges = Mapping[str, list[Any] | RangeConfig]
_FIRST_TRIALS = 8  # are drawn at random
_FEWEST_FOR_IMPORTANCE = 4


@dataclass(frozen=True)
class Tuning:
    """What is tuned.

    Attributes:
        folder: of the study.
        recipe: with everything that no trial changes; without a test table.
        ranges: what is set, by the path of a field.
        trials: how many are made.
        greater_is_better: whether a greater score is.
        score_name: what decides.
    """

    folder: Path
    recipe: dict[str, Any]
    ranges: Ranges
    trials: int
    greater_is_better: bool
    score_name: str

    @property
    def seed(self) -> int:
        """Of what is proposed."""
        return int(self.recipe.get("seed", 0))

    def with_values(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a trial.

        Raises:
            ConfigError: the values do not fit the recipe, or each other.
        """
        return Recipe.parse(apply_overrides(self.recipe, dict(values)), who="trial")


def prepare(folder: Path, recipe: Recipe, sources: Mapping[str, Any], *, trials: int, progress: Progress) -> Tuning:
    """The study in ``folder``, begun or gone on with.

    Raises:
        ConfigError: another recipe, other ranges or other data were tuned there, or there is nothing to tune.
        MissingExtraError: Optuna is not installed.
        DataError: a table cannot be opened.
    """
    require_optuna()
    cache = cache_folder()
    tables = open_splits(
        recipe.data,
        target=recipe.target,
        sources={**sources, "test": None},
        seed=recipe.seed,
        cache=cache,
        progress=progress,
        folds=recipe.study.folds is not None,
    )
    plan = resolve(recipe, tables)
    study = StudyConfig(folds=recipe.study.folds, seeds=recipe.study.seeds)
    fixed = recipe.model_copy(update={"floor": plan.recipe.floor, "study": study}).to_dict()
    places = [(fixed["data"], name) for name in ("train", "valid", "test")] + [
        (fixed["start"], key) for key in fixed["start"]
    ]
    for group, name in places:  # The best recipe stands in another folder.
        if group[name] is not None:
            group[name] = str(Path(group[name]).absolute())
    task = plan.task.build()
    tuning = Tuning(
        folder,
        fixed,
        recipe.study.ranges or default_ranges(plan),
        trials,
        task.greater_is_better,
        task.score_name,
    )
    for path, values in tuning.ranges.items():
        for value in values if isinstance(values, list) else (values.low, values.high):
            tuning.with_values({path: value})  # A range that leads nowhere is told before anything is tried.
    _remember(tuning, recipe, fingerprints={split: table.fingerprint for split, table in tables.items()})
    return tuning


def default_ranges(plan: Plan) -> dict[str, list[Any] | RangeConfig]:
    """What is worth trying where the recipe does not say it: of the network, and of boosted trees.

    Raises:
        ConfigError: the plan has nothing of that kind.
    """
    ranges: dict[str, list[Any] | RangeConfig] = {}
    if plan.trains_network:
        model = plan.recipe.model
        is_pretrained = bool(getattr(model.head, "base", None)) or any(each.base for each in model.encoders.values())
        low, high = (1e-5, 1e-3) if is_pretrained else (1e-4, 1e-2)
        ranges["training.learning_rate"] = RangeConfig(low=low, high=high, log=True)
        ranges["training.weight_decay"] = RangeConfig(low=1e-3, high=0.3, log=True)
        ranges["training.batch_size"] = [32, 64, 128]
        if not is_pretrained and "dim" not in model.model_fields_set:
            ranges["model.dim"] = [64, 128, 192]
    for name, member in (plan.recipe.floor.members if plan.recipe.floor else {}).items():
        if member.kind == "boosted_trees":
            path = f"floor.members.{name}"
            ranges[f"{path}.learning_rate"] = RangeConfig(low=0.01, high=0.2, log=True)
            ranges[f"{path}.leaves"] = RangeConfig(low=7, high=127, log=True)
            ranges[f"{path}.min_rows"] = RangeConfig(low=2, high=40, log=True)
            ranges[f"{path}.column_share"] = RangeConfig(low=0.3, high=1.0)
    if not ranges:
        raise ConfigError(
            "recipe.study.ranges",
            got="none, and neither a network nor boosted trees, which have some of their own",
            expected="at least one field to tune",
            remedy="Name it, e.g. --set study.ranges={floor.max_members: [1, 3, 5]}",
        )
    return ranges


def require_optuna() -> None:
    """Raise the MissingExtraError that says how to install Optuna, unless it is there."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError.of("optuna", extra="tune", purpose="tonggan tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("optuna").setLevel(logging.ERROR)


def _remember(tuning: Tuning, recipe: Recipe, *, fingerprints: Mapping[str, str]) -> None:
    """Write down what is tuned; raise ConfigError where the folder holds the study of something else."""
    path = tuning.folder / STUDY
    ranges = {key: each if isinstance(each, list) else each.to_dict() for key, each in tuning.ranges.items()}
    content = {
        "recipe": tuning.recipe,
        "ranges": ranges,
        "pruner": recipe.study.pruner,
        "score_name": tuning.score_name,
        "greater_is_better": tuning.greater_is_better,
        "data": dict(fingerprints),
    }
    if path.exists():
        former = read_json(path)
        differing = [key for key in content if former.get(key) != content[key]]
        if differing:
            raise ConfigError(
                f"study folder {tuning.folder}",
                got="a study of another " + ", another ".join(differing),
                expected="the study that was started there",
                remedy="Repeat its command to go on with it, or choose another folder with --out",
            )
        return
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def open_tuning(folder: Path, *, trials: int) -> Tuning:
    """The study that ``prepare`` has begun in ``folder``."""
    require_optuna()
    said = read_json(folder / STUDY)
    ranges = {
        key: each if isinstance(each, list) else RangeConfig.parse(each, who=key)
        for key, each in said["ranges"].items()
    }
    return Tuning(folder, said["recipe"], ranges, trials, said["greater_is_better"], said["score_name"])


def open_study(tuning: Tuning, *, seed: int = 0) -> Study:
    """Optuna's study of ``tuning``, whose next trial is proposed with ``seed``."""
    import optuna

    pruner: optuna.pruners.BasePruner = {
        "median": optuna.pruners.MedianPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
        "none": optuna.pruners.NopPruner,
    }[read_json(tuning.folder / STUDY)["pruner"]]()
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(cast("Any", Journal(tuning.folder / JOURNAL))),
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_FIRST_TRIALS, constant_liar=True),
        pruner=pruner,
        study_name="tuning",
        direction="maximize" if tuning.greater_is_better else "minimize",
        load_if_exists=True,
    )


class Journal:
    """Optuna's journal in a file of JSON lines: a line that a killed process has left torn is cut off."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, FileLock(f"{path}.lock")

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The entries from a number on."""
        content = self._path.read_bytes() if self._path.exists() else b""
        return [json.loads(line) for line in content.split(b"\n")[:-1][log_number_from:]]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write further entries, which are on the disk when this returns."""
        added = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in logs).encode()
        with self._lock, self._path.open("a+b") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.write(added)
            file.flush()
            os.fsync(file.fileno())


@dataclass(frozen=True)
class TuningResults:
    """What came of a study.

    Attributes:
        trials: all that were made, in their order.
        best: that with the best score.
        importance: by path, how much of the scores' differences comes of a field; empty where too few trials tell.
    """

    trials: Sequence[TunedTrial]
    best: TunedTrial
    importance: Mapping[str, float]


def results_of(tuning: Tuning) -> TuningResults:
    """What the study has found so far.

    Raises:
        TrainingError: no trial was finished.
    """
    from optuna.trial import TrialState

    states: dict[TrialState, State] = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "given up"}
    study = open_study(tuning)
    trials = [
        TunedTrial(
            each.number + 1,
            states.get(each.state, "failed"),
            each.value if each.state == TrialState.COMPLETE else None,
            dict(each.params),
            float(each.user_attrs.get("seconds", 0.0)),
            each.user_attrs.get("error"),
        )
        for each in study.get_trials(deepcopy=False)
        if each.state.is_finished() and not each.user_attrs.get(TAKEN_UP, False)
    ]
    finished = [each for each in trials if each.score is not None]
    if not finished:
        raise TrainingError(
            f"study {tuning.folder}",
            got=next((each.problem for each in trials if each.problem), "no finished trial"),
            expected="at least one trial that is finished",
            remedy="Correct what the trial reports, or allow more time",
        )
    sign = -1 if tuning.greater_is_better else 1
    best = min(finished, key=lambda each: sign * (each.score or 0.0))
    return TuningResults(trials, best, _importance(study, finished))


def _importance(study: Study, finished: Sequence[TunedTrial]) -> dict[str, float]:
    """Of each field by Optuna's fANOVA, where enough trials differ enough."""
    import optuna

    if len(finished) < _FEWEST_FOR_IMPORTANCE or len({each.score for each in finished}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def write_results(tuning: Tuning, found: TuningResults) -> dict[str, Any]:
    """Write the best recipe and the report into the study's folder; what ``--json`` prints.

    Raises:
        DataError: the folder cannot be written.
    """
    recipe = tuning.with_values(found.best.values)
    with whole_file(tuning.folder / BEST) as partial:
        partial.write_text(recipe.to_yaml(), encoding="utf-8")
    title = ", ".join(recipe.target)
    write_tuning_report(
        tuning.folder / "report.html",
        content=TuningContent(
            title,
            tuning.score_name,
            tuning.greater_is_better,
            found.trials,
            found.best,
            found.importance,
            {path: isinstance(each, RangeConfig) and each.log for path, each in tuning.ranges.items()},
            recipe.to_yaml(),
        ),
    )
    return {
        "score_name": tuning.score_name,
        "greater_is_better": tuning.greater_is_better,
        "best": asdict(found.best),
        "trials": [asdict(trial) for trial in found.trials],
        "importance": dict(found.importance),
        "recipe": str(tuning.folder / BEST),
        "report": str(tuning.folder / "report.html"),
    }
