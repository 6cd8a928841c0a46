"""A conformer over the spectrum of a recording: attention for what is far apart, convolutions for what is near."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt, field_validator
from torch import Tensor, nn

from tonggan.encoders.audio_front_end import AudioFrontEnd, AudioFrontEndConfig, LogMelConfig
from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.present import encode_present
from tonggan.layers.attention import Attention
from tonggan.layers.batch_norm import BatchNorm
from tonggan.layers.masked_convolution import MaskedConvolution
from tonggan.layers.positions import sinusoidal_positions
from tonggan.layers.real_tokens import add_to_real
from tonggan.layers.transformer import TransformerConfig
from tonggan.modalities.audio import Audio
from tonggan.tokens import Arrays, Tokens


class AudioConformerConfig(TransformerConfig, EncoderConfig):
    """Convolutions that shorten the spectrum, then conformer blocks (Gulati et al. 2020)."""

    reads: ClassVar[str] = "audio"
    free: ClassVar[tuple[str, ...]] = ("dropout", "width", "front_end.augment")
    kind: Literal["audio_conformer"] = "audio_conformer"
    front_end: AudioFrontEndConfig = LogMelConfig()
    """What the convolutions see, with SpecAugment in training."""
    channels: tuple[PositiveInt, ...] = (32, 32)
    """Channels of the convolutions before the blocks; each halves frames and bands."""
    kernel_size: int = Field(default=15, ge=1)
    """Kernel size of a block's convolution, in tokens; odd."""
    positions: Literal["rotary", "sinusoidal"] = "rotary"
    """How attention knows positions; rotary ones replace the relative ones of the paper."""
    width: int | None = Field(default=None, ge=2)
    """Width of the blocks; null takes the model's own, any other is projected to it."""

    @field_validator("kernel_size")
    @classmethod
    def _is_odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("kernel_size is even, and has no middle: choose an odd number")
        return size

    def build(self, modality: Audio, *, dim: int) -> nn.Module:
        """An encoder of that modality's recordings."""
        return AudioConformer(self, sample_rate=modality.config.sample_rate, dim=dim)


class AudioConformer(nn.Module):
    """Samples ``float32 [B, T]`` to Tokens ``[B, F', dim]``, F' the frames after the halvings."""

    ends = ("output",)

    def __init__(self, config: AudioConformerConfig, *, sample_rate: int, dim: int) -> None:
        super().__init__()
        width = config.width or dim
        self.front_end = AudioFrontEnd(config.front_end, sample_rate=sample_rate)
        before, bands = 1, config.front_end.num_bands
        self.convolutions = nn.ModuleList()
        for channels in config.channels:
            self.convolutions.append(MaskedConvolution(before, channels, stride=2, activation="relu"))
            before, bands = channels, math.ceil(bands / 2)
        self.projection = nn.Linear(before * bands, width)
        self.dropout = nn.Dropout(config.dropout)
        self.sinusoidal = config.positions == "sinusoidal"
        self.blocks = nn.ModuleList(ConformerBlock(width, config=config) for _ in range(config.num_layers))
        self.output = nn.Identity() if width == dim else nn.Linear(width, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only recordings that are there pass through the layers."""
        return encode_present(self.front_end(arrays), self._encode)

    def _encode(self, frames: Tokens) -> Tokens:
        values, mask = frames.values.unsqueeze(1), frames.mask  # [B, 1, F, bands]
        for layer in self.convolutions:
            values, mask = layer(values, mask)
        values = self.projection(values.transpose(1, 2).flatten(2))
        if self.sinusoidal:
            values = values + sinusoidal_positions(values.shape[1], values.shape[2], device=values.device)
        values = self.dropout(values)
        for block in self.blocks:
            values = block(values, mask)
        return Tokens(self.output(values), mask)


class ConformerBlock(nn.Module):
    """Half a perceptron, attention, a convolution, the other half, a norm: ``[B, L, dim]`` in and out."""

    def __init__(self, dim: int, *, config: AudioConformerConfig) -> None:
        super().__init__()
        hidden, dropout = round(dim * config.mlp_ratio), config.dropout
        self.first = FeedForward(dim, hidden=hidden, dropout=dropout)
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(
            dim, num_heads=config.num_heads, dropout=dropout, rotary=config.positions == "rotary"
        )
        self.dropout = nn.Dropout(dropout)
        self.convolution = ConvolutionModule(dim, kernel_size=config.kernel_size, dropout=dropout)
        self.second = FeedForward(dim, hidden=hidden, dropout=dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """``values [B, L, dim]`` under ``mask [B, L]``, in the same shape."""
        values = add_to_real(values, lambda tokens: 0.5 * self.first(tokens), mask)
        values = values + self.dropout(self.attention(self.attention_norm(values), mask=mask))
        values = values + self.convolution(values, mask)
        output: Tensor = self.norm(add_to_real(values, lambda tokens: 0.5 * self.second(tokens), mask))
        return output


class FeedForward(nn.Sequential):
    """Norm, linear, Swish, linear, ``[..., dim]`` in and out."""

    def __init__(self, dim: int, *, hidden: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(dim),
            nn.Linear(dim, hidden),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
            nn.Dropout(dropout),
        )


class ConvolutionModule(nn.Module):
    """Norm, gated linear unit, depthwise convolution over time, batch norm over real tokens, Swish, linear."""

    def __init__(self, dim: int, *, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.gate = nn.Linear(dim, 2 * dim, bias=False)
        self.depthwise = nn.Conv1d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim, bias=False)
        self.batch_norm = BatchNorm(dim)
        self.output = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """``values [B, L, dim]`` under ``mask [B, L]``, in the same shape; padding is zero to the convolution."""
        gated = nn.functional.glu(self.gate(self.norm(values)), dim=-1).masked_fill(~mask.unsqueeze(-1), 0)
        mixed = self.batch_norm(self.depthwise(gated.transpose(1, 2)).unsqueeze(-1), mask).squeeze(-1)
        output: Tensor = self.dropout(self.output(nn.functional.silu(mixed.transpose(1, 2))))
        return output
