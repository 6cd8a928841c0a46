"""Pretraining: one encoder learns from a column without labels. One file for each objective; none knows another."""

from __future__ import annotations

from tonggan.parts import import_modules
from tonggan.pretraining.base import Pretraining, PretrainingConfig

import_modules(__name__)

__all__ = ["Pretraining", "PretrainingConfig"]
