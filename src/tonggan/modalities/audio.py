"""Recordings: encoded bytes to int16 mono samples at one rate, padded batches of them, and random variation.

It computes no spectrum (the encoders do) and never repairs: a file that is truncated, holds NaN or nothing at
all is an UnreadableError, and the row stays without its recording.
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tonggan.config import Config
from tonggan.modalities.base import (
    Cell,
    Decoded,
    Encoded,
    GraphInput,
    Limit,
    MediaConfig,
    MediaModality,
    Range,
    bytes_of,
    head_of,
    up_to,
    with_lengths,
)
from tonggan.modalities.containers import NO_TRACK
from tonggan.modalities.file_formats import can_read_tracks
from tonggan.modalities.movement import Movement
from tonggan.modalities.recordings import (
    LOUDEST,
    full_scale_of,
    has_tracks,
    is_float,
    read_mono,
    read_track,
    unreadable,
)
from tonggan.tokens import Arrays
from tonggan.wording import Words

_MEASURED_FRAMES = 10_000_000
_FEW_CLIPPED, _CLIPPED_SHARE = 10, 0.001  # samples at full scale that a loud recording may have
_OFFSET = 0.02  # of full scale: so far from zero no recording lies by chance
_MAX_SECONDS = 10  # that a person hears


class AudioAugment(Config):
    """Random variation of recordings in training; each is drawn anew for every row. Zero turns one off."""

    gain: float = Field(default=6.0, ge=0, le=60)
    """Louder or softer by up to this many decibels."""
    shift: float = Field(default=0.05, ge=0)
    """Cut up to this many seconds from the start, or prepend up to as much silence."""
    speed: float = Field(default=0.0, ge=0, le=0.5)
    """Play faster or slower by up to this fraction, which changes pitch too."""
    noise: float = Field(default=0.0, ge=0, le=1)
    """Add white noise of up to this fraction of the recording's own root mean square."""


class AudioConfig(MediaConfig):
    """A column of recordings: paths, or bytes embedded in the table."""

    words: ClassVar[Words] = Words("audio", "音频")
    things: ClassVar[Words] = Words("recordings", "段录音")
    range: ClassVar[Range] = Range(
        "full_scale",
        Words("Recordings of floating point samples", "浮点采样的录音"),
        Words("full scale", "满幅"),
        1,
        lambda greatest: None if greatest <= LOUDEST else full_scale_of(greatest),
    )
    kind: Literal["audio"] = "audio"
    sample_rate: int = Field(default=16_000, ge=1_000, le=192_000)
    """Samples per second; every recording is resampled to it."""
    max_seconds: float = Field(default=10.0, gt=0, le=3_600)
    """Longer recordings are cut off here; the doctor reports how many are."""
    full_scale: float | None = Field(default=None, gt=0)
    """Full scale of floating-point files, such as 32768 if they contain the values of 16-bit integers. Null chooses it
    from the recordings of the training part; for a single recording, the smallest of 1, 2^15, 2^23 and 2^31 that covers
    it."""
    augment: AudioAugment | None = AudioAugment()
    """Random variation in training; null for none."""

    def build(self) -> Audio:
        """The modality."""
        return Audio(self)

    @property
    def max_samples(self) -> int:
        """Samples of a recording that are read; where ``decode`` gives more, the recording is longer."""
        return max(1, int(self.max_seconds * self.sample_rate))

    @property
    def limit(self) -> Limit:
        most = Words(f"{self.max_seconds:g} s", f"{self.max_seconds:g} 秒")
        return Limit(self.things, most, f"max_seconds={3 * self.max_seconds:g}")

    def exceeds(self, content: int) -> bool:
        return content > self.max_samples


