"""Convolutions over the samples of a recording themselves; if wanted, a transformer over what is left of them."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from tonggan.encoders.audio_front_end import SpecAugmentConfig, normalize_frames, spec_augment
from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.present import encode_present
from tonggan.layers.batch_norm import BatchNorm
from tonggan.layers.positions import sinusoidal_positions
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.modalities.audio import Audio
from tonggan.tokens import Arrays, Tokens


class AudioWaveformConfig(TransformerConfig, EncoderConfig):
    """Strided convolutions over samples (M5, Dai et al. 2017; wav2vec 2.0, Baevski et al. 2020), pre-norm blocks."""

    reads: ClassVar[str] = "audio"
    free: ClassVar[tuple[str, ...]] = ("dropout", "width", "augment")
    kind: Literal["audio_waveform"] = "audio_waveform"
    channels: tuple[PositiveInt, ...] = Field(default=(64, 64, 128, 128, 128), min_length=1)
    """Channels of each convolution."""
    kernels: tuple[PositiveInt, ...] = (41, 9, 5, 5, 5)
    """Kernel size of each convolution, in samples or in steps of the one before; odd."""
    strides: tuple[PositiveInt, ...] = (5, 4, 2, 2, 2)
    """Stride of each convolution; with the defaults, 160 samples become a token."""
    augment: SpecAugmentConfig | None = SpecAugmentConfig()
    """Random blanks in training, in time and in channels after the convolutions; null for none."""
    num_layers: int = Field(default=1, ge=0)
    """Number of transformer blocks."""
    width: int | None = Field(default=None, ge=2)
    """Width of the blocks; null takes the model's own, any other is projected to it."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not len(self.channels) == len(self.kernels) == len(self.strides):
            raise ValueError("channels, kernels and strides have one number for each convolution: give as many of each")
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError("a kernel is even, and has no middle: choose odd numbers")
        return self

    def build(self, modality: Audio, *, dim: int) -> nn.Module:
        """An encoder of that modality's recordings."""
        del modality
        return AudioWaveform(self, dim=dim)


class AudioWaveform(nn.Module):
    """Samples ``float32 [B, T]``, each recording brought to mean 0 and deviation 1, to Tokens ``[B, T', dim]``.

    T' is T divided by all strides, rounded up. Padding is zero to every convolution, as is what lies around recordings.
    """

    ends = ("output",)

    def __init__(self, config: AudioWaveformConfig, *, dim: int) -> None:
        super().__init__()
        width = config.width or dim
        self.augment = config.augment
        befores = (1, *config.channels)
        self.convolutions = nn.ModuleList(
            _Convolution(before, after, kernel=kernel, stride=stride)
            for before, after, kernel, stride in zip(
                befores, config.channels, config.kernels, config.strides, strict=False
            )
        )
        self.projection = nn.Linear(befores[-1], width)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(width, config=config)
        self.output = nn.Identity() if width == dim else nn.Linear(width, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only recordings that are there pass through the layers."""
        samples = Tokens(arrays.values.unsqueeze(-1), arrays.mask)
        return encode_present(normalize_frames(samples, each_band=False), self._encode)

    def _encode(self, samples: Tokens) -> Tokens:
        # Not transposed: its strides would make the convolution put channels last, which is slow here.
        values, mask = samples.values.squeeze(2).unsqueeze(1), samples.mask  # [B, 1, T]
        for layer in self.convolutions:
            values, mask = layer(values, mask)
        tokens = Tokens(values.transpose(1, 2), mask)
        if self.training and self.augment is not None:
            tokens = spec_augment(tokens, self.augment)
        projected = self.projection(tokens.values)
        places = sinusoidal_positions(projected.shape[1], projected.shape[2], device=projected.device)
        return Tokens(self.output(self.transformer(self.dropout(projected + places), mask)), mask)


class _Convolution(nn.Module):
    """Convolution, batch norm over real steps, GELU: ``[B, C, T]`` and its mask ``[B, T]`` to the next."""

    def __init__(self, before: int, after: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.convolution = nn.Conv1d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = BatchNorm(after)

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's output, zero under the mask that is returned with it."""
        mask = mask[:, :: self.stride]
        normalized = self.norm(self.convolution(values).unsqueeze(-1), mask).squeeze(-1)
        return nn.functional.gelu(normalized), mask
