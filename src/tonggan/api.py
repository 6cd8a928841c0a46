"""The front door: fit a model, run a recipe, load a run, examine data. The command line comes in by it, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tonggan.config import apply_overrides
from tonggan.data.doctor import Diagnosis
from tonggan.errors import ConfigError
from tonggan.pretraining.fitting import pretrain as pretrain
from tonggan.progress import Progress, chosen_progress
from tonggan.recommendation.config import RecommendationConfig, default_members
from tonggan.recommendation.fitting import fit_recommender as make_recommender
from tonggan.recommendation.recommender import Recommender, is_recommender
from tonggan.runs.arguments import chosen_folder, split_sources, with_given
from tonggan.runs.compressing import compress as compress
from tonggan.runs.duration import parse_duration
from tonggan.runs.exporting import export as export
from tonggan.runs.fitting import run_recipe
from tonggan.runs.loading import diagnose_tables
from tonggan.runs.predictor import Predictor
from tonggan.runs.ray_cluster import Engine, run_by
from tonggan.runs.recipe import Recipe, load_recipe, recipe_for_table
from tonggan.runs.results import Results
from tonggan.runs.tuning_worker import tune as tune_recipe
from tonggan.space.config import MatchRecipe, is_match_recipe, load_match_recipe
from tonggan.space.fitting import fit_space as make_space
from tonggan.space.indexing import index as index
from tonggan.space.matcher import Matcher, is_space, load_matcher
from tonggan.space.zero_shot import classify as classify


def fit(
    data: Any,
    *,
    target: str | int | Sequence[str | int],
    out: str | Path | None = None,
    task: str | None = None,
    valid: Any = None,
    test: Any = None,
    time_limit: str | float | None = None,
    preset: Literal["fast", "balanced", "best"] | None = None,
    folds: int | None = None,
    seeds: int | None = None,
    recipe: str | None = None,
    settings: Sequence[str] | Mapping[str, Any] = (),
    seed: int | None = None,
    engine: Engine = "local",
    processes: int = 1,
    overwrite: bool = False,
    progress: Progress | bool | None = None,
    started: float | None = None,
) -> Predictor:
    """Train a model that predicts ``target`` from the other columns of ``data``.

    Args:
        data: path of a CSV, TSV, JSON Lines, Excel or Parquet file, of tar shards or of a folder of class folders; a
            pandas or polars data frame; a pyarrow table; columns as a mapping of lists; or rows as a list of mappings.
        target: column to predict; several number columns make one regression.
        out: the run's folder, which becomes the bundle; to fit again with the same one resumes an interrupted run.
            Without it the folder is new: ``runs/`` with the target and the time, as ``Predictor.folder`` says.
        task: what to do, such as ``"caption"``; guessed from the target when left out.
        valid: table to choose on; without it a part of ``data`` is cut off.
        test: table for the final number alone.
        time_limit: for everything, in seconds or as ``"5m"``.
        preset: ``"fast"`` fits members to what frozen encoders, texts and cells say, in seconds; ``"balanced"``, the
            default without a ``recipe``, also trains a network where it may add something; ``"best"`` tries all.
        folds: train without each of so many parts, and serve the mean; ``out_of_fold.csv`` has each row's prediction.
        seeds: train so often, each time from another seed, and serve the mean.
        recipe: YAML file or shipped recipe to take all other settings from.
        settings: single fields of the recipe, as ``{"training.epochs": 5}``, ``{"training": {"epochs": 5}}`` or
            ``["training.epochs=5"]``.
        seed: same seed, same numbers; without it that of ``recipe``, or 0.
        engine: what trains: this process, or ``processes`` of Ray Train, on a cluster or on this machine.
        processes: how many train together; those that ``torchrun`` starts know it by themselves.
        overwrite: replace a run that is already in ``out``.
        progress: True shows how far the work is, False does not; by default terminals and notebooks show it.
        started: ``time.monotonic()`` from which the ``time_limit`` counts, now by default.

    Raises:
        TongganError: with who, what was got, what was expected, and the remedy.
    """
    _check_task(task)
    paths, sources = split_sources({"train": data, "valid": valid, "test": test})
    overrides = with_given(settings, {"task.kind": task, "study.folds": folds, "study.seeds": seeds})
    made = recipe_for_table(
        paths.get("train"), target=_texts(target), valid=paths.get("valid"), test=paths.get("test"), base=recipe,
        preset=preset, overrides=overrides, seed=seed,
    )  # fmt: skip
    return _run(made, out, sources, engine, processes, time_limit, started, overwrite, progress)


def fit_recommender(
    interactions: Any,
    *,
    items: Any = None,
    users: Any = None,
    out: str | Path | None = None,
    time_limit: str | float | None = None,
    settings: Sequence[str] | Mapping[str, Any] = (),
    seed: int | None = None,
    overwrite: bool = False,
    progress: Progress | bool | None = None,
) -> Recommender:
    """Learn from who took what to recommend items; measured on what came last, as it will be used.

    Args:
        interactions: table with a row for each time a user took an item, perhaps with a rating and a time; its columns
            are found by their names.
        items: table of the items: their ids, and texts, names, numbers or pictures of them.
        users: table of the users, likewise.
        out: as for ``fit``.
        time_limit: as for ``fit``.
        settings: single fields of ``RecommendationConfig``, e.g. ``{"columns.user": "reader"}``.
        seed: as for ``fit``.
        overwrite: as for ``fit``.
        progress: as for ``fit``.

    Raises:
        TongganError: with who, what was got, what was expected, and the remedy.
    """
    fields = apply_overrides({"members": default_members()}, with_given(settings, {"seed": seed}))
    shown = chosen_progress(progress)
    config, folder = RecommendationConfig.parse(fields, who="settings"), chosen_folder(out, "recommend", shown)
    return make_recommender(
        interactions,
        items=items,
        users=users,
        out=folder,
        config=config,
        overwrite=overwrite,
        time_limit=None if time_limit is None else parse_duration(time_limit),
        progress=shown,
    )


def run(
    recipe: str,
    *,
    out: str | Path,
    time_limit: str | float | None = None,
    folds: int | None = None,
    seeds: int | None = None,
    settings: Sequence[str] | Mapping[str, Any] = (),
    engine: Engine = "local",
    processes: int = 1,
    overwrite: bool = False,
    progress: Progress | bool | None = None,
    started: float | None = None,
) -> Predictor | Matcher:
    """Run the shipped recipe of that name or the one in a YAML file: fetch or open its data, train, audit, save.

    Args:
        recipe: its name, or the file.
        out: the run's folder, which becomes the bundle; the same call resumes an interrupted run.
        time_limit: for everything, in seconds or as ``"5m"``.
        folds: as for ``fit``.
        seeds: as for ``fit``.
        settings: single fields of the recipe, as for ``fit``.
        engine: as for ``fit``.
        processes: as for ``fit``.
        overwrite: replace a run that is already in ``out``.
        progress: as for ``fit``.
        started: as for ``fit``.

    Raises:
        TongganError: with who, what was got, what was expected, and the remedy.
    """
    if is_match_recipe(recipe):
        if folds is not None or seeds is not None or engine != "local" or processes > 1:
            raise ConfigError(
                f"recipe {recipe}",
                got="folds, seeds or an engine",
                expected="one training, as of every space",
                remedy="Leave them out",
            )
        return make_space(
            load_match_recipe(recipe, overrides=settings),
            out=Path(out),
            time_limit=None if time_limit is None else parse_duration(time_limit),
            started=started,
            overwrite=overwrite,
            progress=chosen_progress(progress),
        )
    made = load_recipe(recipe, overrides=with_given(settings, {"study.folds": folds, "study.seeds": seeds}))
    return _run(made, out, {}, engine, processes, time_limit, started, overwrite, progress)


def fit_space(
    pairs: Any,
    *,
    out: str | Path | None = None,
    labels: str | None = None,
    valid: Any = None,
    test: Any = None,
    time_limit: str | float | None = None,
    settings: Sequence[str] | Mapping[str, Any] = (),
    seed: int | None = None,
    overwrite: bool = False,
    progress: Progress | bool | None = None,
    started: float | None = None,
) -> Matcher:
    """Learn one space for the columns of ``pairs``, in which what stands in one row lies together.

    Args:
        pairs: table, as for ``fit``, with two or more columns of pictures, texts, sounds, numbers or categories.
        out: the run's folder; without it the folder is new, as for ``fit``.
        labels: column of classes that the space is to tell as well, with ``space.alignment.kind=multitask``.
        valid: table to choose on; without it a part of ``pairs`` is cut off.
        test: table for the final number alone.
        time_limit: for everything, in seconds or as ``"5m"``.
        settings: single fields of ``MatchRecipe``, given as for ``fit``, e.g. ``{"space.alignment.kind": "sigmoid"}``.
        seed: same seed, same numbers.
        overwrite: replace a space that is already in ``out``.
        progress: as for ``fit``.
        started: as for ``fit``.

    Raises:
        TongganError: with who, what was got, what was expected, and the remedy.
    """
    paths, sources = split_sources({"train": pairs, "valid": valid, "test": test})
    fields = apply_overrides({"data": paths}, with_given(settings, {"seed": seed, "labels": labels}))
    recipe = MatchRecipe.parse(fields, who="settings")
    shown = chosen_progress(progress)
    folder = chosen_folder(out, "space", shown)
    return make_space(
        recipe,
        out=folder,
        sources=sources,
        time_limit=None if time_limit is None else parse_duration(time_limit),
        started=started,
        overwrite=overwrite,
        progress=shown,
    )


def tune(
    source: Any,
    *,
    trials: int,
    out: str | Path,
    target: str | int | Sequence[str | int] | None = None,
    valid: Any = None,
    test: Any = None,
    preset: Literal["fast", "balanced", "best"] | None = None,
    jobs: int = 1,
    engine: Engine = "local",
    time_limit: str | float | None = None,
    fit_best: bool = False,
    settings: Sequence[str] | Mapping[str, Any] = (),
    progress: Progress | bool | None = None,
) -> Results:
    """Search the settings of a recipe that serve the validation part best; the test part is not opened.

    Args:
        source: a recipe as ``run`` takes it, or with a ``target`` a table as ``fit`` does.
        trials: how many, those of an earlier call with the same folder included.
        out: the study's folder, which gets ``best.yaml`` and ``report.html``; the same call goes on with a study.
        target: as for ``fit``.
        valid: as for ``fit``.
        test: as for ``fit``; it is for ``fit_best`` alone.
        preset: as for ``fit``.
        jobs: how many processes make trials.
        engine: what starts further ones: this machine, or a cluster of Ray.
        time_limit: for all trials, in seconds or as ``"5m"``.
        fit_best: run the best recipe into ``best/`` in the study's folder.
        settings: as for ``fit``; ``study.ranges`` says what is searched.
        progress: as for ``fit``.

    Returns:
        ``best`` and ``trials`` with scores and values, ``importance``, and where ``recipe`` and ``report`` are.

    Raises:
        TongganError: with who, what was got, what was expected, and the remedy.
    """
    sources: dict[str, Any] = {}
    if target is None:
        recipe = load_recipe(source, overrides=settings)
    else:
        paths, sources = split_sources({"train": source, "valid": valid, "test": test})
        train, valid, test = (paths.get(split) for split in ("train", "valid", "test"))
        recipe = recipe_for_table(
            train, target=_texts(target), valid=valid, test=test, preset=preset, overrides=settings
        )
    shown, folder = chosen_progress(progress), Path(out)
    seconds = None if time_limit is None else parse_duration(time_limit)
    found = tune_recipe(
        folder, recipe, sources, trials=trials, jobs=jobs, engine=engine, time_limit=seconds, progress=shown
    )
    if fit_best:
        best = load_recipe(found["recipe"])
        run = run_recipe(best, out=folder / "best", sources=sources, overwrite=True, progress=shown)
        found["run"] = str(run.folder)
    return Results(found)


def _run(
    recipe: Recipe,
    out: str | Path | None,
    sources: Mapping[str, Any],
    engine: Engine,
    processes: int,
    time_limit: str | float | None,
    started: float | None,
    overwrite: bool,
    progress: Progress | bool | None,
) -> Predictor:
    shown = chosen_progress(progress)
    return run_by(
        engine,
        recipe,
        processes=processes,
        out=chosen_folder(out, recipe.target[0], shown),
        sources=sources,
        time_limit=None if time_limit is None else parse_duration(time_limit),
        started=started,
        overwrite=overwrite,
        progress=shown,
    )


def _check_task(task: str | None) -> None:
    if task == "recommend":
        raise ConfigError(
            "fit",
            got="task='recommend'",
            expected="a task that predicts a column",
            remedy="Call tonggan.fit_recommender(interactions, items=…)",
        )


def _texts(names: Any) -> list[str]:
    """Column names as texts, as data frames may have numbers, or None, for them."""
    return [str(name) for name in (names if isinstance(names, Iterable) and not isinstance(names, str) else [names])]


def load(run: str | Path) -> Any:
    """The finished run in the folder ``run``, as ``fit``, ``fit_recommender`` or ``fit_space`` made it.

    That is a ``Predictor``, a ``Recommender`` or a ``Matcher``. It needs no network and no training data.

    Raises:
        BundleError: no run, an unfinished one, a damaged file, or a newer format.
    """
    folder = Path(run)
    if is_space(folder):
        return load_matcher(folder)
    return Recommender.load(folder) if is_recommender(folder) else Predictor.load(folder)


def diagnose(
    data: Any,
    *,
    target: str | int | Sequence[str | int] = (),
    valid: Any = None,
    test: Any = None,
    progress: Progress | bool | None = None,
) -> Diagnosis:
    """What the data doctor finds in ``data``, and across it and the other tables, before any training.

    Raises:
        DataError: a table cannot be opened, or has no such column.
    """
    tables = {"train": data, "valid": valid, "test": test}
    given = {name: table for name, table in tables.items() if table is not None}
    return diagnose_tables(given, target=_texts(target), progress=chosen_progress(progress))
