"""Compositions of encoders, fusion and head."""

from tonggan.models.base import Model
from tonggan.models.config import ModelConfig
from tonggan.models.fused import FusedModel

__all__ = ["FusedModel", "Model", "ModelConfig"]
