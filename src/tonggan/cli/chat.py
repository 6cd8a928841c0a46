"""``tonggan chat``: a conversation in the terminal, from a pipe, or from a script."""

from __future__ import annotations

import json as json_format
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tonggan.cli.serve import ENGINE_HELP, BitsChoice

if TYPE_CHECKING:
    from tonggan.language.chat import Message, Part
    from tonggan.language.prompt import Prompt
    from tonggan.language.settings import GenerationConfig
    from tonggan.language.text_model import TextModel
    from tonggan.progress import Progress

EXAMPLES = """
[bold]Examples[/]

  tonggan chat smollm2

  tonggan chat runs/assistant --image cat.png

  tonggan chat model.gguf --system "Answer in one sentence." --temperature 0.7 --set top_p=0.9

  tonggan chat smollm2 --script turns.txt > transcript.txt

  echo "Name three colors." | tonggan chat smollm2 --json

[bold]In the terminal[/]

  /image FILE and /audio FILE attach to the next message, which may be empty; /reset begins anew; Ctrl-C stops an
  answer; /quit or Ctrl-D leaves.
"""

_COMMANDS = ("/image", "/audio", "/reset", "/quit")
# What a model writes must not move the cursor, color the screen or rename the window.
_UNPRINTABLE = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=EXAMPLES)(chat)


def chat(
    model: Annotated[
        str,
        typer.Argument(metavar="RUN|MODEL", help="Folder of a finished run, 'smollm2', a model folder, a .gguf file."),
    ],
    *,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="Picture that the first message shows.")] = None,
    audio: Annotated[Path | None, typer.Option(metavar="FILE", help="Recording that the first message plays.")] = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="System prompt that the model is given at the start.")
    ] = None,
    engine: Annotated[str, typer.Option(metavar="ENGINE", help=ENGINE_HELP)] = "auto",
    bits: Annotated[BitsChoice | None, typer.Option(help="Bits of each weight of the native engine.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0, the default, always takes the likeliest token.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampling: the same seed writes the same text.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Maximum number of tokens in an answer (256).")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another setting of generation, e.g. top_p=0.9."),
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read the turns from a file and print the transcript: lines of text, or .jsonl with text, image, "
            "audio.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each turn on stdout.")] = False,
) -> None:
    """Talk with a language model, or with a run that writes text, about pictures and sounds too.

    What comes through a pipe is read line by line, each a message.
    """
    from tonggan.cli.console import console_progress
    from tonggan.config import apply_overrides
    from tonggan.language.settings import GenerationConfig

    given = {"temperature": temperature, "seed": seed, "max_tokens": max_tokens}
    named = {name: value for name, value in given.items() if value is not None}
    settings = GenerationConfig.parse(apply_overrides(named, set_ or []), who="tonggan chat")
    turns = None if script is None else _read_script(script)
    with console_progress() as progress:
        talk = _Talk(*_open(model, engine, bits, progress), settings=settings, system=system)
    talk.attach({kind: path for kind, path in (("image", image), ("audio", audio)) if path is not None})
    if turns is not None:
        _follow(talk, turns, as_json=json, is_transcript=True)
    elif sys.stdin.isatty():
        _converse(talk, as_json=json)
    else:
        _follow(talk, (_Turn(line) for line in sys.stdin), as_json=json, is_transcript=False)


@dataclass(frozen=True)
class _Turn:
    """A line that someone wrote, and the files that go with it, by kind."""

    text: str
    files: Mapping[str, Path] = field(default_factory=dict)


class _Talk:
    """What has been said so far, and what is attached to what comes next."""

    def __init__(
        self,
        model: TextModel,
        prompt: Callable[[Sequence[Message]], Prompt],
        *,
        settings: GenerationConfig,
        system: str | None,
    ) -> None:
        self._model, self._prompt, self._settings, self._system = model, prompt, settings, system
        self.files: dict[str, Path] = {}
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        from tonggan.language.chat import Message

        self._messages = [] if self._system is None else [Message("system", self._system)]

    def attach(self, files: Mapping[str, Path]) -> None:
        """Let the next message show or play ``files``.

        Raises:
            DataError: there is no such file.
        """
        from tonggan.errors import DataError

        for kind, path in files.items():
            if not path.is_file():
                raise DataError(
                    f"{kind} for the next message", got=f"no file {path}", expected="a file", remedy="Check the path"
                )
        self.files.update(files)

    def say(self, text: str, *, show: Callable[[str], object], cancelled: Callable[[], bool]) -> dict[str, Any]:
        """Have a message answered; ``show`` gets the answer bit by bit.

        A message that cannot be answered is as if it had not been sent; one that was cut off stays as far as it came.
        """
        from tonggan.errors import UnreadableError
        from tonggan.language.chat import AudioPart, ImagePart, Message, TextPart

        files, self.files = self.files, {}
        kinds: dict[str, Callable[[bytes], Part]] = {"image": ImagePart, "audio": AudioPart}
        parts: list[Part] = [kinds[kind](path.read_bytes()) for kind, path in files.items()]
        parts += [TextPart(text)] if text else []
        messages = [*self._messages, Message("user", tuple(parts))]
        answer, tokens, finish = "", 0, None
        named = {kind: str(path) for kind, path in files.items()}
        try:
            prompt = self._prompt(messages)
        except UnreadableError as error:
            raise UnreadableError(
                f"{error.who}, file {' or '.join(named.values())}",
                got=error.got,
                expected=error.expected,
                remedy="Attach another file",
            ) from error
        for piece in self._model.stream(prompt, self._settings, cancelled=cancelled):
            show(piece.text)
            answer, tokens, finish = answer + piece.text, tokens + len(piece.token_ids), piece.finish
        self._messages = [*messages, Message("assistant", answer)]
        return {"user": text, **named, "assistant": answer, "tokens": tokens, "finish": finish or "interrupted"}


