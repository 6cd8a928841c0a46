"""What a task that writes text implies for the rest of a recipe: a decoder, a prefix to read, one vocabulary.

What the user has set stands; only what was left open is filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from tonggan.decoders import LanguageHeadConfig, LinearHeadConfig, default_head
from tonggan.encoders.text_language import TextLanguageConfig
from tonggan.errors import ConfigError
from tonggan.fusion import PrefixConfig
from tonggan.language.pretrained import load_pretrained
from tonggan.modalities import ColumnConfig, TextConfig
from tonggan.models import ModelConfig
from tonggan.runs.recipe import Recipe
from tonggan.tasks import TextTaskConfig

_TextTaskConfigT = TypeVar("_TextTaskConfigT", bound=TextTaskConfig)


def complete_for_text(
    recipe: Recipe, task: _TextTaskConfigT, columns: Mapping[str, ColumnConfig]
) -> tuple[ModelConfig, _TextTaskConfigT, dict[str, ColumnConfig]]:
    """Model, task and columns of ``recipe``, whose task writes text, made to fit each other.

    Raises:
        ConfigError: an option excludes such a task.
    """
    if recipe.auxiliary:
        raise ConfigError(
            "auxiliary",
            got=f"auxiliary targets beside the task '{task.kind}'",
            expected="them beside a task of classes, labels or numbers",
            remedy="Leave auxiliary out",
        )
    model = recipe.model
    head = default_head(task.asks) if isinstance(model.head, LinearHeadConfig) else model.head
    fusion = model.fusion if "fusion" in model.model_fields_set else PrefixConfig()
    changed: dict[str, Any] = {"head": head, "fusion": fusion}
    if not isinstance(head, LanguageHeadConfig) or head.base is None:
        return model.model_copy(update=changed), task, dict(columns)
    spoken = {
        name: config.model_copy(update={"language": head.base})
        for name, config in columns.items()
        if isinstance(config, TextConfig)
        and name not in recipe.target
        and isinstance(model.encoders.get(name, TextLanguageConfig()), TextLanguageConfig)
    }
    changed["encoders"] = {**model.encoders, **dict.fromkeys(spoken, TextLanguageConfig())}
    pretrained = load_pretrained(head.base)
    if isinstance(fusion, PrefixConfig):
        settings: dict[str, Any] = {"verbatim": list(spoken)}
        if "scale" not in fusion.model_fields_set:
            settings["scale"] = pretrained.embedding_scale
        changed["fusion"] = fusion.model_copy(update=settings)
    if "dim" not in model.model_fields_set:
        changed["dim"] = pretrained.config.hidden_size
    return (
        model.model_copy(update=changed),
        task.model_copy(update={"language": head.base}),
        {**columns, **spoken},
    )
