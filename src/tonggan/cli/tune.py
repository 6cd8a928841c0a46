"""``tonggan tune``: which settings of a recipe serve best."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tonggan.cli.train import Json, MaxBad, Out, Overrides, Preset

TUNE_EXAMPLES = """
[bold]Examples[/]

  tonggan tune my_recipe.yaml --trials 30 --out studies/mine

  tonggan tune train.csv --target label --preset fast --trials 20 --jobs 2 --out studies/label

  tonggan tune my_recipe.yaml --trials 50 --time-limit 30m --fit --out studies/mine

  tonggan tune my_recipe.yaml --trials 20 --set "study.ranges={model.dim: [64, 128]}" --out studies/dim
"""


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog=TUNE_EXAMPLES)(tune)


def tune(
    source: Annotated[
        str, typer.Argument(metavar="RECIPE|TABLE", help="YAML file or shipped recipe; with --target a table.")
    ],
    *,
    trials: Annotated[int, typer.Option(metavar="N", min=1, help="Number of trials, including those made before.")],
    out: Out,
    target: Annotated[
        list[str] | None, typer.Option("--target", metavar="COL", help="Column of TABLE to predict.")
    ] = None,
    valid: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Table to choose on; otherwise a part of TABLE is cut off.")
    ] = None,
    test: Annotated[str | None, typer.Option(metavar="TABLE", help="Table for --fit alone; no trial sees it.")] = None,
    preset: Preset = None,
    jobs: Annotated[int, typer.Option(metavar="K", min=1, max=64, help="Number of processes that run trials.")] = 1,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Where further processes run: this machine, or a Ray cluster.")
    ] = "local",
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", metavar="TIME", help="Time for all trials: 90s, 5m, 1h30m.")
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Then run the best recipe into the folder 'best' of the study.")
    ] = False,
    set_: Overrides = None,
    max_bad: MaxBad = None,
    json: Json = False,
) -> None:
    """Search for the settings that do best on the validation part, by trials that learn from one another.

    Run the same command again to continue an interrupted study. The test part is not opened.
    """
    from tonggan import api
    from tonggan.cli.console import console_progress, print_json
    from tonggan.cli.show import show_tuning

    settings = [*(set_ or []), *([] if max_bad is None else [f"max_bad={max_bad}"])]
    with console_progress() as progress:
        found = api.tune(
            source,
            trials=trials,
            out=out,
            target=target,
            valid=valid,
            test=test,
            preset=preset,
            jobs=jobs,
            engine=engine,
            time_limit=time_limit,
            fit_best=fit,
            settings=settings,
            progress=progress,
        )
    if json:
        print_json(found)
    else:
        show_tuning(found)
