"""``tonggan data``: the public sets that Tonggan knows by name."""

from __future__ import annotations

from typing import Annotated

import typer

from tonggan.cli.train import Json
from tonggan.cli.translation import shown
from tonggan.wording import Words

EXAMPLES = """
[bold]Examples[/]

  tonggan data list

  tonggan data get easy_vqa

  tonggan data check easy_vqa

  TONGGAN_MIRROR=/media/mirror tonggan data get cifar10

  TONGGAN_MIRROR=https://mirror.example.org/sets tonggan data get fsdd
"""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a set, as 'tonggan data list' shows it.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    group = typer.Typer(help="Public data sets: list, fetch, verify.", epilog=EXAMPLES, no_args_is_help=True)
    group.command("list", epilog=EXAMPLES)(list_)
    group.command(epilog=EXAMPLES)(get)
    group.command(epilog=EXAMPLES)(check)
    app.add_typer(group, name="data")


def list_(*, json: Json = False) -> None:
    """List the public sets: what they hold, where they come from, under which license."""
    from tonggan.cli.console import print_json, print_line
    from tonggan.data.catalogue import CATALOGUE

    if json:
        print_json(
            {
                name: {
                    "title": entry.title,
                    "source": entry.source,
                    "license": entry.license,
                    "files": {file.path: {"sha256": file.sha256, "url": file.url} for file in entry.files},
                }
                for name, entry in CATALOGUE.items()
            }
        )
        return
    for name, entry in CATALOGUE.items():
        origin = shown(entry.origin)
        source = Words(
            f"from {entry.source} ({entry.license}); {origin}", f"来源：{entry.source}（{entry.license}）；{origin}"
        )
        print_line(f"{name}\n    {shown(entry.title)}\n    {shown(source)}")


def get(name: Name, *, json: Json = False) -> None:
    """Fetch a set (resumed and verified) and print the paths of its tables."""
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.data.catalogue import find_set
    from tonggan.data.places import cache_folder

    with console_progress() as progress:
        tables = find_set(name).get(cache=cache_folder(), progress=progress)
    if json:
        print_json({split: str(path) for split, path in tables.items()})
    else:
        for split, path in tables.items():
            print_line(f"{split:10} {path}")


def check(name: Name, *, json: Json = False) -> None:
    """Verify that the files of a set are there and match the published ones; fetch nothing."""
    from tonggan.cli.console import print_json, print_line, stderr
    from tonggan.data.catalogue import find_set
    from tonggan.data.places import cache_folder

    states = find_set(name).check(cache=cache_folder())
    if json:
        print_json(states)
    else:
        for path, state in states.items():
            print_line(f"{state:10} {path}")
    if any(state != "ok" for state in states.values()):
        stderr.print(shown(f"Fetch what is missing or damaged with: tonggan data get {name}"))
        raise typer.Exit(1)
