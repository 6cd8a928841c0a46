"""Tasks whose prediction is a text: caption, answer, transcribe, translate and chat.

They differ in what they are called and in the metric that chooses the weights. The task holds the tokenizer, which is
trained on the training part's texts or is that of a pretrained language model; the head writes, ``TextMeasure``
measures.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tonggan.cells import is_missing
from tonggan.config import Config
from tonggan.decoders import LanguageHeadConfig
from tonggan.decoders.answers import PAD, TARGET, Answer, Writing
from tonggan.decoders.ctc import target_ids
from tonggan.encoders.text_language import TextLanguageConfig
from tonggan.errors import DataError
from tonggan.fusion import PrefixConfig
from tonggan.language.pretrained import load_pretrained, load_tokenizer
from tonggan.language.tokenizer import Tokenizer
from tonggan.modalities import ColumnConfig, TextConfig
from tonggan.models import ModelConfig
from tonggan.tasks.base import CellTarget, Task, TaskConfig
from tonggan.tasks.text_metrics import LOWER_IS_BETTER, TextMeasure, TextMetricName, require_packages
from tonggan.tokens import Arrays, Prediction
from tonggan.wording import Words


class TextTaskConfig(TaskConfig):
    """What all tasks that write a text have in common."""

    asks: ClassVar[type[Answer]] = Writing
    words: ClassVar[Words]
    """What the task is called."""

    kind: str
    vocab_size: int = Field(default=8_000, ge=300)
    """Maximum size of the vocabulary, in tokens; few texts yield fewer."""
    max_tokens: int | None = Field(default=None, ge=2)
    """Maximum number of tokens of a text; longer ones are cut in training. Null takes the longest of the training part.
    """
    language: str | None = None
    """Pretrained language model whose tokens are used; follows the head's 'base'."""
    score: TextMetricName
    """The metric for choosing the weights and for the audit."""

    def complete(
        self, model: ModelConfig, columns: Mapping[str, ColumnConfig], *, target: Sequence[str]
    ) -> tuple[ModelConfig, Self, dict[str, ColumnConfig]]:
        """Also a prefix to read, and with a pretrained decoder its vocabulary for all that is read and written."""
        model, _, _ = super().complete(model, columns, target=target)
        head = model.head
        fusion = model.fusion if "fusion" in model.model_fields_set else PrefixConfig()
        changed: dict[str, Any] = {"fusion": fusion}
        if not isinstance(head, LanguageHeadConfig) or head.base is None:
            return model.model_copy(update=changed), self, dict(columns)
        spoken = {
            name: config.model_copy(update={"language": head.base})
            for name, config in columns.items()
            if isinstance(config, TextConfig)
            and name not in target
            and isinstance(model.encoders.get(name, TextLanguageConfig()), TextLanguageConfig)
        }
        changed["encoders"] = {**model.encoders, **dict.fromkeys(spoken, TextLanguageConfig())}
        pretrained = load_pretrained(head.base)
        if isinstance(fusion, PrefixConfig):
            settings: dict[str, Any] = {"verbatim": list(spoken)}
            if "scale" not in fusion.model_fields_set:
                settings["scale"] = pretrained.embedding_scale
            changed["fusion"] = fusion.model_copy(update=settings)
        if "dim" not in model.model_fields_set:
            changed["dim"] = pretrained.config.hidden_size
        return model.model_copy(update=changed), self.model_copy(update={"language": head.base}), {**columns, **spoken}

    def build(self) -> TextTask:
        """The task, to be fitted."""
        return TextTask(self)


class CaptionConfig(TextTaskConfig):
    """Say what is there."""

    words = Words("caption", "图片描述")
    kind: Literal["caption"] = "caption"
    score: TextMetricName = "chrf"


class AnswerConfig(TextTaskConfig):
    """Answer a question about the other columns."""

    words = Words("answer", "问答")
    kind: Literal["answer"] = "answer"
    score: TextMetricName = "exact_match"


class TranscribeConfig(TextTaskConfig):
    """Write down what is said."""

    words = Words("transcribe", "语音转写")
    kind: Literal["transcribe"] = "transcribe"
    score: TextMetricName = "wer"


class TranslateConfig(TextTaskConfig):
    """Say the same in another language."""

    words = Words("translate", "翻译")
    kind: Literal["translate"] = "translate"
    score: TextMetricName = "bleu"


class ChatConfig(TextTaskConfig):
    """Reply to a message, with whatever is attached to it."""

    words = Words("chat", "对话")
    kind: Literal["chat"] = "chat"
    score: TextMetricName = "token_f1"


