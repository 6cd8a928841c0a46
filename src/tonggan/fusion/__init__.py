"""From the Tokens of several inputs to one: one file for each way of fusing."""

from __future__ import annotations

from tonggan.fusion.attention import AttentionConfig, AttentionFusion
from tonggan.fusion.base import FusionConfig
from tonggan.fusion.concat import Concat, ConcatConfig
from tonggan.fusion.film import FiLM, FiLMConfig
from tonggan.fusion.gated import Gated, GatedConfig
from tonggan.fusion.mlp import DeepFusion, MLPConfig
from tonggan.fusion.perceiver import Perceiver, PerceiverConfig
from tonggan.fusion.prefix import Prefix, PrefixConfig
from tonggan.fusion.sum import Sum, SumConfig
from tonggan.fusion.weighted import Weighted, WeightedConfig
from tonggan.parts import import_modules


def default_fusion() -> FusionConfig:
    """The fusion that a model gets when a recipe names none.

    FiLM learns fastest where inputs must match or one asks about the other (``tests/fusion/test_matching.py``).
    """
    return FiLMConfig()


import_modules(__name__)

__all__ = [
    "AttentionConfig",
    "AttentionFusion",
    "Concat",
    "ConcatConfig",
    "DeepFusion",
    "FiLM",
    "FiLMConfig",
    "FusionConfig",
    "Gated",
    "GatedConfig",
    "MLPConfig",
    "Perceiver",
    "PerceiverConfig",
    "Prefix",
    "PrefixConfig",
    "Sum",
    "SumConfig",
    "Weighted",
    "WeightedConfig",
    "default_fusion",
]
