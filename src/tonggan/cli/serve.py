"""``tonggan serve``: runs and language models behind OpenAI's API shapes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

SERVE_EXAMPLES = """
[bold]Examples[/]

  tonggan serve smollm2

  tonggan serve runs/first runs/captions --port 9000

  tonggan serve smollm2 --code path/to/repository

  tonggan serve --search indexes/emojis

  tonggan serve model.gguf --host 0.0.0.0 --api-key-file keys.txt
"""


ENGINE_HELP = "Engine that decodes texts: auto, torch, native, llamacpp, or one from another package."


class BitsChoice(StrEnum):
    """Bits of a weight."""

    four = "4"
    eight = "8"


_BITS: dict[BitsChoice | None, Literal[4, 8] | None] = {None: None, BitsChoice.four: 4, BitsChoice.eight: 8}


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=SERVE_EXAMPLES)(serve)


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|MODEL…",
            help="Folders of finished runs, 'smollm2', model folders, .gguf files; else what 'code use' named.",
        ),
    ] = None,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines connect.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    api_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of API keys, one per line; clients must send one of them.")
    ] = None,
    code: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Repository to search at /v1/code/search.")
    ] = None,
    search: Annotated[Path | None, typer.Option(metavar="INDEX", help="Index of rows to search at /v1/search.")] = None,
    engine: Annotated[str, typer.Option(metavar="ENGINE", help=ENGINE_HELP)] = "auto",
    bits: Annotated[BitsChoice | None, typer.Option(help="Bits of each weight of the native engine.")] = None,
    slots: Annotated[int | None, typer.Option(help="Texts generated at the same time, per model.")] = None,
    queue: Annotated[
        int | None, typer.Option(help="Texts or rows that may wait; further ones are refused with status 429.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Maximum tokens per text, prompt included.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Maximum seconds per request.")] = None,
    max_bytes: Annotated[int | None, typer.Option(help="Maximum bytes per request.")] = None,
    max_characters: Annotated[int | None, typer.Option(help="Maximum characters of all texts in a request.")] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Maximum pixels of an uploaded picture.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Maximum seconds of an uploaded recording.")] = None,
) -> None:
    """Serve finished runs and language models over HTTP, in the shapes of OpenAI's API.

    Ctrl-C finishes what was begun and stops; a second one stops at once.
    """
    from tonggan.cli.console import console_progress
    from tonggan.codelm.completion.open import model_in_use
    from tonggan.codelm.editor.launch import open_indexing
    from tonggan.serving.authentication import Keys
    from tonggan.serving.config import ServerConfig
    from tonggan.serving.server import bind, bound_memory, require_packages, serve
    from tonggan.serving.services import CodeService, SearchService, open_services
    from tonggan.space.index import SpaceIndex

    require_packages()
    bound_memory()
    limits: dict[str, Any] = {
        "slots": slots, "queue": queue, "max_length": max_length, "timeout": timeout,
        "max_bytes": max_bytes, "max_characters": max_characters, "max_pixels": max_pixels, "max_seconds": max_seconds,
    }  # fmt: skip
    given = {name: value for name, value in limits.items() if value is not None}
    config = ServerConfig.parse(given, who="tonggan serve")
    keys = Keys() if api_key_file is None else Keys.from_file(api_key_file)
    with bind(host, port) as listening, console_progress() as progress:
        named = models or ([] if search else [model_in_use()])
        services = open_services(named, engine=engine, bits=_BITS[bits], config=config, progress=progress)
        found = None if code is None else CodeService(open_indexing(code, embedder=None, progress=progress))
        rows = None if search is None else SearchService(SpaceIndex.open(search, progress=progress), config=config)
        serve(services, listening=listening, config=config, keys=keys, progress=progress, code=found, rows=rows)
