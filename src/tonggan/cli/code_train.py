"""``tonggan code train``, ``adapters`` and ``rollback``: a code model of one's own, used only if it is better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tonggan.cli.train import Json, TimeLimit, typed_at
from tonggan.cli.translation import shown

if TYPE_CHECKING:
    from tonggan.codelm.training.adapters import AdapterManifest, AdapterRegistry

TRAIN_EXAMPLES = """
[bold]Examples[/]

  tonggan code train corpora/shop --base smollm2 --out runs/shop --time-limit 1h

  tonggan code train corpora/shop --base smollm2 --out runs/shop --name second --set rank=32 --max-memory 6

  tonggan code train corpora/open --base scratch --out runs/small --set hidden_size=384 --set num_layers=8
"""

ADAPTERS_EXAMPLES = """
[bold]Examples[/]

  tonggan code adapters runs/shop

  tonggan code adapters runs/shop --json
"""

ROLLBACK_EXAMPLES = """
[bold]Examples[/]

  tonggan code rollback runs/shop
"""

CodeRun = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of 'tonggan code train'.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command(epilog=TRAIN_EXAMPLES)(train)
    app.command(epilog=ADAPTERS_EXAMPLES)(adapters)
    app.command(epilog=ROLLBACK_EXAMPLES)(rollback)


def train(
    corpus: Annotated[Path, typer.Argument(metavar="CORPUS", help="Folder made by 'tonggan code corpus'.")],
    *,
    base: Annotated[
        str,
        typer.Option(metavar="MODEL", help="'smollm2', a model folder, a .gguf file, or 'scratch'."),
    ] = "smollm2",
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Folder of the run; it may hold adapters already.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the adapter.")] = "first",
    time_limit: TimeLimit = None,
    max_memory: Annotated[
        float | None, typer.Option("--max-memory", metavar="GB", min=0.1, help="Maximum memory that training may use.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. method=full; may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Train on CORPUS, compare with what is in use on held-out files, and use the result only if it is better.

    Run the same command again to resume an interrupted training.
    """
    started = typed_at()
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.codelm.corpus.corpus import Corpus
    from tonggan.codelm.training.config import CodeTrainingConfig
    from tonggan.codelm.training.train import train_code_model
    from tonggan.config import apply_overrides
    from tonggan.runs.duration import parse_duration

    config = CodeTrainingConfig.parse(apply_overrides({}, set_ or []), who="settings of the training")
    with console_progress() as progress:
        done = train_code_model(
            Corpus.open(corpus),
            base=base,
            run=out,
            name=name,
            config=config,
            time_limit=None if time_limit is None else parse_duration(time_limit),
            started=started,
            max_memory=None if max_memory is None else round(max_memory * 1e9),
            progress=progress,
        )
    if json:
        verdict = None if done.verdict is None else done.verdict.to_dict()
        told = {"promoted": done.is_promoted, "verdict": verdict, "training": done.manifest.training}
        print_json({"run": str(out), "adapter": name, **told, "seconds": done.seconds})
    elif done.is_promoted:
        usage = f"tonggan code complete FILE:LINE:COL --model {out}"
        print_line(shown(f"{out}: adapter '{name}' is in use. Complete with it: {usage}"))
    else:
        print_line(shown(f"{out}: adapter '{name}' is kept and not used."))


def adapters(run: CodeRun, *, json: Json = False) -> None:
    """The adapters of a run: what they learned from, how they did, and which one is in use."""
    from tonggan.cli.console import print_json, print_line

    registry = _registry(run)
    manifests = [registry.manifest(name) for name in registry.names()]
    if json:
        print_json({"in_use": registry.promoted, "adapters": [manifest.to_dict() for manifest in manifests]})
        return
    for manifest in manifests:
        mark = "*" if manifest.name == registry.promoted else " "
        print_line(f"{mark} {manifest.name}: {shown(_told(manifest))}")
    print_line(shown(f"In use: {registry.promoted or 'the base'}"))


def rollback(run: CodeRun, *, json: Json = False) -> None:
    """Go back to the adapter that was in use before, or to the base."""
    from tonggan.cli.console import print_json, print_line

    in_use = _registry(run).rollback()
    if json:
        print_json({"in_use": in_use})
    else:
        print_line(shown(f"In use: {in_use or 'the base'}"))


def _registry(run: Path) -> AdapterRegistry:
    from tonggan.codelm.training.adapters import AdapterRegistry
    from tonggan.errors import ConfigError

    registry = AdapterRegistry(run)
    if not registry.folder.is_dir():
        raise ConfigError(
            f"run {run}",
            got="no adapters there" if run.is_dir() else "no such folder",
            expected="a folder made by 'tonggan code train'",
            remedy="Check the path",
        )
    return registry


def _told(manifest: AdapterManifest) -> str:
    training, verdict = manifest.training, manifest.verdict
    told = f"{manifest.method} of {manifest.base or 'scratch'}, {training.get('tokens', 0):,} tokens"
    if verdict is None:
        return f"{told}, not compared"
    before, after = verdict["before"], verdict["after"]
    return (
        f"{told}; on {verdict['lines']} held-out lines beside {verdict['in_use']}: "
        f"exact match {before['exact_match']:.1%} -> {after['exact_match']:.1%}, "
        f"edit similarity {before['edit_similarity']:.3f} -> {after['edit_similarity']:.3f}, "
        f"perplexity {before['perplexity']:.2f} -> {after['perplexity']:.2f}"
    )
