"""``tonggan transcribe``: recordings to text, subtitles or JSON."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tonggan.models.transcript import Transcript

EXAMPLES = """
[bold]Examples[/]

  tonggan transcribe interview.mp3

  tonggan transcribe lecture.wav --language zh --format srt --out lecture.srt

  tonggan transcribe calls/*.flac --format json --out transcripts

  tonggan transcribe digits.wav --model runs/digits
"""


class Format(StrEnum):
    """What is written."""

    text = "text"
    srt = "srt"
    json = "json"


_SUFFIXES = {Format.text: ".txt", Format.srt: ".srt", Format.json: ".json"}


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=EXAMPLES)(transcribe)


def transcribe(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Recordings: WAV, FLAC, Ogg, MP3, AIFF.")],
    *,
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL|RUN", help="'whisper-base', a CTranslate2 folder of Whisper, or a run that writes texts."
        ),
    ] = "whisper-base",
    language: Annotated[
        str | None, typer.Option(metavar="CODE", help="Language that is spoken, such as zh; found out by default.")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Text as it might stand before; its spelling and names are taken up."),
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="What is written; by default as --out ends, else text.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="File to write; of several recordings, a folder.")
    ] = None,
) -> None:
    """Write recordings down, with the time of each passage as subtitles (srt) or JSON.

    A recording may be of any length; it is read a few seconds at a time.
    """
    from tonggan.cli.console import console_progress, print_line
    from tonggan.cli.output_path import check_no_input
    from tonggan.modalities.recordings import Recording
    from tonggan.models.transcript import TranscriptionConfig
    from tonggan.runs.transcribing import open_transcriber

    config = TranscriptionConfig.parse({"language": language, "prompt": prompt}, who="tonggan transcribe")
    format_ = format_ or _format_of(out)
    targets = _targets(files, out, format_)
    for target in targets:
        if target is not None:
            check_no_input(target, files, option="--out")
    with console_progress() as progress:
        transcriber = open_transcriber(model)
        transcriber.check(config)
        # All of them are looked at before the first one is read.
        recordings = [Recording(file, sample_rate=transcriber.sample_rate) for file in files]
        for number, (file, recording, target) in enumerate(zip(files, recordings, targets, strict=True)):
            transcript = transcriber.transcribe(recording, config, progress=progress)
            written = _written(transcript, file, format_)
            if target is not None:
                _write(target, written)
                progress.say(f"Transcript of {file} in {target}")
                continue
            if len(files) > 1 and format_ is not Format.json:
                print_line(f"{'' if number == 0 else chr(10)}# {file}")
            print_line(written.rstrip("\n"))


def _format_of(out: Path | None) -> Format:
    """As the name of the file says, else text."""
    suffix = "" if out is None else out.suffix.lower()
    return next((format_ for format_, own in _SUFFIXES.items() if own == suffix), Format.text)


def _targets(files: Sequence[Path], out: Path | None, format_: Format) -> list[Path | None]:
    """Where each transcript is written; None is stdout.

    Raises:
        ConfigError: two of them would be one file.
    """
    from tonggan.errors import ConfigError

    if out is None:
        return [None] * len(files)
    if len(files) == 1 and not out.is_dir():
        return [out]
    targets = [out / f"{file.stem}{_SUFFIXES[format_]}" for file in files]
    twice = next((target for target in targets if targets.count(target) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"--out {out}",
            got=f"two recordings whose transcript is {twice.name}",
            expected="recordings with names that differ",
            remedy="Transcribe them one after the other",
        )
    return [*targets]


def _written(transcript: Transcript, file: Path, format_: Format) -> str:
    if format_ is Format.srt:
        return transcript.to_srt()
    if format_ is Format.json:
        return json_format.dumps({"file": str(file), **transcript.to_dict()}, ensure_ascii=False) + "\n"
    return "".join(f"{segment.text}\n" for segment in transcript.segments)


def _write(target: Path, content: str) -> None:
    """All of it, or nothing.

    Raises:
        DataError: it cannot be written.
    """
    from tonggan.errors import DataError
    from tonggan.files import whole_file

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as partial:
            partial.write_text(content, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"file {target}",
            got=error.strerror or str(error),
            expected="a file that can be written",
            remedy="Free space or choose another place",
        ) from error
