"""How a completion is made: lengths, context, checks, the threshold of silence."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tonggan.config import Config


class CompletionConfig(Config):
    """Settings of a ``Completer``."""

    max_line_tokens: int = Field(default=32, ge=1)
    """Tokens of one line at most."""
    max_block_tokens: int = Field(default=128, ge=1)
    """Tokens of a block at most."""
    context_tokens: int = Field(default=1024, ge=64)
    """Tokens that the model reads at most: snippets, what stands before the cursor, and what stands after it."""
    multiline: Literal["auto", "never", "always"] = "auto"
    """Whether a block may be written; auto asks the syntax tree."""
