"""Heads: from fused Tokens to outputs. One file for each kind."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from tonggan.config import infer_kind
from tonggan.decoders.ctc import CTCHead, CTCHeadConfig
from tonggan.decoders.language import LanguageHead, LanguageHeadConfig
from tonggan.decoders.linear import LinearHead, LinearHeadConfig
from tonggan.decoders.text_format import TextFormat

HeadConfig = Annotated[
    LinearHeadConfig | LanguageHeadConfig | CTCHeadConfig,
    Field(discriminator="kind"),
    BeforeValidator(infer_kind(LinearHeadConfig, LanguageHeadConfig, CTCHeadConfig, default="linear")),
]

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
