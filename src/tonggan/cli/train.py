"""``tonggan fit`` and ``tonggan run``: from a table or a recipe to a trained, audited bundle."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tonggan.cli import recommend
from tonggan.cli.translation import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tonggan.runs.predictor import Predictor
    from tonggan.space.matcher import Matcher

_MOST_SECONDS = 60.0  # that imports take; a clock that says more is another one

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one field of the recipe; may be repeated."),
]
TimeLimit = Annotated[
    str | None, typer.Option("--time-limit", metavar="TIME", help="Time for everything: 90s, 5m, 1h30m.")
]
Out = Annotated[Path, typer.Option("--out", metavar="RUN", help="Folder of the run; it becomes the bundle.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, all else on stderr.")]
MaxBad = Annotated[
    float | None,
    typer.Option(
        "--max-bad", metavar="SHARE", min=0, max=1, help="Stop if more than this share of rows is unusable (0.05)."
    ),
]
Preset = Annotated[
    Literal["fast", "balanced", "best"] | None,
    typer.Option(
        help="'fast' fits members on frozen encoders in seconds, 'balanced' (default) also trains a network where "
        "it may add something, 'best' tries all."
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        "--folds", metavar="K", min=2, help="Train K times, each time without one of K parts; the mean is served."
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", metavar="K", min=2, help="Train K times from other seeds; the mean is served."),
]
Engine = Annotated[
    Literal["local", "ray"], typer.Option(help="What trains: this process, or --processes of Ray Train on a cluster.")
]
Processes = Annotated[
    int, typer.Option(metavar="K", min=1, max=1024, help="How many processes train together, with --engine ray.")
]
Train = Annotated[
    str,
    typer.Argument(
        metavar="TRAIN",
        help="Table to learn from: CSV, TSV, JSONL, Parquet, Excel, class folders, tar shards; VOC, COCO, YOLO, masks.",
    ),
]
Target = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="COL", help="Column to predict; repeat it for several numbers."),
]
TaskKind = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="KIND",
        help="What to do: caption, answer, transcribe, translate or chat to write COL as text; match to find "
        "columns by each other; recommend to find items for users; otherwise guessed from COL.",
    ),
]
Items = Annotated[
    str | None, typer.Option(metavar="TABLE", help="With --task recommend: table of the items, one row for each.")
]
Users = Annotated[
    str | None, typer.Option(metavar="TABLE", help="With --task recommend: table of the users, one row for each.")
]
Valid = Annotated[
    str | None, typer.Option(metavar="TABLE", help="Table to choose on; otherwise a part of TRAIN is cut off.")
]
Test = Annotated[str | None, typer.Option(metavar="TABLE", help="Table for the final number alone.")]
BaseRecipe = Annotated[
    str | None, typer.Option(metavar="FILE", help="YAML file or shipped recipe to take all other settings from.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a run that is already in the folder.")]

FIT_EXAMPLES = """
[bold]Examples[/]

  tonggan fit train.csv --target label --out runs/first

  tonggan fit train.csv --target price --test test.csv --out runs/price

  tonggan fit train.csv --target label --preset fast --out runs/quick

  tonggan fit train.parquet --target label --time-limit 10m --out runs/ten_minutes

  tonggan fit train.csv --target label --folds 5 --set data.group=patient --out runs/folds

  tonggan fit photos.csv --target name --task caption --out runs/captions

  tonggan fit likes.csv --task recommend --items films.csv --out runs/films

  tonggan fit photos/ --target label --set training.epochs=5 --out runs/photos

  tonggan fit pairs.csv --task match --out runs/space

  tonggan fit VOC2012/ --target objects --out runs/objects

  tonggan fit new.csv --target label --recipe my_recipe.yaml --out runs/mine
"""

RUN_EXAMPLES = """
[bold]Examples[/]

  tonggan run easy_vqa --out runs/easy_vqa

  tonggan run easy_vqa --set data.max_rows=2000 --out runs/quick

  tonggan run my_recipe.yaml --time-limit 10m --out runs/mine

  tonggan run my_recipe.yaml --seeds 3 --out runs/seeds
