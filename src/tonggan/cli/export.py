"""``tonggan export``: a language model as a file for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tonggan.cli.train import Json

if TYPE_CHECKING:
    from tonggan.language.causal_transformer import CausalTransformer
    from tonggan.language.tokenizer import Tokenizer

EXAMPLES = """
[bold]Examples[/]

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
    gguf: Annotated[Path, typer.Option(metavar="FILE", help="Where to write; an existing file is replaced.")],
    kind: Annotated[NumberFormat, typer.Option(help="Number format of the matrices.")] = NumberFormat.f16,
    json: Json = False,
) -> None:
    """Write a language model as a GGUF file, for llama.cpp and what builds on it.

    Of a run it is the decoder, with its adapters merged: encoders have no place in such a file.
    """
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.cli.output_path import check_no_input
    from tonggan.language.gguf_export import export_gguf

    check_no_input(gguf, [model, f"{model}/*"], option="--gguf")
    with console_progress():
        weights, tokenizer, name = _load(model)
        export_gguf(weights, tokenizer, gguf, name=name, kind=kind.value)
    size = gguf.stat().st_size
    if json:
        print_json({"out": str(gguf), "kind": kind.value, "bytes": size})
    else:
        print_line(f"{gguf}: {name} in {kind.value}, {size / 1e6:,.1f} MB")


def _load(name: str) -> tuple[CausalTransformer, Tokenizer, str]:
    from tonggan.language.pretrained import load_pretrained
    from tonggan.runs.bundle_folder import is_run
    from tonggan.runs.speaker import open_speaker

    if is_run(Path(name)):
        speaker = open_speaker(name, engine="torch")
        return speaker.head.merged(), speaker.model.tokenizer, speaker.model.name
    pretrained = load_pretrained(name)
    return pretrained.build(), pretrained.tokenizer, pretrained.name
