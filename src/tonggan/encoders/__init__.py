"""Encoders: arrays of one modality to Tokens of the model's width. One file for each; none knows another."""

from __future__ import annotations

from tonggan.encoders.audio_cnn import AudioCNNConfig
from tonggan.encoders.audio_pretrained import AudioPretrainedConfig
from tonggan.encoders.audio_transformer import AudioTransformerConfig
from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.image_cnn import ImageCNNConfig
from tonggan.encoders.image_pretrained import ImagePretrainedConfig
from tonggan.encoders.image_resnet import ImageResNetConfig
from tonggan.encoders.table import TableEncoderConfig
from tonggan.encoders.text_language import TextLanguageConfig
from tonggan.encoders.text_pretrained import TextPretrainedConfig
from tonggan.encoders.text_transformer import TextTransformerConfig
from tonggan.encoders.video_cnn_rnn import VideoCNNRNNConfig
from tonggan.encoders.video_tubelets import VideoTubeletsConfig
from tonggan.errors import ConfigError
from tonggan.parts import import_modules


def default_encoder(modality_kind: str) -> EncoderConfig:
    """The encoder that a modality gets when a recipe names none.

    Raises:
        ConfigError: there is no encoder of that modality.
    """
    family = EncoderConfig.family().values()
    fitting = [config for config in family if config.reads == modality_kind]
    if not fitting:
        raise ConfigError(
            "encoder",
            got=f"an input of kind '{modality_kind}'",
            expected=f"one of {', '.join(dict.fromkeys(config.reads for config in family))}",
            remedy="Declare the input as one of these kinds",
        )
    return next((config for config in fitting if config.is_default), fitting[0]).model_validate({})


import_modules(__name__)

__all__ = [
    "AudioCNNConfig",
    "AudioPretrainedConfig",
    "AudioTransformerConfig",
    "EncoderConfig",
    "ImageCNNConfig",
    "ImagePretrainedConfig",
    "ImageResNetConfig",
    "TableEncoderConfig",
    "TextLanguageConfig",
    "TextPretrainedConfig",
    "TextTransformerConfig",
    "VideoCNNRNNConfig",
    "VideoTubeletsConfig",
    "default_encoder",
]
