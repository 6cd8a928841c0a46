"""A finished run that writes text as a partner in conversation: messages with pictures and sounds become its prompt.

A decoder with a chat template reads the whole conversation. One without has only ever seen single rows, so it answers
each message by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from tonggan.decoders import LanguageHead
from tonggan.errors import BundleError, DataError
from tonggan.evaluation.predict import evaluating
from tonggan.language.chat import AudioPart, ChatTemplate, ImagePart, Message, Part, TextPart
from tonggan.language.engine import Engine
from tonggan.language.model import LanguageModel
from tonggan.language.opening import AUTO, engine_for
from tonggan.language.prompt import Prompt
from tonggan.modalities import MediaModality
from tonggan.progress import Progress
from tonggan.runs.bundle import Bundle
from tonggan.tasks import TextTask
from tonggan.tokens import Tokens

_KINDS = {TextPart: "text", ImagePart: "image", AudioPart: "audio"}


class Speaker:
    """A bundle whose head is a language decoder.

    Args:
        bundle: the run.
        engine: decodes with the weights of its head.
        name: what it is called.

    Attributes:
        model: the decoder as a language model.
    """

    def __init__(self, bundle: Bundle, *, engine: Engine, name: str) -> None:
        assert isinstance(bundle.task, TextTask)
        network = bundle.network
        assert network is not None, "a task of texts is a network's"
        assert isinstance(network.head, LanguageHead)
        self.bundle, self.network, self.head = bundle, network, network.head
        self.model = LanguageModel(engine, bundle.task.tokenizer, name=name)

    def prompt(self, text: str | Sequence[Message]) -> Prompt:
        """A message, or a conversation, with what is attached to it.

        Raises:
            DataError: a message holds what the model cannot read, or more of it than one of a kind.
            UnreadableError: a picture or a recording cannot be decoded.
        """
        messages = [Message("user", text)] if isinstance(text, str) else list(text)
        if self.head.config.base is None or self.head.config.template == "none":
            parts = [part for part in messages[-1].parts if not isinstance(part, TextPart) or part.text.strip()]
            context = self.head.prefix(self._row(parts))
            return Prompt((context.values[0],))
        tokenizer = self.model.tokenizer
        pieces: list[Tensor] = []
        turns = ChatTemplate.of(tokenizer).split(messages)
        for is_control, group in groupby(turns, key=lambda piece: isinstance(piece, str)):
            if is_control:
                pieces += [torch.tensor(tokenizer.encode("".join(map(str, group)), special=True))]
            else:
                pieces += self._content([part for part in group if not isinstance(part, str)])
        return Prompt(tuple(piece for piece in pieces if len(piece)))

    def _content(self, parts: Sequence[Part]) -> list[Tensor]:
        """What one message says: ids of a text, or embeddings of all its parts together."""
        if all(isinstance(part, TextPart) for part in parts):
            text = "".join(part.text for part in parts if isinstance(part, TextPart)).strip()
            return [torch.tensor(self.model.tokenizer.encode(text), dtype=torch.int64)]
        fused = self._row(parts)
        return [fused.values[0][fused.mask[0]]]

    def _row(self, parts: Iterable[Part]) -> Tokens:
        """The parts of one message as one row of the table that the model learned from, ``[1, L, D]``."""
        given: dict[str, list[Any]] = {}
        for part in parts:
            given.setdefault(_KINDS[type(part)], []).append(part.text if isinstance(part, TextPart) else part.content)
        row: dict[str, Any] = {}
        for name, modality in self.bundle.modalities.items():
            values = given.pop(modality.kind, [])
            if values and all(isinstance(value, str) for value in values):
                values = ["".join(values)]
            if len(values) > 1:
                raise DataError(
                    f"message to {self.model.name}",
                    got=f"{len(values)} parts of kind {modality.kind}",
                    expected="at most one in a message",
                    remedy="Send them in messages of their own",
                )
            if values:
                row[name] = modality.open(values[0]) if isinstance(modality, MediaModality) else values[0]
        if given:
            raise DataError(
                f"message to {self.model.name}",
                got=f"a part of kind {', '.join(given)}",
                expected="parts of kind " + ", ".join(part.kind for part in self.bundle.modalities.values()),
                remedy="Leave it out: the model was not trained to read it",
            )
        model = self.network
        with evaluating(model):
            return model.fuse(model.encode(self.bundle.collate([row])))


def open_speaker(
    run: str | Path,
    *,
    engine: str = AUTO,
    bits: Literal[4, 8] | None = None,
    progress: Progress | None = None,
) -> Speaker:
    """The finished run in the folder ``run`` as a partner in conversation.

    Args:
        run: of a task that writes text through a language head.
        engine: what decodes; auto takes ``native`` where it can.
        bits: of each weight, for ``native``; None is 8.
        progress: told which engine it is.

    Raises:
        BundleError: the run cannot be loaded, or does not write text through a language decoder.
    """
    bundle = Bundle.load(Path(run))
    head = None if bundle.network is None else bundle.network.head
    if not isinstance(head, LanguageHead):
        raise BundleError(
            f"run {run}",
            got=f"a run of the task '{bundle.task.kind}' with a head of kind '{bundle.recipe.model.head.kind}'",
            expected="one that writes text through a language decoder",
            remedy="Use 'tonggan predict' with it",
        )
    chosen = engine_for(head.merged(), engine=engine, bits=bits, progress=progress)
    return Speaker(bundle, engine=chosen, name=Path(run).name)