class Audio(MediaModality[AudioConfig]):
    """Recordings as float32 ``[B, T]`` in [-1, 1] with a mask ``[B, T]``, real samples first."""

    kind: ClassVar[str] = "audio"
    essential: ClassVar[tuple[str, ...]] = ("sample_rate",)
    empty: ClassVar[str | None] = NO_TRACK
    odd: ClassVar[Mapping[str, tuple[Words, Words]]] = {
        NO_TRACK: (
            Words("have no sound track: there the input counts as absent", "没有音轨：这些行按缺少该输入处理"),
            Words("Nothing to do, unless there should be sound", "无需处理，除非本应有声音"),
        ),
        "silent": (
            Words("hold silence alone", "只有静音"),
            Words(
                "Listen to these files; leave their cells empty if they hold nothing",
                "请检查这些文件；如果其中没有内容，请将单元格留空",
            ),
        ),
        "clipped": (
            Words("are clipped: many samples lie at full scale", "发生削波：许多采样达到满幅"),
            Words("Record or export them at a lower level", "请以较低的电平重新录制或导出"),
        ),
        "offset": (
            Words("are not centered on zero (a DC offset)", "不以零为中心（直流偏移）"),
            Words("Export them with the DC offset removed", "请在导出时去除直流偏移"),
        ),
    }

    def decode(self, raw: Encoded) -> NDArray[np.int16]:
        """int16 ``[T]`` mono at ``sample_rate`` of a WAV, FLAC, Ogg, MP3 or AIFF file; channels are averaged.

        Of a clip, and of M4A and the like, the first sound track is decoded by PyAV.

        Of a recording longer than ``max_seconds`` one more sample is kept, which says so and which ``collate`` leaves
        out. Channels that cancel each other out, of which one was wired the wrong way around, give the first of them.

        Raises:
            UnreadableError: empty, of no known format, truncated, no samples, or samples that are not finite or far
                beyond full scale; a clip has no sound track (``empty``).
        """
        import soxr

        if not raw:
            raise unreadable("a file of 0 bytes", remedy="Restore the file, or leave the cell empty")
        if has_tracks(head_of(raw)):
            samples, rate = read_track(raw, max_seconds=self.config.max_seconds)
        else:
            seconds, scale = self.config.max_seconds, self.config.full_scale
            samples, rate = read_mono(bytes_of(raw), max_seconds=seconds, full_scale=scale)
        if rate != self.config.sample_rate:
            samples = soxr.resample(samples, rate, self.config.sample_rate)
        samples = samples[: self.config.max_samples + 1]
        if len(samples) == 0:
            raise unreadable("zero samples", remedy="Record it again, or leave the cell empty")
        integers: NDArray[np.int16] = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
        return integers

    def open(self, source: Encoded) -> Decoded:
        return Decoded(self.decode(source), None)

    def describe(self, source: Encoded) -> dict[str, str | int]:
        """The sample rate and the number of channels of a recording; nothing of a clip's sound track."""
        import soundfile

        if has_tracks(head_of(source)):
            return {}
        try:
            with soundfile.SoundFile(io.BytesIO(bytes_of(source))) as file:
                return {"sample rate": f"{file.samplerate} Hz", "channels": str(file.channels)}
        except soundfile.LibsndfileError:
            return {}

    def oddities(self, array: NDArray[Any]) -> list[str]:
        """``silent``: one value only; ``clipped``: many samples at full scale; ``offset``: not centered on zero."""
        if array.size == 0 or array.min() == array.max():
            return ["silent"] if array.size else []
        at_full_scale = int(((array >= 32767) | (array <= -32768)).sum())
        is_clipped = at_full_scale > max(_FEW_CLIPPED, _CLIPPED_SHARE * array.size)
        is_offset = abs(float(array.mean())) > _OFFSET * 32768
        return [name for name, is_so in (("clipped", is_clipped), ("offset", is_offset)) if is_so]

    def cache_key(self) -> str:
        """The settings that change what ``decode`` returns, and the version of its method."""
        scale = "" if self.config.full_scale is None else f"-scale{self.config.full_scale:g}"
        # What cannot be read without PyAV must be looked at again once it is there.
        tracks = "-tracks" if can_read_tracks() else ""
        return f"audio-{self.config.sample_rate}-{self.config.max_seconds:g}{scale}{tracks}-2"

    def greatest(self, source: Encoded) -> float | None:
        """The loudest sample of a file of floating point numbers; None of any other, and of what cannot be read."""
        import soundfile

        if has_tracks(head_of(source)):
            return None
        try:
            with soundfile.SoundFile(io.BytesIO(bytes_of(source))) as file:
                if not is_float(file):
                    return None
                return float(np.abs(file.read(min(file.frames, _MEASURED_FRAMES), dtype="float64")).max(initial=0))
        except soundfile.LibsndfileError:
            return None

    def collate(self, items: Sequence[NDArray[np.int16] | None]) -> Arrays:
        """float32 ``[B, T]``, T the longest of the batch (1 when all are absent), padded with zeros at the end."""
        items = [None if item is None else item[: self.config.max_samples] for item in items]
        lengths = np.array([0 if item is None else len(item) for item in items])
        values = np.zeros((len(items), max(1, lengths.max())), dtype=np.float32)
        for row, item in enumerate(items):
            if item is not None:
                np.multiply(item, np.float32(1 / 32768), out=values[row, : len(item)])
        mask = np.arange(values.shape[1]) < lengths[:, None]
        return Arrays(torch.from_numpy(values), torch.from_numpy(mask))

    def vary(self, arrays: Arrays, generator: torch.Generator, *, movement: Movement | None = None) -> Arrays:
        """Each recording stretched, shifted, made louder or softer, and made noisier at random."""
        del movement
        settings = self.config.augment
        if settings is None:
            return arrays
        if settings.speed or settings.shift:
            reach = settings.shift * self.config.sample_rate
            arrays = _stretch(arrays, reach=reach, speed=settings.speed, generator=generator)
        values = arrays.values
        if settings.noise:
            values = values + _noise(arrays, settings.noise, generator=generator)
        if settings.gain:
            decibels = settings.gain * _uniform(len(values), generator)
            values = values * 10 ** (decibels / 20)
        return replace(arrays, values=values.clamp(-1, 1))

    def to_graph(self, arrays: Arrays, items: Sequence[Any]) -> GraphInput:
        """Samples at the rate that the column is read with."""
        del items
        rate, seconds = self.config.sample_rate, self.config.max_seconds
        return with_lengths(
            arrays, values="float32 [rows, samples] from -1 to 1", sample_rate=rate, max_seconds=seconds
        )

    def from_graph(self, values: Tensor, *others: Tensor) -> Arrays:
        return up_to(values, *others)

    def show(self, name: str, item: NDArray[np.int16] | None) -> list[Cell]:
        """The recording as the model gets it."""
        return [Cell(name, "audio", None if item is None else audio_address(item, sample_rate=self.config.sample_rate))]


