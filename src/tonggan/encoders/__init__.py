"""Encoders: arrays of one modality to Tokens of the model's width. One file for each; none knows another."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from tonggan.config import infer_kind
from tonggan.encoders.audio_cnn import AudioCNNConfig
from tonggan.encoders.audio_transformer import AudioTransformerConfig
from tonggan.encoders.image_cnn import ImageCNNConfig
from tonggan.encoders.image_resnet import ImageResNetConfig
from tonggan.encoders.table import TableEncoderConfig
from tonggan.encoders.text_language import TextLanguageConfig
from tonggan.encoders.text_transformer import TextTransformerConfig
from tonggan.errors import ConfigError

EncoderConfig = Annotated[
    ImageCNNConfig
    | ImageResNetConfig
    | TextTransformerConfig
    | TextLanguageConfig
    | AudioCNNConfig
    | AudioTransformerConfig
    | TableEncoderConfig,
    Field(discriminator="kind"),
    BeforeValidator(
        infer_kind(
            ImageCNNConfig,
            ImageResNetConfig,
            TextTransformerConfig,
            TextLanguageConfig,
            AudioCNNConfig,
            AudioTransformerConfig,
            TableEncoderConfig,
        )
    ),
]

_DEFAULTS: dict[str, type[EncoderConfig]] = {
    "image": ImageResNetConfig,
    "text": TextTransformerConfig,
    "audio": AudioCNNConfig,
    "table": TableEncoderConfig,
}


def default_encoder(modality_kind: str) -> EncoderConfig:
    """The encoder that a modality gets when a recipe names none.

    Raises:
        ConfigError: there is no encoder of that modality.
    """
    if modality_kind not in _DEFAULTS:
        raise ConfigError(
            "encoder",
            got=f"an input of kind '{modality_kind}'",
            expected=f"one of {', '.join(_DEFAULTS)}",
            remedy="Declare the input as one of these kinds",
        )
    return _DEFAULTS[modality_kind]()


__all__ = [
    "AudioCNNConfig",
    "AudioTransformerConfig",
    "EncoderConfig",
    "ImageCNNConfig",
    "ImageResNetConfig",
    "TableEncoderConfig",
    "TextLanguageConfig",
    "TextTransformerConfig",
    "default_encoder",
]
