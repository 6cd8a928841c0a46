"""``tonggan pretrain``: an encoder learns from what has no labels."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tonggan.cli.train import Json, MaxBad, Out, Overrides, TimeLimit, typed_at
from tonggan.cli.translation import shown

if TYPE_CHECKING:
    from tonggan.pretraining.fitting import Pretrained

EXAMPLES = """
[bold]Examples[/]

  tonggan pretrain photos/ --out runs/photos --time-limit 20m

  tonggan pretrain headlines.csv --column headline --out runs/headlines

  tonggan pretrain calls/ --objective contrastive --license CC0-1.0 --out runs/calls

  tonggan fit few_labels.csv --target label --set start.headline=runs/headlines --out runs/few
"""

Objective = Annotated[
    Literal["masked_language", "causal_language", "masked_image", "masked_audio", "contrastive"] | None,
    typer.Option(
        help="What to learn by; the default is masked_language for texts and code, contrastive for pictures and "
        "clips, masked_audio for recordings."
    ),
]

Column = Annotated[str | None, typer.Option(metavar="COL", help="Column to learn from, if several qualify.")]
License = Annotated[
    str | None, typer.Option("--license", metavar="SPDX", help="License of the weights, recorded in their manifest.")
]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog=EXAMPLES)(pretrain)


def pretrain(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Table, or folder of pictures or sounds; labels are not needed.")
    ],
    *,
    out: Out,
    objective: Objective = None,
    column: Column = None,
    valid: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Table to choose on; otherwise a part of DATA is held out.")
    ] = None,
    time_limit: TimeLimit = None,
    license_: License = None,
    set_: Overrides = None,
    max_bad: MaxBad = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a run that is already in the folder.")
    ] = False,
    json: Json = False,
) -> None:
    """Pretrain an encoder on a column of DATA without labels; fits can then start from it.

    Run the same command again to resume an interrupted run.
    """
    started = typed_at()
    from tonggan import api
    from tonggan.cli.console import console_progress, print_json
    from tonggan.training.world import is_main_process

    named = {"max_bad": max_bad, "license": license_}
    settings = [*(set_ or []), *(f"{name}={value}" for name, value in named.items() if value is not None)]
    with console_progress() as progress:
        made = api.pretrain(
            data,
            out=out,
            objective=objective,
            column=column,
            valid=valid,
            time_limit=time_limit,
            settings=settings,
            overwrite=overwrite,
            started=started,
            progress=progress,
        )
    if not is_main_process():
        return
    if json:
        print_json(made.manifest.results)
    else:
        _tell(made)


def _tell(made: Pretrained) -> None:
    from tonggan.cli.console import print_line

    before, after = made.results["before"], made.results["after"]
    rows = made.results["rows"]["valid"]
    print_line(shown(f"Held-out loss {after['loss']:.4f}, {before['loss']:.4f} before training, on {rows:,} rows"))
    if "accuracy" in after:
        print_line(shown(f"Predicted correctly: {after['accuracy']:.1%}, {before['accuracy']:.1%} before training"))
    column, folder = made.manifest.column, shlex.quote(str(made.folder))
    print_line(shown(f"Next: tonggan fit TABLE --target COL --set start.{column}={folder} --out RUN"))
