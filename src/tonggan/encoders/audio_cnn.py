"""A convolutional network over the spectrum of a recording; if wanted, a transformer over the frames left of it."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import nn

from tonggan.encoders.audio_front_end import AudioFrontEnd, AudioFrontEndConfig, LogMelConfig
from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.present import encode_present
from tonggan.layers.activation import Activation
from tonggan.layers.masked_convolution import MaskedConvolution
from tonggan.layers.positions import sinusoidal_positions
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.modalities.audio import Audio
from tonggan.tokens import Arrays, Tokens


class AudioCNNConfig(EncoderConfig):
    """A front end and stages of 3x3 convolutions, the first of each stage halving frames and bands."""

    reads: ClassVar[str] = "audio"
    is_default: ClassVar[bool] = True
    free: ClassVar[tuple[str, ...]] = ("dropout", "pool", "width", "front_end.augment")
    kind: Literal["audio_cnn"] = "audio_cnn"
    front_end: AudioFrontEndConfig = LogMelConfig()
    """What the convolutions see."""
    channels: tuple[PositiveInt, ...] = Field(default=(32, 64, 128), min_length=1)
    """Channels of each stage."""
    convolutions: int = Field(default=2, ge=1)
    """Convolutions in each stage."""
    activation: Activation = "relu"
    """Activation after each convolution."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability before the projection, in training."""
    pool: Literal["frames", "mean"] = "frames"
    """Tokens of a recording: one for each remaining frame, or only their mean."""
    blocks: int = Field(default=0, ge=0)
    """Transformer blocks over the remaining frames (after Conformer, Gulati et al. 2020)."""
    num_heads: int = Field(default=4, ge=1)
    """Attention heads of each block; the width must be a multiple of them."""
    width: int | None = Field(default=None, ge=2)
    """Width of the blocks; null takes the model's own, any other is projected to it."""

    def build(self, modality: Audio, *, dim: int) -> nn.Module:
        """An encoder of that modality's recordings."""
        return AudioCNN(self, sample_rate=modality.config.sample_rate, dim=dim)


class AudioCNN(nn.Module):
    """Samples ``float32 [B, T]`` to Tokens ``[B, F', dim]``, or ``[B, 1, dim]`` pooled.

    Padding is kept at zero between the layers, which is what a convolution sees beyond the end of a clip alone.
    """

    ends = ("projection", "output")

    def __init__(self, config: AudioCNNConfig, *, sample_rate: int, dim: int) -> None:
        super().__init__()
        self.front_end = AudioFrontEnd(config.front_end, sample_rate=sample_rate)
        layers = []
        before, bands = 1, config.front_end.num_bands
        for channels in config.channels:
            for index in range(config.convolutions):
                stride = 2 if index == 0 else 1
                layers.append(MaskedConvolution(before, channels, stride=stride, activation=config.activation))
                before = channels
            bands = math.ceil(bands / 2)
        self.layers = nn.ModuleList(layers)
        self.dropout = nn.Dropout(config.dropout)
        width = config.width or dim
        self.projection = nn.Linear(before * bands, width)
        self.pooled = config.pool == "mean"
        self.transformer: Transformer | None = None
        if config.blocks:
            layers_config = TransformerConfig(
                num_layers=config.blocks, num_heads=config.num_heads, dropout=config.dropout
            )
            self.transformer = Transformer(width, config=layers_config)
        self.output = nn.Identity() if width == dim else nn.Linear(width, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only recordings that are there pass through the layers."""
        return encode_present(self.front_end(arrays), self._encode)

    def _encode(self, frames: Tokens) -> Tokens:
        values, mask = frames.values.unsqueeze(1), frames.mask  # [B, 1, F, bands]
        for layer in self.layers:
            values, mask = layer(values, mask)
        tokens = Tokens(values.transpose(1, 2).flatten(2), mask)  # [B, F', C * bands']
        if self.pooled:
            tokens = mean_pool(tokens)
        projected = self.projection(self.dropout(tokens.values))
        if not self.pooled:
            projected = projected + sinusoidal_positions(mask.shape[1], projected.shape[2], device=projected.device)
        if self.transformer is not None:
            projected = self.transformer(projected, tokens.mask)
        return Tokens(self.output(projected), tokens.mask)


def mean_pool(tokens: Tokens) -> Tokens:
    """``[B, 1, D]``: the mean of each row's real tokens; a row without any stays absent."""
    return Tokens(tokens.mean().unsqueeze(1), tokens.present.unsqueeze(1))
