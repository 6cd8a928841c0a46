"""The ``tonggan`` command: its groups, and how an error is shown (named, with a remedy, no traceback)."""

from __future__ import annotations

import errno
import functools
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, cast

import typer

from tonggan.cli import (
    chat,
    code,
    compress,
    data,
    export,
    inspect,
    mcp,
    pretrain,
    recommend,
    serve,
    space,
    speak,
    train,
    transcribe,
    tune,
    use,
    vectors,
    weights,
)
from tonggan.cli.translation import shown, speaking, take_language
from tonggan.openmp import spin_bounds
from tonggan.processes import forget_folder

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
_TRY = "Try [blue]'{command_path} {help_option}'[/] for help."
_REWORDED = (
    ("Value error, ", ""),
    ("Input should be a valid integer.*", "not a whole number"),
    ("Input should be a valid number.*", "not a number"),
    ("Input should be ", "it should be "),
)
_INTERRUPTED = 130  # the exit code that typer gives to a Ctrl-C that no command answers

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
pretrain.register(app)
tune.register(app)
use.register(app)
recommend.register(app)
inspect.register(app)
data.register(app)
weights.register(app)
vectors.register(app)
chat.register(app)
transcribe.register(app)
speak.register(app)
serve.register(app)
compress.register(app)
export.register(app)
space.register(app)
mcp.register(app)
code.register(app)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        sys.stdout.write(f"tonggan {version('tonggan')}\n")
        raise typer.Exit


def _refuse_language(value: str | None) -> None:
    if value is not None:  # 'en' and 'zh' have been taken from the line before
        raise typer.BadParameter(f"'{value}' is neither 'en' nor 'zh'", param_hint="--lang")


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. May stand anywhere on the line.")
    ] = False,
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang",
            metavar="LANGUAGE",
            callback=_refuse_language,
            help="Language of messages and help, en or zh; by default the locale's. May stand anywhere on the line.",
        ),
    ] = None,
) -> None:
    """Multimodal models from a table of pictures, texts, sounds and numbers, on hardware you own."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit with 0 (done), 1 (failed) or 2 (wrong usage).

    Args:
        arguments: of the command; those of the process by default.
    """
    forget_folder()
    given, chosen = take_language(sys.argv[1:] if arguments is None else arguments)
    os.environ.update(spin_bounds(os.environ))  # before any command imports torch
    with speaking(chosen):
        _run(given)


def _run(given: Sequence[str]) -> None:
    debug = "--debug" in given
    command = typer.main.get_command(app)
    _fold_help()
    _translate_help(command)
    _reword_usage_errors()
    try:
        command([argument for argument in given if argument != "--debug"], prog_name="tonggan")
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            _fail("Interrupted before any work began")
        raise
    except Exception as error:
        if debug:
            raise
        _explain(error)


def _explain(error: Exception) -> NoReturn:
    from tonggan.errors import ConfigError, TongganError
    from tonggan.wording import Bilingual

    if isinstance(error, TongganError):
        parts = (error.who, error.got, error.expected, error.remedy)
        who, got, expected, remedy = (shown(part) if isinstance(part, Bilingual) else part for part in parts)
        lines = [who, f"  got:      {got}", f"  expected: {expected}", f"  remedy:   {remedy}"]
        _fail("\n".join(lines), code=2 if isinstance(error, ConfigError) else 1)
    if isinstance(error, MemoryError) or "out of memory" in str(error) or "DefaultCPUAllocator" in str(error):
        _fail("Out of memory\n  remedy:   Use a smaller --set training.batch_size=… or smaller pictures")
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        lines = [str(error.filename or "A file"), f"  got:      {error.strerror}"]
        lines.append("  expected: space on the disk, and the right to read and write there")
        _fail("\n".join([*lines, "  remedy:   Make room or check the rights, then repeat the command"]))
    remedy = "Repeat the command with --debug to see where; if it is a bug in Tonggan, please report it"
    _fail(f"{type(error).__name__}: {error}\n  remedy:   {remedy}")


def _fail(text: str, *, code: int = 1) -> NoReturn:
    from rich.markup import escape

    from tonggan.cli.console import stderr

    stderr.print(f"[bold red]{shown('Error:')}[/] {escape(shown(text))}", soft_wrap=True)
    sys.exit(code)


def _fold_help() -> None:
    """Have help broken inside words too: Chinese has no blanks, and a word that does not fit would be cut off.

    typer has no setting for that, but one function that makes all texts of its help; a version without it cuts off.
    """
    from rich.text import Text
    from typer import rich_utils

    make = getattr(rich_utils, "_make_rich_text", None)
    if make is None or hasattr(make, "__wrapped__"):
        return

    @functools.wraps(make)
    def folded(**given: Any) -> Any:
        made = make(**given)
        if isinstance(made, Text):
            made.overflow = "fold"
        return made

    rich_utils._make_rich_text = folded


def _reword_usage_errors() -> None:
    """Have what is wrong with a command line said without the words of other libraries, in the reader's language."""
    from typer import rich_utils

    rich_utils.RICH_HELP = shown(_TRY)
    show = getattr(rich_utils, "rich_format_error", None)  # of no public interface
    if show is None or hasattr(show, "__wrapped__"):
        return

    @functools.wraps(show)
    def reworded(error: Any) -> None:
        said = error.format_message()
        for pattern, words in _REWORDED:
            said = re.sub(pattern, words, said)
        error.format_message = lambda: shown(said)
        show(error)

    rich_utils.rich_format_error = cast("Any", reworded)


def _translate_help(command: Any) -> None:
    """Put the help of ``command`` and of all below it into the reader's language."""
    from typer import rich_utils

    for title in ("Options", "Commands", "Arguments", "Errors"):
        setattr(rich_utils, f"{title.upper()}_PANEL_TITLE", shown(title))
    rich_utils.REQUIRED_LONG_STRING = shown("[required]")
    usage = command.get_usage
    command.get_usage = lambda context: usage(context).replace("Usage:", shown("Usage:"), 1)
    command.help = command.help and shown(_joined(command.help))
    command.epilog = command.epilog and shown(command.epilog)
    for parameter in command.get_params(command.context_class(command)):  # --help among them
        said = getattr(parameter, "help", None)
        if said:
            parameter.help = shown(_joined(said))
    for below in getattr(command, "commands", {}).values():
        _translate_help(below)


def _joined(paragraphs: str) -> str:
    """Each paragraph on one line, as the catalog has it."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs.split("\n\n"))
