"""The front door: fit a model, load one, examine data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tonggan.data.doctor import Diagnosis
from tonggan.progress import Progress
from tonggan.runs.bundle import Bundle
from tonggan.runs.duration import parse_duration
from tonggan.runs.fitting import run_recipe
from tonggan.runs.predictor import Predictor
from tonggan.runs.prepare import diagnose_tables
from tonggan.runs.recipe import recipe_for_table


def fit(
    data: Any,
    *,
    target: str | Sequence[str],
    out: str | Path,
    task: str | None = None,
    valid: Any = None,
    test: Any = None,
    time_limit: str | float | None = None,
    recipe: str | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Predictor:
    """Train a model that predicts ``target`` from the other columns of ``data``.

    Args:
        data: path of a CSV, TSV, JSON Lines or Parquet file, of tar shards or of a folder of class folders; a pandas
            data frame; or a pyarrow table.
        target: column to predict; several number columns make one regression.
        out: the run's folder, which becomes the bundle.
        task: what to do, such as ``"caption"``; guessed from the target when left out.
        valid: table to choose on; without it a part of ``data`` is cut off.
        test: table for the final number alone.
        time_limit: for everything, in seconds or as ``"5m"``.
        recipe: YAML file or shipped recipe to take all other settings from.
        settings: single fields of the recipe, as ``"training.epochs=5"``.
        seed: same seed, same numbers.
        overwrite: replace a run that is already in ``out``.
        progress: told what happens; silent by default.

    Raises:
        TongganError: with who, what was got, what was expected, and the remedy.
    """
    tables = {"train": data, "valid": valid, "test": test}
    paths = {name: str(table) for name, table in tables.items() if isinstance(table, str | Path)}
    sources = {name: table for name, table in tables.items() if name not in paths and table is not None}
    made = recipe_for_table(
        paths.get("train"),
        target=target,
        valid=paths.get("valid"),
        test=paths.get("test"),
        base=recipe,
        overrides=[*([] if task is None else [f"task.kind={task}"]), *settings],
        seed=seed,
    )
    seconds = None if time_limit is None else parse_duration(time_limit)
    return run_recipe(made, out=Path(out), sources=sources, time_limit=seconds, overwrite=overwrite, progress=progress)


def load(run: str | Path) -> Predictor:
    """The finished run in the folder ``run``, ready to predict; needs no network and no training data.

    Raises:
        BundleError: no bundle, an unfinished run, a damaged file, or a newer format.
    """
    return Predictor(Bundle.load(Path(run)), folder=Path(run))


def diagnose(
    data: Any,
    *,
    target: str | Sequence[str] = (),
    valid: Any = None,
    test: Any = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """What the data doctor finds in ``data``, and across it and the other tables, before any training.

    Raises:
        DataError: a table cannot be opened, or has no such column.
    """
    names = [target] if isinstance(target, str) else list(target)
    tables = {"train": data, "valid": valid, "test": test}
    given = {name: table for name, table in tables.items() if table is not None}
    return diagnose_tables(given, target=names, progress=progress or Progress())
