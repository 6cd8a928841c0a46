"""How a completion is made: lengths, context, checks, the threshold of silence."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tonggan.config import Config


class CompletionConfig(Config):
    """Settings of a ``Completer``."""

    max_line_tokens: int = Field(default=32, ge=1)
    """Tokens of one line at most."""
    max_block_tokens: int = Field(default=96, ge=1)
    """Tokens of a block at most."""
    context_tokens: int = Field(default=768, ge=64)
    """Tokens that the model reads at most: snippets, what stands before the cursor, and what stands after it."""
    multiline: Literal["auto", "never", "always"] = "auto"
    """Whether a block may be written; auto asks the syntax tree."""
    use_retrieval: bool = True
    """Read snippets of other places: definitions, recent edits, open files, the index."""
    num_candidates: int = Field(default=3, ge=1, le=8)
    """Texts to write at most, where the first one is not sure or fails a check."""
    sure: float = Field(default=0.8, ge=0, le=1)
    """From this confidence on, a first text that passes all checks is the only one."""
    check_syntax: bool = True
    """Leave out what breaks code that parses without it."""
    check_scope: bool = True
    """Leave out names, attributes, imports and arguments that cannot resolve, where another text can. Python only."""
    jedi_seconds: float = Field(default=0.0, ge=0)
    """How long to wait for jedi, which knows more attributes; 0 does not ask it. What comes late serves later keys."""
    check_suffix: bool = True
    """Let texts compete by how well the document's next lines follow; for models that cannot fill in."""
    show_following: bool = False
    """Let a model that cannot fill in read the next lines before those that it continues."""
    repair: bool = True
    """Mend what the document has already, repeated lines, indentation and brackets."""
    lookup: int = Field(default=6, ge=0, le=15)
    """Up to so many tokens are guessed from what was read and checked in one step: the same text, sooner."""
    threshold: float = Field(default=0.7, ge=0, le=1)
    """Suggestions of less confidence are not shown; an editor calibrates it on what its user accepts.

    By default about one in two lines that are shown is what was wanted (SmolLM2, unseen packages).
    """
