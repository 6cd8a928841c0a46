"""Completion at a cursor: from a document to suggestions. It knows no editor and keeps no history of acceptance."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from tonggan.codelm.completion.config import CompletionConfig
from tonggan.codelm.completion.document import Document, Suggestion
from tonggan.codelm.workspace import Workspace
from tonggan.language.infill import InfillTokens
from tonggan.language.model import LanguageModel
from tonggan.language.prompt import Prompt
from tonggan.language.settings import GenerationConfig

_CHARACTERS_OF_A_TOKEN = 3


class Completer:
    """Suggests what comes at a cursor.

    Args:
        model: writes code.
        workspace: the files around.
        config: how.
        infill: control tokens of a model that was trained to fill in; None for one that only continues.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        workspace: Workspace,
        config: CompletionConfig | None = None,
        infill: InfillTokens | None = None,
    ) -> None:
        self.model = model
        self.workspace = workspace
        self.config = config or CompletionConfig()
        self.infill = infill

    def complete(
        self,
        document: Document,
        offset: int,
        *,
        cancelled: Callable[[], bool] = lambda: False,
        selected: str | None = None,
    ) -> list[Suggestion]:
        """Suggestions, the best first; none where nothing is sure, or once ``cancelled`` answers True.

        Args:
            document: what is edited.
            offset: of the cursor, in characters.
            cancelled: asked after every token.
            selected: what an open list of proposals would write at the cursor; a suggestion begins with it.
        """
        before = document.text[:offset] + (selected or "")
        ids = self.model.tokenizer.encode(before[-self.config.context_tokens * _CHARACTERS_OF_A_TOKEN :])
        settings = GenerationConfig(max_tokens=self.config.max_line_tokens, stop=["\n"], logprobs=0, lookup=4)
        text, logprobs = "", []
        for piece in self.model.stream(Prompt((torch.tensor(ids),)), settings, cancelled=cancelled):
            text += piece.text
            logprobs += [each.logprob for each in piece.logprobs]
            if cancelled():
                return []
        if not text.strip():
            return []
        confidence = math.exp(sum(logprobs) / len(logprobs))
        return [Suggestion((selected or "") + text, offset, offset, confidence)]