def audio_address(samples: NDArray[np.int16], *, sample_rate: int) -> str:
    """The mono recording int16 ``[T]``, its first ten seconds, as a ``data:`` address of a WAV."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples[: _MAX_SECONDS * sample_rate].astype("<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _uniform(batch: int, generator: torch.Generator) -> Tensor:
    """[B, 1] between -1 and 1."""
    return torch.rand(batch, 1, generator=generator) * 2 - 1


def _stretch(arrays: Arrays, *, reach: float, speed: float, generator: torch.Generator) -> Arrays:
    """Shift and speed as one linear interpolation: output sample t is the input at ``t * rate + offset``, or zero."""
    lengths = arrays.mask.sum(dim=1, keepdim=True)
    # At least half of a recording must remain.
    offset = torch.minimum((_uniform(len(arrays), generator) * reach).round(), lengths / 2)
    rate = 1 + speed * _uniform(len(arrays), generator)
    new_lengths = ((lengths - offset) / rate).ceil().clamp(min=1).long() * (lengths > 0)
    values = np.zeros((len(arrays), max(1, int(new_lengths.max()))), dtype=np.float32)
    # Row by row over real samples alone: a batch's longest recording is often several times the mean.
    for row, samples in enumerate(arrays.values.numpy()):
        before, after = int(lengths[row]), int(new_lengths[row])
        if after:
            position = np.arange(after) * float(rate[row]) + float(offset[row])
            values[row, :after] = np.interp(position, np.arange(before), samples[:before], left=0, right=0)
    return replace(arrays, values=torch.from_numpy(values), mask=torch.arange(values.shape[1]) < new_lengths)


def _noise(arrays: Arrays, level: float, *, generator: torch.Generator) -> Tensor:
    """White noise [B, T] on the real samples, up to ``level`` of each recording's root mean square."""
    power = (arrays.values.square() * arrays.mask).sum(dim=1, keepdim=True)
    root_mean_square = (power / arrays.mask.sum(dim=1, keepdim=True).clamp(min=1)).sqrt()
    strength = level * torch.rand(len(arrays), 1, generator=generator)
    return torch.randn(arrays.values.shape, generator=generator) * root_mean_square * strength * arrays.mask