class TextTask(Task):
    """A text for each row.

    Targets are int64 ``[B, T]`` token ids, each row ended; a Prediction has ``ids``, and ``nll`` and ``num_tokens`` of
    the target where it was known.

    Attributes:
        kind: what the text is to the row, which is all that such tasks differ in beside ``score_name``.
        tokenizer: between texts and ids.
        max_tokens: T.
        most_common: the most common text of the training part.
    """

    config: TextTaskConfig
    constant_words = Words("always the most common text", "总是输出最常见的文本")
    # To write a text takes a pass through a decoder for each token, and the audit writes many for a row.
    max_audited_rows = max_audited_passes = 1_000

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.kind = self.config.kind
        self.words = self.config.words
        self.score_name = self.config.score
        self.greater_is_better = self.score_name not in LOWER_IS_BETTER
        self._tokenizer = None if self.config.language is None else load_tokenizer(self.config.language)
        self.max_tokens = self.config.max_tokens or 0
        self.most_common = ""

    @property
    def tokenizer(self) -> Tokenizer:
        assert self._tokenizer is not None, "the task is used before fit"
        return self._tokenizer

    @property
    def answer(self) -> Writing:
        start = self.tokenizer.start if self.config.language is None else None
        return Writing(self.tokenizer.size, self.tokenizer.ends, self.max_tokens, start)

    @property
    def target(self) -> CellTarget:
        return CellTarget(self.config, self._token_ids)

    def fit(self, values: Iterable[Any]) -> None:
        require_packages()
        for_tokens, for_lengths, for_counts = itertools.tee(values, 3)
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.train(
                (str(value) for value in for_tokens if not is_missing(value)), vocab_size=self.config.vocab_size
            )
        longest = max((len(self._ids(value)) for value in for_lengths if not is_missing(value)), default=0)
        if longest < 2:
            raise DataError(
                f"{self.kind} target",
                got="no text in any row",
                expected="texts to learn from",
                remedy="Choose another target column",
            )
        self.max_tokens = self.config.max_tokens or longest
        counts = Counter(str(value).strip() for value in for_counts if not is_missing(value))
        ((self.most_common, _),) = counts.most_common(1)

    def _ids(self, value: Any) -> list[int]:
        return [*self.tokenizer.encode(str(value).strip()), self.tokenizer.ends[0]]

    def _token_ids(self, values: Sequence[Any]) -> Arrays:
        missing = [row for row, value in enumerate(values) if is_missing(value)]
        self._reject_rows(
            missing, problem="no text", expected="a text in every row", remedy="Fill in or remove these rows"
        )
        target = torch.full((len(values), self.max_tokens), PAD, dtype=torch.int64)
        for row, value in enumerate(values):
            ids = self._ids(value)[: self.max_tokens]
            target[row, : len(ids)] = torch.tensor(ids)
        return Arrays(target, target != PAD)

    def decode(self, prediction: Prediction) -> list[Any]:
        return self._texts(prediction["ids"])

    def _texts(self, ids: Tensor) -> list[Any]:
        ends = set(self.tokenizer.ends)
        rows = [list(itertools.takewhile(lambda token: token not in ends, row)) for row in ids.tolist()]
        return [self.tokenizer.decode([token for token in row if token != PAD]).strip() for row in rows]

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> TextMeasure:
        losses = np.full((len(prediction), 2), (np.nan, 0.0))
        if "nll" in prediction:
            losses = torch.stack([prediction["nll"], prediction["num_tokens"]], dim=1).double().numpy()
        rows = {
            "written": np.array(self.decode(prediction), dtype=object),
            "truth": np.array(self.describe_targets(targets), dtype=object),
            "losses": losses,
        }
        return TextMeasure(rows, self.score_name, self.greater_is_better)

    def constant(self, num_rows: int) -> Prediction:
        """The most frequent text of the training part."""
        ids = self._token_ids([self.most_common]).values.expand(num_rows, -1)
        return Prediction({"ids": ids, "nll": torch.zeros(num_rows), "num_tokens": torch.zeros(num_rows)})

    def describe(self, prediction: Prediction) -> list[str]:
        return self.decode(prediction)

    def describe_targets(self, targets: Mapping[str, Arrays]) -> list[str]:
        return self._texts(target_ids(targets[TARGET]))

    def state(self) -> dict[str, Any]:
        tokenizer = None if self.config.language is not None else self.tokenizer.state()
        own = {"max_tokens": self.max_tokens, "tokenizer": tokenizer, "constant": self.most_common}
        return super().state() | own

    @classmethod
    def load(cls, config: Config, state: dict[str, Any]) -> Self:
        task = super().load(config, state)
        task.max_tokens = int(state["max_tokens"])
        if state["tokenizer"] is not None:
            task._tokenizer = Tokenizer.load(state["tokenizer"])
        constant = state["constant"]
        if isinstance(constant, list):  # The first format of bundles has its ids behind two other numbers.
            constant = task._texts(torch.tensor([constant[2:]]).long())[0]
        task.most_common = str(constant)
        return task
