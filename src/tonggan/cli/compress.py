"""``tonggan compress``: a finished run made smaller and faster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tonggan.cli.train import Json, Out, Overrides, Overwrite, TimeLimit

Distill = Annotated[
    str | None,
    typer.Option(
        metavar="STUDENT",
        help="Distill the run into a student: small or tiny (half or a quarter of the widths), the kind of an "
        "encoder, or a YAML file with fields of model and training.",
    ),
]
Prune = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE", help="Prune this share of the channels, units and heads (0.5), and fine-tune the rest."
    ),
]
Quantize = Annotated[
    Literal["int8"] | None, typer.Option(help="Compute in 8-bit integers, calibrated on training rows.")
]
KeepWithin = Annotated[
    str | None,
    typer.Option(
        "--keep-within",
        metavar="SHARE",
        help="Refuse if the validation part loses more: 1% is a point of accuracy and of other shares, and a "
        "hundredth of any other score.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(metavar="TABLE", help="The table that RUN was trained on, if it has moved."),
]

EXAMPLES = """
[bold]Examples[/]

  tonggan compress runs/first --quantize int8 --out runs/int8

  tonggan compress runs/first --prune 0.5 --keep-within 1% --out runs/pruned

  tonggan compress runs/first --distill small --out runs/student

  tonggan compress runs/first --distill image_cnn --set training.epochs=10 --out runs/student
"""


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=EXAMPLES)(compress)


def _read_share(text: str) -> float:
    """0.01 of ``1%`` or ``0.01``."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        raise typer.BadParameter("'" + text + "' is no share such as 1% or 0.01") from None
    if not 0 <= share < 1:
        raise typer.BadParameter("'" + text + "' is no share such as 1% or 0.01")
    return share


def compress(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    *,
    out: Out,
    distill: Distill = None,
    prune: Prune = None,
    quantize: Quantize = None,
    keep_within: KeepWithin = None,
    data: Data = None,
    set_: Overrides = None,
    time_limit: TimeLimit = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Make a run smaller and faster, and report what that costs: score, size, time and memory beside the original.

    The result is a run like any other. Run the same command again to resume an interrupted one.
    """
    from tonggan import api
    from tonggan.cli.console import console_progress, print_json
    from tonggan.cli.show import show_compression
    from tonggan.training.world import is_main_process

    shares = [None if each is None else _read_share(each) for each in (prune, keep_within)]
    with console_progress() as progress:
        made = api.compress(
            run,
            out=out,
            distill=distill,
            prune=shares[0],
            quantize=quantize,
            data=data,
            keep_within=shares[1],
            settings=set_ or [],
            time_limit=time_limit,
            overwrite=overwrite,
            progress=progress,
        )
    if not is_main_process():
        return
    if json:
        print_json(made.results)
    else:
        show_compression(made.results["compression"], out)
