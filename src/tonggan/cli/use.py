"""``tonggan evaluate`` and ``tonggan predict``: a bundle applied to a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tonggan.cli.train import Json, MaxBad
from tonggan.cli.translation import shown

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, or the file of one.")]
MAX_BAD = 0.05
"""The share of rows with cells that cannot be used from which on a command stops, as in a recipe."""

EVALUATE_EXAMPLES = """
[bold]Examples[/]

  tonggan evaluate runs/first test.csv

  tonggan evaluate runs/first test.csv --json > metrics.json
"""

PREDICT_EXAMPLES = """
[bold]Examples[/]

  tonggan predict runs/first new.csv --out predictions.csv

  tonggan predict runs/first new.jsonl --out predictions.parquet

  tonggan predict runs/first orders.xlsx#2024 --keep customer --out predictions.xlsx

  tonggan predict runs/cells new.csv --out boxes.json --draw drawn

  tonggan predict starter photos/ --classes cat,dog,bird --out found.csv
"""


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command(epilog=EVALUATE_EXAMPLES)(evaluate)
    app.command(epilog=PREDICT_EXAMPLES)(predict)


def evaluate(
    run: RunFolder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Table with the target column.")],
    *,
    max_bad: MaxBad = MAX_BAD,
    json: Json = False,
) -> None:
    """Measure a bundle on a table: metrics with 95 % intervals, each subset of modalities, the audit."""
    from tonggan.cli.console import console_progress, print_json
    from tonggan.cli.show import show_matches, show_results
    from tonggan.runs.predictor import Predictor
    from tonggan.space.fitting import evaluate_space
    from tonggan.space.matcher import is_space, load_matcher

    if is_space(run):
        with console_progress() as progress:
            found = evaluate_space(
                load_matcher(run), data, max_bad=MAX_BAD if max_bad is None else max_bad, progress=progress
            )
        print_json(found) if json else show_matches(found)
        return
    with console_progress() as progress:
        predictor = Predictor.load(run)
        rows = predictor.read(data, with_target=True, max_bad=max_bad, progress=progress)
        results = predictor.evaluate(rows, progress=progress)
    if json:
        print_json(results)
    else:
        show_results(results)


def predict(
    run: RunFolder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Table with the columns the model reads.")],
    *,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="Output file: .csv, .xlsx, .jsonl, .parquet; boxes also .json."),
    ],
    draw: Annotated[
        Path | None,
        typer.Option("--draw", metavar="FOLDER", help="Also write each picture with the answer drawn into it."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="COLUMN", help="Carry a column of DATA along; may be repeated."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="With a space, such as 'starter': names of classes to choose from."),
    ] = None,
    max_bad: MaxBad = MAX_BAD,
    json: Json = False,
) -> None:
    """Predict each row of a table: its number, its ids, the prediction and, for classes, probabilities."""
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.cli.output_path import check_no_input
    from tonggan.runs.pictures import check_output
    from tonggan.runs.predictor import Predictor
    from tonggan.runs.writing import check_suffix, write_coco, write_predictions
    from tonggan.space.matcher import STARTER, is_space

    check_suffix(out)
    check_no_input(out, [data], option="--out")
    if classes is not None or is_space(run) or str(run) == STARTER:
        _classify(run, data, classes, out=out, keep=keep or [], json=json)
        return
    with console_progress() as progress:
        predictor = Predictor.load(run)
        check_output(predictor.bundle.task, out, draw=draw)
        rows = predictor.read(data, max_bad=max_bad, progress=progress)
        if out.suffix == ".json":
            write_coco(out, predictor.predict_coco(rows, progress=progress))
            columns = ["images", "categories", "annotations"]
        else:
            predictions = predictor.predict_table(rows, keep=keep or [], progress=progress)
            write_predictions(out, predictions)
            columns = predictions.column_names
        num_drawn = 0 if draw is None else predictor.draw(rows, draw, progress=progress)
    num_rows = len(rows.table)
    if json:
        findings = [finding.to_dict() for finding in rows.diagnosis.findings]
        drawn = {} if draw is None else {"drawn": num_drawn}
        print_json({"out": str(out), "rows": num_rows, "columns": columns, **drawn, "findings": findings})
        return
    print_line(shown(f"{num_rows:,} predictions in {out} ({', '.join(columns[:6])})"))
    if draw is not None:
        print_line(shown(f"{num_drawn:,} pictures in {draw}"))


def _classify(run: Path, data: str, classes: str | None, *, out: Path, keep: list[str], json: bool) -> None:
    """``tonggan predict SPACE``: the nearest of ``classes``."""
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.runs.writing import write_predictions
    from tonggan.space.zero_shot import classify

    if classes is None:
        raise typer.BadParameter(shown("name the classes, since a space knows none"), param_hint="'--classes'")
    with console_progress() as progress:
        found = classify(str(run), data, classes=classes.replace("，", ",").split(","), keep=keep, progress=progress)
        write_predictions(out, found)
    if json:
        print_json({"out": str(out), "rows": len(found), "columns": found.column_names})
        return
    unread = found["prediction"].null_count
    print_line(shown(f"{len(found) - unread:,} predictions in {out} ({', '.join(found.column_names[:6])})"))
    if unread:
        print_line(shown(f"{unread:,} rows without one: nothing of them could be read"))
