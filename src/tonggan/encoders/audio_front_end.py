"""From samples to normalized frames: log-mel or MFCC, brought to one scale for each clip, masked at random in training.

The spectra themselves are computed in ``modalities/spectrum.py``; nothing here is learned.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.modalities.spectrum import log_mel, mfcc
from tonggan.tokens import Arrays, Tokens


class SpecAugmentConfig(Config):
    """Bands of frames and of frequencies blanked in training, drawn anew for each clip (Park et al. 2019)."""

    num_time_masks: int = Field(default=2, ge=0)
    """Runs of frames blanked in each clip."""
    max_time: float = Field(default=0.1, ge=0, le=1)
    """Longest run, as a fraction of the clip."""
    num_frequency_masks: int = Field(default=2, ge=0)
    """Runs of frequency bands blanked in each clip."""
    max_frequency: float = Field(default=0.15, ge=0, le=1)
    """Widest run, as a fraction of the bands."""


class FrontEndConfig(Config):
    """Fields that both front ends have."""

    num_fft: int = Field(default=512, ge=16, multiple_of=2)
    """Samples in a window."""
    hop: int = Field(default=160, ge=1)
    """Samples from one frame to the next."""
    num_mels: int = Field(default=64, ge=1)
    """Bands of the mel filter bank."""
    augment: SpecAugmentConfig | None = SpecAugmentConfig()
    """Random blanks in training; null for none."""


class LogMelConfig(FrontEndConfig):
    """Decibels of mel bands; each clip is brought to mean 0 and deviation 1 over all its frames and bands."""

    kind: Literal["logmel"] = "logmel"

    @property
    def num_bands(self) -> int:
        """Numbers in a frame."""
        return self.num_mels

    def frames(self, arrays: Arrays, *, sample_rate: int) -> Tokens:
        """Normalized frames ``[B, F, num_bands]``."""
        values, mask = log_mel(
            arrays.values,
            arrays.mask,
            sample_rate=sample_rate,
            num_fft=self.num_fft,
            hop=self.hop,
            num_mels=self.num_mels,
        )
        return normalize_frames(Tokens(values, mask), each_band=False)


class MFCCConfig(FrontEndConfig):
    """Mel-frequency cepstral coefficients; each coefficient of a clip is brought to mean 0 and deviation 1."""

    kind: Literal["mfcc"] = "mfcc"
    num_coefficients: int = Field(default=20, ge=1)
    """Coefficients kept, from the lowest on; at most num_mels."""

    @model_validator(mode="after")
    def _enough_bands(self) -> Self:
        if self.num_coefficients > self.num_mels:
            raise ValueError(f"num_coefficients {self.num_coefficients} is more than num_mels {self.num_mels}")
        return self

    @property
    def num_bands(self) -> int:
        """Numbers in a frame."""
        return self.num_coefficients

    def frames(self, arrays: Arrays, *, sample_rate: int) -> Tokens:
        """Normalized frames ``[B, F, num_bands]``."""
        values, mask = mfcc(
            arrays.values,
            arrays.mask,
            sample_rate=sample_rate,
            num_coefficients=self.num_coefficients,
            num_fft=self.num_fft,
            hop=self.hop,
            num_mels=self.num_mels,
        )
        return normalize_frames(Tokens(values, mask), each_band=True)


AudioFrontEndConfig = Annotated[LogMelConfig | MFCCConfig, Field(discriminator="kind")]


class AudioFrontEnd(nn.Module):
    """Samples ``float32 [B, T]`` to normalized frames as Tokens ``[B, F, num_bands]``, zeros under the mask."""

    def __init__(self, config: LogMelConfig | MFCCConfig, *, sample_rate: int) -> None:
        super().__init__()
        self.config = config
        self.sample_rate = sample_rate

    def forward(self, arrays: Arrays) -> Tokens:
        """Frames of a batch, with random blanks in training mode."""
        frames = self.config.frames(arrays, sample_rate=self.sample_rate)
        if self.training and self.config.augment is not None:
            return spec_augment(frames, self.config.augment)
        return frames


def normalize_frames(frames: Tokens, *, each_band: bool) -> Tokens:
    """Each clip to mean 0 and deviation 1 over its real frames, band by band or over all bands; hidden frames to 0."""
    axes = (1,) if each_band else (1, 2)
    hidden = ~frames.mask.unsqueeze(-1)
    count = frames.mask.sum(dim=1).clamp(min=1).view(-1, 1, 1) * (1 if each_band else frames.dim)
    values = frames.values.masked_fill(hidden, 0)
    centered = (values - values.sum(dim=axes, keepdim=True) / count).masked_fill(hidden, 0)
    variance = centered.square().sum(dim=axes, keepdim=True) / count
    return Tokens(centered * (variance + 1e-5).rsqrt(), frames.mask)


def spec_augment(frames: Tokens, config: SpecAugmentConfig) -> Tokens:
    """``frames`` with random runs of frames and of bands set to 0, their mean."""
    lengths = frames.mask.sum(dim=1)
    widths = torch.full_like(lengths, frames.dim)
    blank_frames = _runs(lengths, frames.mask.shape[1], number=config.num_time_masks, fraction=config.max_time)
    blank_bands = _runs(widths, frames.dim, number=config.num_frequency_masks, fraction=config.max_frequency)
    blank = blank_frames[:, :, None] | blank_bands[:, None, :]
    return Tokens(frames.values.masked_fill(blank, 0), frames.mask)


def _runs(lengths: Tensor, size: int, *, number: int, fraction: float) -> Tensor:
    """``[B, size]`` bool: True in ``number`` runs inside the first ``lengths`` [B], each up to ``fraction`` of them."""
    shape = (len(lengths), number, 1)
    extents = torch.rand(shape, device=lengths.device) * fraction * lengths[:, None, None]
    starts = torch.rand(shape, device=lengths.device) * (lengths[:, None, None] - extents)
    places = torch.arange(size, device=lengths.device)
    # A run covers the places whose middle it covers, so that one of no extent covers nothing.
    return ((places + 0.5 > starts) & (places + 0.5 < starts + extents)).any(dim=1)
