"""``tonggan speak``: English texts to sound files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
[bold]Examples[/]

  tonggan speak "Good morning. The train leaves at 5:30." --out hello.wav

  tonggan speak --file story.txt --out story.mp3 --speed 1.2

  tonggan speak --file sentences.csv --column text --out spoken
"""
_INDEX = "speech.csv"


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=EXAMPLES)(speak)


def speak(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What is said, in English.")] = None,
    *,
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="Sound file to write: WAV, FLAC, MP3, Ogg or Opus by its ending; of a column, a folder.",
        ),
    ],
    file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Say what a text file holds, or each row of a table.")
    ] = None,
    column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the table in --file; each row is a file.")
    ] = None,
    model: Annotated[str, typer.Option(metavar="VOICE", help="Voice, as 'tonggan weights list' shows it.")] = "hibari",
    speed: Annotated[float, typer.Option(help="0.5 to 2; 1 is the voice's own.")] = 1.0,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each file: its sentences and their times.")
    ] = False,
) -> None:
    """Speak English texts with a voice that runs on this machine.

    Long texts are cut at sentences. A table's rows go to wav files of their numbers, and a list of them, speech.csv.
    """
    from tonggan.cli.console import console_progress, print_json
    from tonggan.cli.output_path import check_no_input
    from tonggan.models.speech import format_of
    from tonggan.models.voice import Voice, check_speed

    check_speed(speed)
    _check_source(text, file, column)
    if column is None:
        format_of(out)
    if file is not None:
        check_no_input(out, [file], option="--out")
    with console_progress() as progress:
        texts = _texts(text, file, column)
        _check_texts(texts)
        voice = Voice(model)
        width, written, seconds = len(str(max(texts))), [], 0.0
        for place, said in texts.items():
            speech = voice.speak(said, speed=speed, progress=progress)
            target = out / f"{place:0{width}}.wav" if place else out
            speech.save(target)
            written.append((target, said))
            seconds += speech.seconds
            if json:
                print_json({"file": str(target), **speech.to_dict()})
            if place:
                progress.update("speak rows", done=len(written), total=len(texts))
        if column is not None:
            _write_index(out / _INDEX, written)
            progress.say(f"Speech of {len(written)} rows, {seconds:.1f} s, in {out}; they are listed in {_INDEX}")
        else:
            progress.say(f"Speech of {seconds:.1f} s in {out}")


def _check_source(text: str | None, file: str | None, column: str | None) -> None:
    """Raise ConfigError unless exactly one thing is to be said."""
    from tonggan.errors import ConfigError

    if (text is None) == (file is None) or (column is not None and file is None):
        got = "neither" if text is None and file is None else "a text and a file" if file else "a column of no table"
        raise ConfigError(
            "tonggan speak",
            got=got,
            expected="a text, or --file, a table with --column",
            remedy='For example: tonggan speak "Hello." --out hello.wav',
        )


def _texts(text: str | None, file: str | None, column: str | None) -> dict[int, str]:
    """What is said, by the number of its row from 1 on; 0 without a table. Empty cells are left out.

    Raises:
        DataError: the file or its column cannot be read, or there is nothing in it.
    """
    from tonggan.cells import cell_text
    from tonggan.data.places import cache_folder
    from tonggan.data.readers import open_table
    from tonggan.errors import DataError

    if file is None:
        return {0: text or ""}
    if column is None:
        return {0: _read(file)}
    values = open_table(file, cache=cache_folder()).values(column)
    texts = {row: str(value) for row, value in enumerate(values, 1) if cell_text(value) is not None}
    if not texts:
        raise DataError(
            f"column '{column}'", got="empty cells alone", expected="texts to speak", remedy="Name another column"
        )
    return texts


def _read(file: str) -> str:
    """What a text file holds, whose encoding may stand behind ``#``.

    Raises:
        DataError: it cannot be read, or holds no text.
    """
    from tonggan.data.readers import without_part
    from tonggan.data.text_file import inspect_text
    from tonggan.errors import DataError

    path, encoding = without_part(Path(file))
    try:
        found = inspect_text(path, kind="speech", declared=encoding)
        return path.read_text(encoding=found.encoding, errors=found.errors)
    except OSError as error:
        raise DataError(
            f"file {path}",
            got=error.strerror or str(error),
            expected="a text file that can be read",
            remedy="Check the path",
        ) from error


def _check_texts(texts: Mapping[int, str]) -> None:
    """Raise DataError where one of ``texts`` cannot be said, before any of them is."""
    from tonggan.errors import DataError
    from tonggan.models.voice import check_text

    for row, said in texts.items():
        try:
            check_text(said)
        except DataError as error:
            if not row:
                raise
            raise DataError(f"row {row}", got=error.got, expected=error.expected, remedy=error.remedy) from error


def _write_index(path: Path, written: Sequence[tuple[Path, str]]) -> None:
    """The list of a folder's files: a table that a fit can read.

    Raises:
        OSError: it cannot be written.
    """
    import csv

    from tonggan.files import whole_file

    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("audio", "text"))
        writer.writerows((place.name, said) for place, said in written)
