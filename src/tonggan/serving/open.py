"""From the names on a command line to services: folders of finished runs, and language models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tonggan.codelm.training.adapters import is_code_run, open_code_model
from tonggan.decoders import LanguageHead
from tonggan.errors import ConfigError
from tonggan.language.opening import AUTO, engine_for, engine_kinds, open_model
from tonggan.progress import Progress
from tonggan.runs.bundle import Bundle, is_run
from tonggan.runs.speaker import Speaker
from tonggan.serving.config import ServerConfig
from tonggan.serving.services import RowService, Service, TextService


def open_services(
    names: Sequence[str],
    *,
    engine: str = AUTO,
    bits: Literal[4, 8] | None = None,
    config: ServerConfig,
    progress: Progress,
) -> list[Service]:
    """A service for each of ``names``, called by the last part of its path.

    Args:
        names: folders of runs, those of code training too, or what ``open_model`` opens.
        engine: of language models; of runs one that computes with weights in memory.
        bits: of each weight.
        config: limits.
        progress: told what is opened.

    Raises:
        ConfigError: two of them have one name.
        TongganError: one cannot be opened.
    """
    called = [Path(name).stem if Path(name).suffix == ".gguf" else Path(name).name for name in names]
    twice = next((name for name in called if called.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            "models to serve",
            got=f"two that are called '{twice}'",
            expected="names that differ",
            remedy="Rename one of the folders or files",
        )
    services = []
    for path, name in progress.track(list(zip(names, called, strict=True)), label="Opening models"):
        if is_run(Path(path)):
            services.append(_open_run(Path(path), name, engine, bits, config, progress))
        elif is_code_run(Path(path)):
            model, infill = open_code_model(path, engine=engine, bits=bits, progress=progress)
            services.append(Service(name, texts=TextService(model, config=config, infill=infill)))
        else:
            opened = open_model(
                path,
                engine=engine,
                bits=bits,
                max_length=config.max_length if _reserves(engine) else None,
                num_parallel=config.slots,
                progress=progress,
            )
            services.append(Service(name, texts=TextService(opened, config=config)))
    return services


def _open_run(
    folder: Path,
    name: str,
    engine: str,
    bits: Literal[4, 8] | None,
    config: ServerConfig,
    progress: Progress,
) -> Service:
    bundle = Bundle.load(folder)
    rows = RowService(bundle, config=config)
    head = bundle.model.head
    if not isinstance(head, LanguageHead):
        return Service(name, rows=rows)
    chosen = engine_for(head.merged(), engine=engine, bits=bits, progress=progress)
    speaker = Speaker(bundle, engine=chosen, name=name)
    return Service(name, texts=TextService(speaker.model, config=config, conversation=speaker.prompt), rows=rows)


def _reserves(engine: str) -> bool:
    """Whether ``engine`` takes room for the whole context of all texts at once."""
    kind = engine_kinds().get(engine)
    return kind is not None and "num_parallel" in kind.model_fields
