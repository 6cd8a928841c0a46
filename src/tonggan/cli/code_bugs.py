"""``tonggan code learn-bugs``: a bug detector that knows how the user's own code is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tonggan.cli.train import Json
from tonggan.cli.translation import shown

EXAMPLES = """
[bold]Examples[/]

  tonggan code learn-bugs . .venv/lib/python3.11/site-packages --out detectors/mine.safetensors
  tonggan code review . --detector detectors/mine.safetensors

  tonggan code learn-bugs src --detector detectors/mine.safetensors --fixes . --out detectors/ours.safetensors

  tonggan code learn-bugs ~/projects --time-limit 20m --set game=false --out detectors/random.safetensors --json
"""


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command("learn-bugs", epilog=EXAMPLES)(learn_bugs)


def learn_bugs(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Repositories or folders of packages.")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The detector.")],
    detector: Annotated[
        Path | None,
        typer.Option("--detector", metavar="FILE", help="Continue from this detector, or from 'starter'."),
    ] = None,
    fixes: Annotated[
        list[Path] | None,
        typer.Option(
            "--fixes", metavar="REPO", help="Learn from the fixes in the git history of REPO as well; may be repeated."
        ),
    ] = None,
    time_limit: Annotated[str, typer.Option("--time-limit", metavar="TIME", help="Such as 90s, 5m, 1h30m.")] = "1h",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. network.dim=64; may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Train a bug detector for 'tonggan code review' on code that is assumed to be correct.

    It learns from bugs that a second network plants where they are hard to find. Ctrl-C ends it early and keeps the
    best so far; killed, the same command goes on.
    """
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.codelm.review.learned.detector import BugDetector
    from tonggan.codelm.review.learned.fixes import fixes_of
    from tonggan.codelm.review.learned.functions import read_functions
    from tonggan.codelm.review.learned.training import DetectorTrainingConfig, train_detector
    from tonggan.config import apply_overrides
    from tonggan.runs.duration import parse_duration

    _check_new(out)
    settings = apply_overrides({"time_limit": parse_duration(time_limit)}, set_ or [])
    config = DetectorTrainingConfig.parse(settings, who="settings of the training")
    start = BugDetector.open(detector) if detector else None
    with console_progress() as progress:
        mined = [fix for root in fixes or () for fix in fixes_of(root.resolve())]
        if fixes:
            progress.say(f"Fixes that a detector can express: {len(mined):,}")
        functions = read_functions(paths, progress=progress)
        folder = out.with_name(f"{out.name}.training")
        trained = train_detector(functions, folder=folder, fixes=mined, start=start, config=config, progress=progress)
        trained.detector.save(out)
    if json:
        counts = {"functions": trained.num_functions, "held_out": trained.num_held_out, "steps": trained.num_steps}
        counts["fixes"] = len(mined)
        print_json({"out": str(out), "metrics": trained.metrics, **counts})
        return
    metrics = trained.metrics
    print_line(
        shown(
            f"{metrics['repaired']:.0%} of the bugs in {trained.num_held_out} functions of other files repaired, "
            f"{metrics['false_alarms']:.0%} of the others suspected. "
            f"Review with it: tonggan code review PATH --detector {out}"
        )
    )


def _check_new(out: Path) -> None:
    from tonggan.errors import ConfigError

    if out.exists():
        raise ConfigError(
            f"--out {out}",
            got="an existing file or folder",
            expected="a new file, so that nothing is replaced",
            remedy="Choose another name",
        )
