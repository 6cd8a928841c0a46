"""The ``tonggan`` command: its groups, and how an error is shown (named, with a remedy, no traceback)."""

from __future__ import annotations

import sys
from typing import Annotated

import click
import typer

from tonggan.cli import data, inspect, train, use

app = typer.Typer(
    name="tonggan",
    help="Multimodal models from a table of pictures, texts, sounds and numbers, on hardware you own.",
    epilog="Start: tonggan fit train.csv --target label --out runs/first   ·   Learn more: tonggan fit --help",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

train.register(app)
use.register(app)
inspect.register(app)
data.register(app)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        sys.stdout.write(f"tonggan {version('tonggan')}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. May stand anywhere on the line.")
    ] = False,
) -> None:
    """Multimodal models from a table of pictures, texts, sounds and numbers, on hardware you own."""


def main() -> None:
    """Run the command line; exit with 0 (done), 1 (failed) or 2 (wrong usage)."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        app([argument for argument in arguments if argument != "--debug"], standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("Interrupted. Nothing that was saved is lost.")
    except Exception as error:
        if debug:
            raise
        _explain(error)


def _explain(error: Exception) -> None:
    from tonggan.errors import ConfigError, TongganError

    if isinstance(error, TongganError):
        lines = [error.who, f"  got:      {error.got}", f"  expected: {error.expected}", f"  remedy:   {error.remedy}"]
        _fail("\n".join(lines), code=2 if isinstance(error, ConfigError) else 1)
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        _fail("Out of memory\n  remedy:   use a smaller --set training.batch_size=… or smaller pictures")
    raise error


def _fail(text: str, *, code: int = 1) -> None:
    from rich.markup import escape

    from tonggan.cli.console import stderr

    stderr.print(f"[bold red]Error:[/] {escape(text)}", soft_wrap=True)
    sys.exit(code)
