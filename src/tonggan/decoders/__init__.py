"""From Tokens to outputs: one file for each head."""

from __future__ import annotations

from tonggan.decoders.linear import LinearHead, LinearHeadConfig

__all__ = ["LinearHead", "LinearHeadConfig"]
