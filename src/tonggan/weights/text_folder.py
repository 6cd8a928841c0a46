"""A text encoder in a folder of Hugging Face's layout, with what sentence-transformers adds to it.

It builds no network.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from tonggan.errors import ConfigError
from tonggan.stored import DOWNLOAD, Record, named, read_record
from tonggan.weights.folder import WeightsFolder

if TYPE_CHECKING:
    import tokenizers


class _Lengths(Record):
    """What of ``sentence_bert_config.json`` is read."""

    max_seq_length: int | None = Field(default=None, ge=3)


class _Prompts(Record):
    """What of ``config_sentence_transformers.json`` is read."""

    prompts: dict[str, str] = Field(default_factory=dict)
    default_prompt_name: str | None = None
    temperature: float = Field(default=0.05, gt=0)


class _Pooling(Record, extra="allow"):
    """The content of ``1_Pooling/config.json``."""

    pooling_mode_mean_tokens: bool = False


class TextFolder(WeightsFolder):
    """The encoder in the folder ``path``; what is large is read when it is asked for.

    Attributes:
        max_tokens: of a text, if the folder says so.
        prompt: stands before every text, as the encoder was trained to.
        passage_prompt: stands before what a question is to find; the same where the folder names no other.
        temperature: that cosines were divided by in training; where the folder says nothing, as
            sentence-transformers trains.

    Raises:
        ConfigError: there is no such folder.
        DataError: it holds no model, or a damaged one.
    """

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        super().__init__(path, name=name, names=("minilm", "e5"))
        lengths, told = path / "sentence_bert_config.json", path / "config_sentence_transformers.json"
        self.max_tokens = read_record(_Lengths, lengths, remedy=DOWNLOAD, is_optional=True).max_seq_length
        prompts = read_record(_Prompts, told, remedy=DOWNLOAD, is_optional=True)
        self.prompt = prompts.prompts.get(prompts.default_prompt_name or "", "")
        self.passage_prompt = prompts.prompts.get("passage", self.prompt)
        self.temperature = prompts.temperature

    @cached_property
    def tokenizer(self) -> tokenizers.Tokenizer:
        """The vocabulary, and what opens and closes a text.

        Raises:
            DataError: there is none, or it is damaged.
        """
        import tokenizers

        file = self.path / "tokenizer.json"
        with named(f"file {file}", expected="a tokenizer in JSON", remedy=DOWNLOAD):
            library = tokenizers.Tokenizer.from_str(file.read_text(encoding="utf-8"))
            library.encode("a")  # what opens and closes a text may be wrong, too
            highest = max(library.get_vocab().values(), default=0)
            size = self.config.get("vocab_size", highest + 1)
            if highest >= size:
                raise ValueError(f"token id {highest}, where the model has embeddings of {size:,}")
            return library

    def check_mean_pooling(self) -> None:
        """See that a text's vector is the mean of its tokens.

        Raises:
            ConfigError: it is another one.
        """
        file = self.path / "1_Pooling" / "config.json"
        pooling = (
            read_record(_Pooling, file, remedy=DOWNLOAD).model_dump()
            if file.is_file()
            else {"pooling_mode_mean_tokens": True}
        )
        modes = sorted(key for key, value in pooling.items() if key.startswith("pooling_mode") and value is True)
        if modes != ["pooling_mode_mean_tokens"]:
            raise ConfigError(
                f"folder {self.path}",
                got=", ".join(modes) or "no pooling",
                expected="pooling_mode_mean_tokens alone",
                remedy="Choose a model whose vector is the mean of its tokens",
            )
