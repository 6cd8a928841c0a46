"""Heads: from what is fused to a Prediction. One file for each kind."""

from __future__ import annotations

from tonggan.decoders.answers import TARGET, Answer, Vector, Writing
from tonggan.decoders.base import Context, Head, HeadConfig, default_head
from tonggan.decoders.ctc import CTCHead, CTCHeadConfig
from tonggan.decoders.language import LanguageHead, LanguageHeadConfig
from tonggan.decoders.linear import LinearHead, LinearHeadConfig
from tonggan.parts import import_modules

import_modules(__name__)

__all__ = [
    "TARGET",
    "Answer",
    "CTCHead",
    "CTCHeadConfig",
    "Context",
    "Head",
    "HeadConfig",
    "LanguageHead",
    "LanguageHeadConfig",
    "LinearHead",
    "LinearHeadConfig",
    "Vector",
    "Writing",
    "default_head",
]
