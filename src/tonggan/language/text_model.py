"""What a language model makes of texts and conversations before any engine computes, the same for every engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from tonggan.errors import DataError
from tonggan.language.chat import ChatTemplate, Message, TextPart
from tonggan.language.prompt import Prompt


class TextModel(ABC):
    """A name, a vocabulary, a chat template, and a context of some length.

    Attributes:
        name: what the model is called in messages and answers.
        max_length: tokens that prompt and continuation may have together.
        reads: who it is that reads text only, for messages.
    """

    name: str
    max_length: int
    reads = "this model"

    @abstractmethod
    def encode(self, text: str, *, start: bool = False, special: bool = False) -> list[int]:
        """Token ids; ``start`` adds what a text begins with, ``special`` reads control tokens where they are named."""

    @abstractmethod
    def _chat_template(self) -> ChatTemplate:
        """How conversations are written."""

    def prompt(self, text: str | Sequence[Message]) -> Prompt:
        """A text to continue, or a conversation to answer, in the model's own form.

        Raises:
            DataError: nothing to continue, or a message with more than text.
        """
        ids = self.encode(text, start=True) if isinstance(text, str) else self._conversation(text)
        if not ids:
            raise DataError(
                f"prompt for {self.name}", got="no text", expected="at least one token", remedy="Write something"
            )
        return Prompt((torch.tensor(ids),))

    def _conversation(self, messages: Sequence[Message]) -> list[int]:
        ids: list[int] = []
        for piece in self._chat_template().split(messages):
            if isinstance(piece, str):
                ids += self.encode(piece, special=True)
            elif isinstance(piece, TextPart):
                ids += self.encode(piece.text)
            else:
                raise DataError(
                    f"message for {self.name}",
                    got=type(piece).__name__,
                    expected=f"text only, which is all that {self.reads} reads",
                    remedy="Leave pictures and sounds out, or use a model that was trained with them",
                )
        return ids

    def _check_length(self, length: int, *, limit: int) -> None:
        if length > limit:
            raise DataError(
                f"prompt for {self.name}",
                got=f"{length} tokens",
                expected=f"at most {limit} of the {self.max_length} that the context holds",
                remedy="Shorten the text or drop early turns of the conversation",
            )