"""


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command(epilog=FIT_EXAMPLES)(fit)
    app.command(epilog=RUN_EXAMPLES)(run)


def fit(
    train: Train,
    *,
    target: Target = None,
    out: Out,
    task: TaskKind = None,
    items: Items = None,
    users: Users = None,
    valid: Valid = None,
    test: Test = None,
    time_limit: TimeLimit = None,
    recipe: BaseRecipe = None,
    preset: Preset = None,
    folds: Folds = None,
    seeds: Seeds = None,
    engine: Engine = "local",
    processes: Processes = 1,
    set_: Overrides = None,
    max_bad: MaxBad = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train a model that predicts COL from the other columns of TRAIN, audit it, and save it as a bundle.

    Run the same command again to resume an interrupted run.
    """
    started = typed_at()
    if task == "match":
        ray = engine if engine != "local" else None
        unused = {"--preset": preset, "--folds": folds, "--seeds": seeds, "--recipe": recipe, "--engine": ray}
        _fit_space(
            train, target, valid, test, _settings(set_, max_bad), out, time_limit, started, overwrite, json, unused
        )
        return
    if task == recommend.TASK:
        tables = {"--target": target, "--valid": valid, "--test": test, "--recipe": recipe, "--preset": preset}
        ray = engine if engine != "local" else None
        recommend.refuse({**tables, "--folds": folds, "--seeds": seeds, "--max-bad": max_bad, "--engine": ray})
        recommend.fit(
            train, items=items, users=users, out=out, settings=set_ or [], time_limit=time_limit, overwrite=overwrite,
            json=json,
        )  # fmt: skip
        return
    recommend.refuse({"--items": items, "--users": users}, problem="goes with --task recommend alone")
    if not target:
        raise typer.BadParameter(shown("name the column to predict"), param_hint="'--target'")
    from tonggan import api

    work = partial(
        api.fit, train, target=target, task=task, valid=valid, test=test, preset=preset, folds=folds, seeds=seeds,
        recipe=recipe, engine=engine, processes=processes, started=started,
    )  # fmt: skip
    _do(work, _settings(set_, max_bad), out, time_limit, overwrite, json)


def run(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe (see 'tonggan recipes') or a YAML file.")
    ],
    *,
    out: Out,
    time_limit: TimeLimit = None,
    folds: Folds = None,
    seeds: Seeds = None,
    engine: Engine = "local",
    processes: Processes = 1,
    set_: Overrides = None,
    max_bad: MaxBad = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Run a recipe: fetch or open its data, train, audit, and save the bundle.

    Run the same command again to resume an interrupted run.
    """
    started = typed_at()
    from tonggan import api

    work = partial(api.run, recipe, folds=folds, seeds=seeds, engine=engine, processes=processes, started=started)
    _do(work, _settings(set_, max_bad), out, time_limit, overwrite, json)


def _fit_space(
    train: str,
    target: list[str] | None,
    valid: str | None,
    test: str | None,
    settings: list[str],
    out: Path,
    time_limit: str | None,
    started: float,
    overwrite: bool,
    as_json: bool,
    unused: Mapping[str, object],
) -> None:
    """``tonggan fit --task match``: what stands in one row is to be found by each other."""
    from tonggan import api
    from tonggan.cli.console import console_progress, print_json
    from tonggan.cli.show import show_matches
    from tonggan.training.world import is_main_process

    for option, value in unused.items():
        if value is not None:
            raise typer.BadParameter(shown("cannot be combined with --task match"), param_hint=option)
    if target and len(target) > 1:
        raise typer.BadParameter(shown("one column of classes at most, with --task match"), param_hint="--target")
    with console_progress() as progress:
        matcher = api.fit_space(
            train,
            labels=target[0] if target else None,
            valid=valid,
            test=test,
            settings=settings,
            out=out,
            time_limit=time_limit,
            started=started,
            overwrite=overwrite,
            progress=progress,
        )
    if not is_main_process():
        return
    if as_json:
        print_json(matcher.results)
    else:
        show_matches(matcher.results, out)


def typed_at() -> float:
    """``time.monotonic()`` when the command was typed: a time limit counts what has been imported since.

    Where the system does not tell the age of the process, or another program has called, it is now.
    """
    now = time.monotonic()
    if Path(sys.argv[0]).name not in ("tonggan", "__main__.py"):
        return now
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (AttributeError, OSError, ValueError):
        return now
    return now - age if 0 <= age <= _MOST_SECONDS else now


def _settings(given: list[str] | None, max_bad: float | None) -> list[str]:
    return [*(given or []), *([] if max_bad is None else [f"max_bad={max_bad}"])]


def _do(
    work: Callable[..., Predictor | Matcher],
    settings: list[str],
    out: Path,
    time_limit: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Do ``work``, and show what came of it."""
    from tonggan.cli.console import console_progress, print_json
    from tonggan.cli.show import show_matches, show_results
    from tonggan.training.world import is_main_process

    with console_progress() as progress:
        predictor = work(settings=settings, out=out, time_limit=time_limit, overwrite=overwrite, progress=progress)
    if not is_main_process():
        return
    if as_json:
        print_json(predictor.results)
    elif predictor.results["task"] == "match":
        show_matches(predictor.results, out)
    else:
        show_results(predictor.results, out)
