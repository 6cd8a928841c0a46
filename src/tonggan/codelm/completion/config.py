"""How a completion is made: lengths, context, checks, the threshold of silence."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tonggan.config import Config


class CompletionConfig(Config):
    """Settings of a ``Completer``."""

    max_line_tokens: int = Field(default=32, ge=1)
    """Maximum number of tokens of a line."""
    max_block_tokens: int = Field(default=96, ge=1)
    """Maximum number of tokens of a block."""
    context_tokens: int = Field(default=768, ge=64)
    """Maximum number of tokens that the model reads: snippets, and the text before and after the cursor."""
    multiline: Literal["auto", "never", "always"] = "auto"
    """Whether a completion may span several lines; auto decides by the syntax tree."""
    use_retrieval: bool = True
    """Also read snippets from elsewhere: definitions, recent edits, open files, the index."""
    num_candidates: int = Field(default=3, ge=1, le=8)
    """Maximum number of candidates, if the first one has low confidence or fails a check."""
    sure: float = Field(default=0.8, ge=0, le=1)
    """At this confidence or above, a first candidate that passes all checks ends the search."""
    check_syntax: bool = True
    """Discard candidates that break code that parses without them."""
    check_scope: bool = True
    """Discard candidates with names, attributes, imports or arguments that cannot resolve, if another candidate can.
    Python only."""
    jedi_seconds: float = Field(default=0.0, ge=0)
    """Seconds to wait for jedi, which resolves more attributes; 0 never asks it. Late answers are used for later
    keystrokes."""
    check_suffix: bool = True
    """Rank candidates by how likely the document's next lines are after them; for models without fill-in-the-middle."""
    show_following: bool = False
    """Put the next lines before those to continue, for models without fill-in-the-middle."""
    repair: bool = True
    """Remove what the document already has and repeated lines, and correct indentation and brackets."""
    lookup: int = Field(default=6, ge=0, le=15)
    """Maximum number of tokens guessed from the context and verified in one step: the same text, sooner."""
    threshold: float = Field(default=0.7, ge=0, le=1)
    """Suggestions below this confidence are not shown; an editor calibrates it on what its user accepts. With the
    default, about half of the lines shown are what was wanted (SmolLM2, unseen packages)."""
