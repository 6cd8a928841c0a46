"""The shapes of the weights that a config asks for, and whether a file has them. It reads no file."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tonggan.errors import DataError
from tonggan.language.causal_transformer import CausalTransformerConfig
from tonggan.stored import named

_MANY_LAYERS = 200
_REMEDY = "Check that the file and its config belong together, or download them again"


def weight_shapes(config: CausalTransformerConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of a model of this config, by name."""
    with torch.device("meta"):
        return {name: tuple(weight.shape) for name, weight in config.build().state_dict().items()}


def check_shapes(config: CausalTransformerConfig, found: Mapping[str, tuple[int, ...]], *, who: str) -> None:
    """Refuse weights that do not fill a model of this config to the last.

    Raises:
        DataError: a weight is missing, is of another shape, or is none of the model's.
    """
    if config.num_hidden_layers > max(len(found), _MANY_LAYERS):  # to say what is missing would take minutes
        raise DataError(
            who, got=f"{len(found)} weights", expected=f"those of {config.num_hidden_layers:,} layers", remedy=_REMEDY
        )
    with named(who, expected="sizes that a model can have", remedy=_REMEDY):
        shapes = weight_shapes(config)
    missing = [name for name in shapes if name not in found]
    if missing:
        raise DataError(who, got=f"no weight {_list(missing)}", expected="all weights of its config", remedy=_REMEDY)
    strange = [name for name in found if name not in shapes]
    if strange:
        raise DataError(who, got=f"a weight {_list(strange)}", expected="no others than its config's", remedy=_REMEDY)
    for name, shape in shapes.items():
        if found[name] != shape:
            raise DataError(who, got=f"{name} of shape {found[name]}", expected=f"shape {shape}", remedy=_REMEDY)


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"
