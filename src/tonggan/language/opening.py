"""Models opened by name, with the engine that is asked for or that fits best."""

from __future__ import annotations

from typing import Any, Literal

from tonggan.errors import ConfigError

# Each makes its engine known; those of other packages come by entry points.
from tonggan.language import llamacpp, native_engine, torch_engine  # noqa: F401
from tonggan.language.causal_transformer import CausalTransformer
from tonggan.language.engine import Engine
from tonggan.language.engine_config import EngineConfig
from tonggan.language.pretrained import StoredModel
from tonggan.language.text_model import TextModel
from tonggan.progress import Progress

AUTO = "auto"


def open_model(
    name: str,
    *,
    engine: str = AUTO,
    bits: Literal[4, 8] | None = None,
    max_length: int | None = None,
    num_parallel: int = 4,
    progress: Progress | None = None,
) -> TextModel:
    """A model that is ready to write.

    Args:
        name: ``smollm2``, a folder in Hugging Face's layout, or a GGUF file.
        engine: what computes, one of ``engine_kinds()``; auto takes the most preferred one that can open the model:
            torch on a GPU, native on a CPU where its kernels are compiled, torch where they are not, and llamacpp for
            other architectures.
        bits: of the native engine's weights; by default those of a GGUF file as they are, and 8 for a folder.
        max_length: tokens that prompt and continuation may have together; by default what the model was trained for.
        num_parallel: texts that an engine which reserves room for each has room for at the same time.
        progress: told which engine auto takes where it is not the most preferred.

    Raises:
        ConfigError: there is no such model or engine, or the engine cannot do what is asked.
        DataError: its files are missing or damaged, or hold another architecture and the engine is not llamacpp.
        MissingExtraError: a package that the model or the engine needs is not installed.
    """
    model = StoredModel(name)
    options = {"bits": bits, "max_length": max_length, "num_parallel": num_parallel}
    return _engine(engine, model, options, progress or Progress()).open(model)


def engine_for(
    model: CausalTransformer,
    *,
    engine: str = AUTO,
    bits: Literal[4, 8] | None = None,
    progress: Progress | None = None,
) -> Engine:
    """An engine that decodes with the weights of ``model``, which has no adapters.

    Args:
        model: in memory.
        engine: as in ``open_model``.
        bits: of the native engine's weights, 8 by default.
        progress: told which engine auto takes where it is not the most preferred.

    Raises:
        ConfigError: there is no such engine, or it does not compute with such a model.
    """
    return _engine(engine, model, {"bits": bits}, progress or Progress()).wrap(model)


def engine_kinds() -> dict[str, type[EngineConfig]]:
    """All engines by name, those of other packages among them."""
    return EngineConfig.family()


def _engine(
    wanted: str, model: StoredModel | CausalTransformer, options: dict[str, Any], progress: Progress
) -> EngineConfig:
    kinds = engine_kinds()
    if wanted == AUTO:
        engine, reason = _best(model)
        if reason is not None:
            progress.say(f"Engine {engine.kind}, because {reason}.")
        wanted = engine.kind
    elif wanted not in kinds:
        raise ConfigError(
            "engine", got=f"'{wanted}'", expected=f"one of {', '.join((AUTO, *kinds))}", remedy="Choose one of these"
        )
    kind = kinds[wanted]
    if options["bits"] is not None and "bits" not in kind.model_fields:
        able = " or ".join(name for name, other in kinds.items() if "bits" in other.model_fields)
        raise ConfigError(
            f"engine {wanted}",
            got=f"bits={options['bits']}",
            expected="weights as they are stored",
            remedy=f"Leave bits out, or use engine {able}",
        )
    known = {name: value for name, value in options.items() if value is not None and name in kind.model_fields}
    return kind.parse(known, who=f"engine {wanted}")


def _best(model: StoredModel | CausalTransformer) -> tuple[EngineConfig, str | None]:
    """The most preferred engine that can open ``model``, and why not the one before it."""
    engines = sorted(
        (kind.model_validate({}) for kind in engine_kinds().values()), key=lambda engine: -engine.preference
    )
    reason = None
    for engine in engines:
        obstacle = engine.obstacle(model)
        if obstacle is None:
            return engine, reason
        reason = obstacle
    raise ConfigError(
        "engine",
        got=f"none that opens the model, because {reason}",
        expected=f"one of {', '.join(engine.kind for engine in engines)} that does",
        remedy="Convert the model to GGUF and use engine llamacpp",
    )
