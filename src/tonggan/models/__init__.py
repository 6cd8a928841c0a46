"""Compositions of encoders, fusion and head."""

from tonggan.models.config import ModelConfig
from tonggan.models.fused import FusedModel
from tonggan.models.multitask import MultitaskModel

__all__ = ["FusedModel", "ModelConfig", "MultitaskModel"]
