"""``tonggan export``: a run or a language model as a file for other programs, or as one file for this one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tonggan.cli.train import Json
from tonggan.cli.translation import shown

if TYPE_CHECKING:
    from tonggan.language.causal_transformer import CausalTransformer
    from tonggan.language.tokenizer import Tokenizer

EXAMPLES = """
[bold]Examples[/]

  tonggan export runs/first --format bundle --out first.tonggan

  tonggan export runs/first --format onnx --out first.onnx

  tonggan export runs/assistant --gguf assistant.gguf

  tonggan export smollm2 --gguf smollm2.gguf --kind q8_0

  tonggan export models/SmolLM2-135M --gguf smollm2.gguf
"""


class NumberFormat(StrEnum):
    """How the numbers of matrices are stored."""

    f32 = "f32"
    f16 = "f16"
    q8_0 = "q8_0"


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=EXAMPLES)(export)


def export(
    model: Annotated[
        str,
        typer.Argument(metavar="RUN|MODEL", help="Folder of a finished run, 'smollm2', a model folder, a .gguf file."),
    ],
    *,
    format_: Annotated[
        Literal["onnx", "bundle"] | None,
        typer.Option("--format", help="A run as an ONNX graph, or as one file that all commands open."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --format, the output file; an existing one is replaced.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="The table that RUN was trained on, if it has moved."),
    ] = None,
    gguf: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a language model here; an existing file is replaced.")
    ] = None,
    kind: Annotated[NumberFormat, typer.Option(help="With --gguf, number format of the matrices.")] = NumberFormat.f16,
    json: Json = False,
) -> None:
    """Write a run as one file, or a language model as GGUF for llama.cpp and what builds on it.

    An ONNX graph reads pixels, samples, token ids and cells, and is kept only if it answers training rows as the run
    does. Of a run, GGUF holds only the decoder with its adapters merged: the format has no place for encoders.
    """
    from tonggan.cli.output_path import check_no_input

    if (gguf is None) == (format_ is None):
        raise typer.BadParameter(shown("name either --format with --out, or --gguf"), param_hint="'--format'")
    if gguf is not None:
        check_no_input(gguf, [model, f"{model}/*"], option="--gguf")
        _export_gguf(model, gguf, kind, as_json=json)
        return
    if out is None or format_ is None:
        raise typer.BadParameter(shown("name the file to write"), param_hint="'--out'")
    check_no_input(out, [model, f"{model}/*"], option="--out")
    _export_run(model, out, format_, data, as_json=json)


def _export_gguf(model: str, gguf: Path, kind: NumberFormat, *, as_json: bool) -> None:
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.language.gguf_export import export_gguf

    with console_progress():
        weights, tokenizer, name = _load(model)
        export_gguf(weights, tokenizer, gguf, name=name, kind=kind.value)
    size = gguf.stat().st_size
    if as_json:
        print_json({"out": str(gguf), "kind": kind.value, "bytes": size})
    else:
        print_line(f"{gguf}: {name} in {kind.value}, {size / 1e6:,.1f} MB")


def _export_run(run: str, out: Path, to: Literal["onnx", "bundle"], data: str | None, *, as_json: bool) -> None:
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.runs.exporting import export as write

    with console_progress() as progress:
        found = write(run, out, format=to, data=data, progress=progress)
    if as_json:
        print_json(found)
        return
    print_line(f"{out}: {found['bytes'] / 1e6:,.1f} MB")
    if to == "onnx":
        print_line(
            shown(f"Answers on {found['rows']} training rows equal those of the run to {found['difference']:.1g}")
        )
        for file in found["tokenizers"]:
            print_line(shown(f"Token ids of texts are made by {file}"))


def _load(name: str) -> tuple[CausalTransformer, Tokenizer, str]:
    from tonggan.language.pretrained import load_pretrained
    from tonggan.runs.bundle_folder import is_run
    from tonggan.runs.speaker import open_speaker

    if is_run(Path(name)):
        speaker = open_speaker(name, engine="torch")
        return speaker.head.merged(), speaker.model.tokenizer, speaker.model.name
    pretrained = load_pretrained(name)
    return pretrained.build(), pretrained.tokenizer, pretrained.name
