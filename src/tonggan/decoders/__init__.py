"""Heads: from fused Tokens to outputs. One file for each kind."""

from __future__ import annotations

from tonggan.decoders.base import HeadConfig
from tonggan.decoders.ctc import CTCHead, CTCHeadConfig
from tonggan.decoders.language import LanguageHead, LanguageHeadConfig
from tonggan.decoders.linear import LinearHead, LinearHeadConfig
from tonggan.decoders.text_format import TextFormat
from tonggan.parts import import_modules

import_modules(__name__)

__all__ = [
    "CTCHead",
    "CTCHeadConfig",
    "HeadConfig",
    "LanguageHead",
    "LanguageHeadConfig",
    "LinearHead",
    "LinearHeadConfig",
    "TextFormat",
]
