"""``tonggan doctor``, ``tonggan info`` and ``tonggan recipes``: looking, without training anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tonggan.cli.train import Json
from tonggan.cli.use import RunFolder

DOCTOR_EXAMPLES = """
[bold]Examples[/]

  tonggan doctor train.csv --target label

  tonggan doctor train.csv --target label --test test.csv

  tonggan doctor train.csv --quarantine quarantine.csv
"""

INFO_EXAMPLES = """
[bold]Examples[/]

  tonggan info runs/first

  tonggan info runs/first --json
"""

RECIPES_EXAMPLES = """
[bold]Examples[/]

  tonggan recipes

  tonggan recipes easy_vqa > my_recipe.yaml
"""


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command(epilog=DOCTOR_EXAMPLES)(doctor)
    app.command(epilog=INFO_EXAMPLES)(info)
    app.command(epilog=RECIPES_EXAMPLES)(recipes)


def doctor(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Table, folder or tar shards.")],
    *,
    target: Annotated[
        list[str] | None, typer.Option("--target", metavar="COL", help="Column to predict; finds leaks and imbalance.")
    ] = None,
    valid: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Second table, checked for rows shared with DATA.")
    ] = None,
    test: Annotated[str | None, typer.Option(metavar="TABLE", help="Third table, likewise.")] = None,
    quarantine: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the rows with unusable files to this CSV.")
    ] = None,
    json: Json = False,
) -> None:
    """Examine a table before training: kinds of columns, unusable files, duplicates, leaks, imbalance."""
    from tonggan.api import diagnose
    from tonggan.cli.console import console_progress, print_json
    from tonggan.cli.output_path import check_no_input
    from tonggan.cli.show import show_diagnosis

    if quarantine is not None:
        check_no_input(quarantine, [source for source in (data, valid, test) if source], option="--quarantine")
    with console_progress() as progress:
        diagnosis = diagnose(data, target=target or (), valid=valid, test=test, progress=progress)
    if quarantine is not None:
        diagnosis.write_quarantine(quarantine)
    if json:
        print_json(diagnosis.to_dict())
    else:
        show_diagnosis(diagnosis)
    if diagnosis.has_errors:
        raise typer.Exit(1)


def info(run: RunFolder, *, json: Json = False) -> None:
    """Show what a bundle is and the metrics stored in it; nothing is computed."""
    from tonggan.cli.console import print_json
    from tonggan.cli.show import show_info
    from tonggan.runs.bundle_folder import read_index

    index = read_index(run)
    if json:
        print_json({key: value for key, value in index.items() if key != "results"} | index["results"])
    else:
        show_info(run, index)


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Print this recipe as YAML, every field filled in.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """List the shipped recipes with their measured results, or print one as YAML."""
    from tonggan.cli.console import print_json, print_line
    from tonggan.cli.show import show_recipes
    from tonggan.runs.recipe import load_recipe, measured_results, recipe_names
    from tonggan.space.config import is_match_recipe, load_match_recipe, match_recipe_names

    if name is not None:
        recipe = load_match_recipe(name) if is_match_recipe(name) else load_recipe(name)
        if json:
            print_json(recipe.to_dict())
        else:
            print_line(recipe.to_yaml())
        return
    listed = {
        each: {"description": load_recipe(each).description, "measured": measured_results().get(each)}
        for each in recipe_names()
    }
    measured = measured_results()
    listed |= {
        each: {"description": load_match_recipe(each).description, "measured": measured.get(each)}
        for each in match_recipe_names()
    }
    if json:
        print_json(listed)
    else:
        show_recipes(listed)
