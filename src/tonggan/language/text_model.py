"""A language model as others use it, whatever engine computes: texts and conversations in, texts out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tonggan.errors import ConfigError, DataError
from tonggan.language.chat import ChatTemplate, Message, TextPart
from tonggan.language.prompt import Generation, Piece, Prompt
from tonggan.language.settings import GenerationConfig
from tonggan.language.tools import Tool
from tonggan.progress import Progress

Capability = Literal["beams", "lookup", "log_probabilities", "embeddings"]
"""What not every model can: beam search, drafts by lookup, log-probabilities of a prompt, and prompts in which
embeddings of pictures, sounds or tables stand beside token ids."""


_AT_ONCE = 4
"""Texts that are sampled at the same time, from as many threads."""


class TextModel(ABC):
    """A name, a vocabulary, a chat template, and a context of some length; texts go on piece by piece or many at once.

    Attributes:
        capabilities: what it can do beside.
        name: what the model is called in messages and answers.
        max_length: tokens that prompt and continuation may have together.
        reads: who it is that reads text only, for messages.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    name: str
    max_length: int
    reads = "this model"

    @abstractmethod
    def stream(
        self, prompt: Prompt, settings: GenerationConfig, *, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Piece]:
        """The continuation as it grows.

        It stops without a finish once ``cancelled`` answers True. To stop asking for more is enough, too.

        Raises:
            ConfigError: a setting that the model lacks, or a regular expression or schema that cannot be enforced.
            DataError: the prompt leaves no room in the context.
        """

    @abstractmethod
    def generate(
        self, prompts: Sequence[Prompt], settings: GenerationConfig, *, progress: Progress | None = None
    ) -> list[Generation]:
        """The continuation of each prompt, as ``stream`` gives it, many at a time; it raises what that raises."""

    def sample(
        self, prompt: Prompt, settings: Sequence[GenerationConfig], *, ended: Callable[[str], bool] = lambda _: False
    ) -> list[Generation]:
        """Several texts after one prompt, which is read once where the engine can.

        Args:
            prompt: what all of them continue.
            settings: of each text; none with beams.
            ended: told each text as it grows; where it answers True, the text is over.

        Raises:
            ConfigError, DataError: as ``stream``.
        """
        with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(settings)))) as pool:
            return list(pool.map(lambda each: _until(ended, self.stream(prompt, each)), settings))

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> Tensor:
        """``[N, D]`` float32: the mean of each text's last hidden states.

        Raises:
            DataError: a text is empty, or longer than the context.
        """

    def log_probabilities(self, prompt: Prompt) -> list[float]:
        """The natural log-probability of each position after the first, given all before it; NaN where no text is.

        Raises:
            ConfigError: the model lacks this capability.
            DataError: the prompt is longer than the context.
        """
        raise self._lacks("log_probabilities", got=f"a prompt of {prompt.length} tokens to rate")

    @abstractmethod
    def encode(self, text: str, *, start: bool = False, special: bool = False) -> list[int]:
        """Token ids; ``start`` adds what a text begins with, ``special`` reads control tokens where they are named."""

    @abstractmethod
    def chat_template(self) -> ChatTemplate:
        """How conversations are written."""

    def prompt(self, text: str | Sequence[Message], *, tools: Sequence[Tool] = (), begun: str = "") -> Prompt:
        """A text to continue, or a conversation to answer, in the model's own form.

        Args:
            text: the text, or the conversation.
            tools: that may be called in the answer.
            begun: what the answer begins with, as the model's template would write it.

        Raises:
            DataError: nothing to continue, or a message with more than text.
        """
        ids = self.encode(text, start=True) if isinstance(text, str) else self._conversation(text, tools)
        ids += self.encode(begun, special=True)
        if not ids:
            raise DataError(
                f"prompt for {self.name}", got="no text", expected="at least one token", remedy="Write something"
            )
        return Prompt((torch.tensor(ids),))

    def _conversation(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        ids: list[int] = []
        for piece in self.chat_template().split(messages, tools=tools):
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

    def check(self, prompt: Prompt, settings: GenerationConfig) -> None:
        """Nothing, where the model can do what is asked; for ``stream`` and ``generate`` to begin with.

        Raises:
            ConfigError: a setting or prompt asks for what is not among the capabilities.
            DataError: the prompt leaves no room in the context.
        """
        asked: dict[Capability, tuple[bool, str]] = {
            "beams": (settings.num_beams > 1, f"num_beams = {settings.num_beams}"),
            "lookup": (settings.lookup > 0, f"lookup = {settings.lookup}"),
            "embeddings": (any(part.dim() == 2 for part in prompt.parts), "embeddings of other inputs"),
        }
        for capability, (is_asked, got) in asked.items():
            if is_asked and capability not in self.capabilities:
                raise self._lacks(capability, got=got)
        self._check_length(prompt.length, limit=self.max_length - 1)

    def _lacks(self, capability: Capability, *, got: str) -> ConfigError:
        return ConfigError(
            f"generation by {self.name}",
            got=got,
            expected=f"a request without {capability}, which {self.reads} lacks",
            remedy="Leave it out, or open the model with another engine",
        )

    def _check_length(self, length: int, *, limit: int) -> None:
        if length > limit:
            raise DataError(
                f"prompt for {self.name}",
                got=f"{length} tokens",
                expected=f"at most {limit} of the {self.max_length} that the context holds",
                remedy="Shorten the text or drop early turns of the conversation",
            )


def _until(ended: Callable[[str], bool], pieces: Iterator[Piece]) -> Generation:
    """A whole text of ``pieces``, of which no more are asked for once it has ended."""
    text, ids, logprobs, finish = "", [], [], None
    for piece in pieces:
        text += piece.text
        ids += piece.token_ids
        logprobs += piece.logprobs
        finish = "stop" if piece.finish is None and ended(text) else piece.finish
        if finish is not None:
            break
    return Generation(text, ids, logprobs, finish or "length")
