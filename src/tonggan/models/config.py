"""The model as data: which encoder reads each input, how they are fused, what the head is.

Inputs without a declared encoder get their modality's default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, model_validator

from tonggan.config import Config
from tonggan.decoders import Answer, HeadConfig, LanguageHead, LinearHeadConfig
from tonggan.encoders import EncoderConfig, default_encoder
from tonggan.encoders.text_language import TextLanguage
from tonggan.errors import ConfigError
from tonggan.fusion import FusionConfig, default_fusion
from tonggan.modalities.base import Modality
from tonggan.models.fused import FusedModel

# Of layers and heads, and of widths and lengths: with more, building would take all memory, or not end.
_MAX_COUNT, _MAX_SIZE = 1_024, 1 << 20


class ModelConfig(Config):
    """Encoders, fusion and head of a fused model."""

    dim: int = Field(default=128, ge=8, multiple_of=8)
    """Width of the Tokens that encoders hand to the fusion."""
    encoders: dict[str, EncoderConfig] = Field(default_factory=dict)
    """Encoder of each input, by the input's name; 'table' reads all number and category columns."""
    fusion: FusionConfig = Field(default_factory=default_fusion)
    """How the inputs' Tokens become one."""
    head: HeadConfig = LinearHeadConfig()
    """How the fused Tokens become a prediction; tasks whose answer is not a vector have another default."""
    modality_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Probability that a present input of a training row is hidden, so that the model learns to do without it."""

    @model_validator(mode="after")
    def _can_be_built(self) -> ModelConfig:
        for path, number in _integers(self.to_dict()):
            most = _MAX_COUNT if path.rpartition(".")[2].startswith("num_") else _MAX_SIZE
            if number > most:
                raise ValueError(f"{path} is {number}, and at most {most} can be built")
        return self

    def resolve(self, modalities: Mapping[str, Modality[Any]]) -> ModelConfig:
        """The same with an encoder for each input.

        Raises:
            ConfigError: an encoder is declared for an input that does not exist or is of another modality.
        """
        unknown = set(self.encoders) - set(modalities)
        if unknown:
            raise ConfigError(
                "model.encoders",
                got=", ".join(sorted(unknown)),
                expected="names among the inputs " + ", ".join(modalities),
                remedy="Correct the name, or declare the column's kind under 'columns'",
            )
        encoders = {
            name: self.encoders.get(name) or self.fusion.encoder_for(modality.kind) or default_encoder(modality.kind)
            for name, modality in modalities.items()
        }
        for name, modality in modalities.items():
            _check_reads(encoders[name], name, modality.kind)
        return self.model_copy(update={"encoders": encoders})

    def build(self, modalities: Mapping[str, Modality[Any]], *, answer: Answer) -> FusedModel:
        """The model with new random weights (from torch's global generator).

        Args:
            modalities: by input name, fitted.
            answer: what the task asks of the head.

        Raises:
            ConfigError: as ``resolve``; or the head cannot do the task.
        """
        configs = self.resolve(modalities).encoders
        encoders = {name: configs[name].build(modality, dim=self.dim) for name, modality in modalities.items()}
        fusion = self.fusion.build(tuple(modalities), dim=self.dim)
        self._check_head(type(answer))
        head = self.head.build(self.dim, answer=answer, encoders=encoders)
        for encoder in encoders.values():
            if isinstance(encoder, TextLanguage):
                if not isinstance(head, LanguageHead):
                    raise ConfigError(
                        "encoder text_language",
                        got=f"a head of kind '{self.head.kind}'",
                        expected="a language head, whose words the text is read in",
                        remedy="Use the encoder text_transformer",
                    )
                encoder.read_as(head.model.embed)
        return FusedModel(encoders, fusion=fusion, head=head, modality_dropout=self.modality_dropout)

    def _check_head(self, answer: type[Answer]) -> None:
        """Raise ConfigError where the head gives no such answer."""
        if self.head.gives is not answer:
            fitting = [f"'{kind}'" for kind, config in HeadConfig.family().items() if config.gives is answer]
            raise ConfigError(
                "model.head",
                got=f"kind '{self.head.kind}'",
                expected=f"{' or '.join(fitting)} for this task",
                remedy="Leave model.head out to get the task's own",
            )


def _integers(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _integers(value, f"{prefix}{key}.")
        elif isinstance(value, int):
            yield f"{prefix}{key}", value


def _check_reads(encoder: EncoderConfig, name: str, modality: str) -> None:
    if encoder.reads != modality:
        kinds = [f"'{kind}'" for kind, config in EncoderConfig.family().items() if config.reads == modality]
        raise ConfigError(
            f"model.encoders.{name}",
            got=f"kind '{encoder.kind}' for an input of kind '{modality}'",
            expected=f"one of {', '.join(kinds)}",
            remedy=f"Choose one that reads {modality}, or declare another kind for the column",
        )