def _open(name: str, engine: str, bits: BitsChoice | None, progress: Progress) -> Any:
    """The model that ``name`` means, and what makes prompts for it."""
    from tonggan.language.opening import open_model
    from tonggan.runs.bundle_folder import is_run
    from tonggan.runs.speaker import open_speaker

    number: Any = None if bits is None else int(bits)
    if not is_run(Path(name)):
        model = open_model(name, engine=engine, bits=number, progress=progress)
        return model, model.prompt
    speaker = open_speaker(name, engine=engine, bits=number, progress=progress)
    return speaker.model, speaker.prompt


def _read_script(path: Path) -> list[_Turn]:
    """The turns in a file; paths in it are relative to its folder."""
    from tonggan.errors import DataError

    def wrong(got: str) -> DataError:
        return DataError(
            f"script {path}",
            got=got,
            expected="a text in UTF-8 with a message on each line, or .jsonl with objects of text, image, audio",
            remedy="Correct the file",
        )

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(str(error)) from error
    if path.suffix != ".jsonl":
        return [_Turn(line) for line in lines]
    turns = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json_format.loads(line)
        except ValueError as error:
            raise wrong(f"line {number}, which is no JSON ({error})") from error
        is_turn = isinstance(row, dict) and set(row) <= {"text", "image", "audio"}
        if not is_turn or not all(isinstance(value, str) for value in row.values()):
            raise wrong(f"line {number}: {line[:80]}")
        files = {kind: path.parent / row[kind] for kind in ("image", "audio") if kind in row}
        turns.append(_Turn(row.get("text", ""), files))
    return turns


def _follow(talk: _Talk, turns: Iterable[_Turn], *, as_json: bool, is_transcript: bool) -> None:
    """Answer one turn after the other; what goes wrong ends it."""
    from tonggan.cli.console import print_line
    from tonggan.errors import InterruptedRunError

    try:
        for turn in turns:
            text = turn.text.strip()
            talk.attach(turn.files)
            if not text and not talk.files:
                continue
            if is_transcript and not as_json:
                print_line(" ".join([">", *(f"[{kind} {path}]" for kind, path in talk.files.items()), text]).rstrip())
            done = _obey(talk, text)
            if done == "leave":
                return
            if done is None:
                _answer(talk, text, as_json=as_json)
                if is_transcript and not as_json:
                    print_line()
    except KeyboardInterrupt as stop:
        raise InterruptedRunError(
            "chat",
            got="a request to stop (Ctrl-C)",
            expected="to answer every message",
            remedy="Run the same command again: the same seed writes the same text",
        ) from stop


def _converse(talk: _Talk, *, as_json: bool) -> None:
    """Ask for one message after the other; what goes wrong with one is shown."""
    from rich.markup import escape

    from tonggan.cli.console import print_line, stderr
    from tonggan.cli.translation import shown
    from tonggan.errors import TongganError
    from tonggan.wording import in_words

    with suppress(ImportError):
        import readline  # noqa: F401 (lets input edit the line and remember former ones)
    stderr.print(shown(f"{', '.join(_COMMANDS)}; Ctrl-C stops an answer, Ctrl-D leaves"), style="dim")
    while True:
        try:
            text = input("> " if sys.stdout.isatty() else "").strip()
        except EOFError:
            print_line()
            return
        except KeyboardInterrupt:
            stderr.print(shown("\nCtrl-D leaves"), style="dim")
            continue
        try:
            done = _obey(talk, text)
            if done == "leave":
                return
            if done is None and (text or talk.files):
                with _ctrl_c() as stop:
                    _answer(talk, text, as_json=as_json, cancelled=stop.is_set)
        except TongganError as error:
            stderr.print(f"[bold red]{shown('Error:')}[/] {escape(in_words(error))}", soft_wrap=True)


def _obey(talk: _Talk, text: str) -> Literal["leave", "done"] | None:
    """Do what a command asks for; None where ``text`` is a message."""
    from tonggan.errors import ConfigError

    command, _, argument = text.partition(" ")
    if not re.fullmatch(r"/\w+", command):
        return None
    if command not in _COMMANDS:
        raise ConfigError(
            "chat",
            got=command,
            expected=f"one of {', '.join(_COMMANDS)}, or a message",
            remedy="Correct the command",
        )
    if command == "/quit":
        return "leave"
    if command == "/reset":
        talk.reset()
    else:
        talk.attach({command[1:]: Path(argument.strip()).expanduser()})
    return "done"


def _answer(talk: _Talk, text: str, *, as_json: bool, cancelled: Callable[[], bool] = lambda: False) -> None:
    from tonggan.cli.console import print_json, print_line

    def show(part: str) -> None:
        sys.stdout.write(part.translate(_UNPRINTABLE))
        sys.stdout.flush()

    turn = talk.say(text, show=(lambda _: None) if as_json else show, cancelled=cancelled)
    if as_json:
        print_json(turn)
        sys.stdout.flush()
    else:
        print_line()


@contextmanager
def _ctrl_c() -> Iterator[Event]:
    """Set once Ctrl-C is pressed, which then interrupts nothing else."""
    pressed = Event()
    before = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
