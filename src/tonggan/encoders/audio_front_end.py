"""From samples to normalized frames: log-mel or MFCC, brought to one scale for each clip, masked at random in training.

Spectra of padded batches equal librosa's clip by clip; nothing here is learned.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from tonggan.config import Config
from tonggan.tokens import Arrays, Tokens

_AMIN = 1e-10  # the least power that is distinguished from silence, as librosa's power_to_db has it


def log_mel(
    samples: Tensor,
    mask: Tensor,
    *,
    sample_rate: int,
    num_fft: int = 2048,
    hop: int = 512,
    num_mels: int = 128,
    top_db: float = 80.0,
) -> tuple[Tensor, Tensor]:
    """Power in mel bands in decibels, as ``librosa.power_to_db(librosa.feature.melspectrogram(...), top_db=...)``.

    Frame t is centered on sample ``t * hop``, and silence lies on both sides of a recording.

    Args:
        samples: ``[B, T]`` in [-1, 1].
        mask: ``[B, T]`` bool, real samples first.
        sample_rate: samples a second.
        num_fft: samples of the Hann window of one frame, an even number.
        hop: samples from one frame to the next.
        num_mels: bands on Slaney's mel scale from 0 Hz to half the sample rate.
        top_db: values that are further below a recording's loudest band count as so far below.

    Returns:
        values ``[B, 1 + T // hop, num_mels]`` and mask ``[B, 1 + T // hop]``, False throughout for an absent row.
    """
    bank = mel_filter_bank(sample_rate=sample_rate, num_fft=num_fft, num_mels=num_mels).t().to(samples.device)
    window = torch.hann_window(num_fft, device=samples.device)
    # Frame t is real when sample t * hop - 1 is; this reads far less than counting all samples.
    frame_mask = torch.cat([mask[:, :1], mask[:, hop - 1 :: hop]], dim=1)
    if torch.compiler.is_exporting():
        return _decibels_of_all(samples, mask, frame_mask, window, bank, hop=hop, top_db=top_db), frame_mask
    values = samples.new_zeros((*frame_mask.shape, num_mels), dtype=torch.float32)
    # Mixed precision would multiply in bfloat16, whose 8 bits are too few for a spectrum.
    with torch.autocast(samples.device.type, enabled=False):
        counts = frame_mask.sum(dim=1)
        # Samples of each recording behind the center of its last frame.
        places = (counts.unsqueeze(1) - 1) * hop + torch.arange(hop, device=samples.device)
        inside = (places >= 0) & (places < mask.shape[1])
        tails = (mask.gather(1, places.clamp(0, mask.shape[1] - 1)) & inside).sum(dim=1)
        # Clip by clip, no frame of padding is computed and what is computed stays in the processor's cache.
        for row, (count, tail) in enumerate(zip(counts.tolist(), tails.tolist(), strict=True)):
            if count > 0:
                clip = samples[row, : (count - 1) * hop + tail].float()
                frames = functional.pad(clip, (num_fft // 2, num_fft // 2 - tail)).unfold(0, num_fft, hop)
                spectrum = torch.fft.rfft(frames * window)
                squares = torch.view_as_real(spectrum).square()
                power = (squares[..., 0] + squares[..., 1]) @ bank
                decibels = 10 * power.clamp(min=_AMIN).log10()
                values[row, :count] = decibels.clamp(min=decibels.detach().amax() - top_db)
    return values, frame_mask


def _decibels_of_all(
    samples: Tensor, mask: Tensor, frame_mask: Tensor, window: Tensor, bank: Tensor, *, hop: int, top_db: float
) -> Tensor:
    """What ``log_mel`` computes clip by clip, of all clips at once and without a Fourier transform, for graphs."""
    size = len(window)
    angles = 2 * math.pi / size * torch.arange(size // 2 + 1).double().outer(torch.arange(size).double())
    filters = torch.cat([angles.cos(), -angles.sin()]).float() * window
    silent = functional.pad(samples.masked_fill(~mask, 0), (size // 2, size // 2))
    real, imaginary = functional.conv1d(silent.unsqueeze(1), filters.unsqueeze(1), stride=hop).chunk(2, dim=1)
    power = (real.square() + imaginary.square()).transpose(1, 2) @ bank
    decibels = 10 * power.clamp(min=_AMIN).log10()
    floor = decibels.masked_fill(~frame_mask.unsqueeze(-1), -math.inf).amax(dim=(1, 2), keepdim=True) - top_db
    return torch.maximum(decibels, floor).masked_fill(~frame_mask.unsqueeze(-1), 0)


def mfcc(
    samples: Tensor,
    mask: Tensor,
    *,
    sample_rate: int,
    num_coefficients: int = 20,
    num_fft: int = 2048,
    hop: int = 512,
    num_mels: int = 128,
) -> tuple[Tensor, Tensor]:
    """Mel-frequency cepstral coefficients (Davis and Mermelstein 1980), as ``librosa.feature.mfcc``.

    Args as ``log_mel``; the first ``num_coefficients`` of the orthonormal discrete cosine transform are kept.

    Returns:
        values ``[B, 1 + T // hop, num_coefficients]`` and mask ``[B, 1 + T // hop]``.
    """
    bands, frame_mask = log_mel(samples, mask, sample_rate=sample_rate, num_fft=num_fft, hop=hop, num_mels=num_mels)
    with torch.autocast(samples.device.type, enabled=False):
        return torch.matmul(bands, _cosines(num_mels, num_coefficients).to(bands.device)), frame_mask


def mel_filter_bank(*, sample_rate: int, num_fft: int, num_mels: int) -> Tensor:
    """float32 ``[num_mels, num_fft // 2 + 1]``: triangles of equal area, as ``librosa.filters.mel``."""
    frequencies = torch.linspace(0, sample_rate / 2, num_fft // 2 + 1, dtype=torch.float64)
    highest = float(_hertz_to_mel(sample_rate / 2))
    corners = _mel_to_hertz(torch.linspace(0, highest, num_mels + 2, dtype=torch.float64))
    widths = corners.diff()
    slopes = corners.unsqueeze(1) - frequencies
    rising = -slopes[:-2] / widths[:-1].unsqueeze(1)
    falling = slopes[2:] / widths[1:].unsqueeze(1)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * (2 / (corners[2:] - corners[:-2])).unsqueeze(1)).float()


# Slaney's Auditory Toolbox (1998): 200/3 Hz a mel up to 1000 Hz, then 27 mels for each factor of 6.4.
_LINEAR_HERTZ = 200 / 3
_KNEE_HERTZ = 1000.0
_KNEE_MEL = _KNEE_HERTZ / _LINEAR_HERTZ
_LOG_STEP = math.log(6.4) / 27


def _hertz_to_mel(hertz: float) -> float:
    if hertz < _KNEE_HERTZ:
        return hertz / _LINEAR_HERTZ
    return _KNEE_MEL + math.log(hertz / _KNEE_HERTZ) / _LOG_STEP


def _mel_to_hertz(mel: Tensor) -> Tensor:
    logarithmic = _KNEE_HERTZ * torch.exp(_LOG_STEP * (mel - _KNEE_MEL))
    return torch.where(mel < _KNEE_MEL, mel * _LINEAR_HERTZ, logarithmic)


def _cosines(num_mels: int, num_coefficients: int) -> Tensor:
    """float32 ``[num_mels, num_coefficients]``: the orthonormal discrete cosine transform of type II."""
    position = (torch.arange(num_mels, dtype=torch.float64) + 0.5).unsqueeze(1)
    order = torch.arange(num_coefficients, dtype=torch.float64)
    scale = torch.where(order == 0, math.sqrt(1 / num_mels), math.sqrt(2 / num_mels))
    return (scale * torch.cos(math.pi / num_mels * position * order)).float()


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


def grouped(frames: Tokens, size: int) -> Tokens:
    """``[B, F, bands]`` as ``[B, ceil(F / size), size * bands]``; what is missing of the last group is zero."""
    missing = -frames.mask.shape[1] % size
    values = functional.pad(frames.values, (0, 0, 0, missing))
    mask = frames.mask[:, ::size]
    return Tokens(values.reshape(*mask.shape, -1), mask)


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
