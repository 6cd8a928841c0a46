"""Recordings through pretrained weights: Whisper, or a folder in Hugging Face's layout such as wav2vec2's and its kin.

Whisper's encoder is computed by Tonggan itself, the others by transformers. Each recording is computed as long as it
is, so that nothing depends on the others of its batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.encoders.hugging_face import blocks_of, open_auto_model
from tonggan.encoders.present import encode_present
from tonggan.encoders.pretrained import PretrainedConfig, PretrainedEncoder
from tonggan.encoders.whisper import SAMPLE_RATE, WINDOW_SECONDS, WhisperEncoder, load_whisper, whisper_frames
from tonggan.errors import ConfigError
from tonggan.modalities.audio import Audio
from tonggan.modalities.base import InputConfig
from tonggan.stored import DOWNLOAD, Record, named, read_record
from tonggan.tokens import Arrays, Tokens
from tonggan.weights import CATALOGUE, find_weights
from tonggan.weights.folder import WeightsFolder

_LEAST_SAMPLES = 800  # less than a few frames of wav2vec2 cannot be convolved
_WHISPER = "whisper"


class AudioPretrainedConfig(PretrainedConfig):
    """Pretrained weights, a norm, and a map to the model's width; a column without a rate gets that of the weights."""

    reads: ClassVar[str] = "audio"
    free: ClassVar[tuple[str, ...]] = ("pool",)
    kind: Literal["audio_pretrained"] = "audio_pretrained"
    depth: int | None = Field(default=None, ge=1)
    """Number of blocks to compute; null for all. Middle blocks know most about the voice, the last ones about the
    words."""
    pool: int = Field(default=4, ge=1)
    """Neighboring frames, 20 ms each, that are averaged into one token."""

    def prepare(self, modality: InputConfig) -> InputConfig:
        """The recordings at the rate of the weights, unless the column names one."""
        if "sample_rate" in modality.model_fields_set:
            return modality
        return modality.model_copy(update={"sample_rate": SAMPLE_RATE})

    @property
    def base(self) -> Mapping[str, str]:
        return {"name": self.weights, "sha256": _sha256(self.weights)}

    def build(self, modality: Audio, *, dim: int) -> AudioPretrained:
        """An encoder of that modality's recordings.

        Raises:
            ConfigError: there are no such weights, or the recordings are at another rate, or longer than a window.
            DataError, MissingExtraError: the weights are damaged, or a package is missing.
        """
        config = modality.config
        if config.sample_rate != SAMPLE_RATE:
            raise ConfigError(
                "encoder audio_pretrained",
                got=f"recordings at {config.sample_rate} Hz",
                expected=f"{SAMPLE_RATE}, as the weights were trained on",
                remedy=f"Set the column's sample_rate to {SAMPLE_RATE}, or leave it out",
            )
        trunk = open_audio_trunk(self.weights, depth=self.depth)
        if isinstance(trunk, WhisperTrunk) and config.max_seconds > WINDOW_SECONDS:
            raise ConfigError(
                "encoder audio_pretrained",
                got=f"recordings of up to {config.max_seconds:g} s",
                expected=f"at most {WINDOW_SECONDS}, which Whisper hears at a time",
                remedy=f"Set the column's max_seconds to {WINDOW_SECONDS}",
            )
        return AudioPretrained(self, trunk, dim=dim)


class AudioPretrained(PretrainedEncoder):
    """Samples ``float32 [B, T]`` at 16 kHz to Tokens ``[B, L, dim]``, one for each ``pool`` frames.

    Args:
        config: what learns.
        trunk: with its weights.
        dim: width of a token.
    """

    ends = ("norm", "projection")

    def __init__(self, config: AudioPretrainedConfig, trunk: AudioTrunk, *, dim: int) -> None:
        super().__init__(config, trunk, blocks=trunk.blocks)
        self.pool = config.pool
        self.norm = nn.LayerNorm(trunk.dim)
        self.projection = nn.Linear(trunk.dim, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only recordings that are there pass through the trunk."""
        return encode_present(arrays, self._encode)

    def _encode(self, arrays: Arrays) -> Tokens:
        found = _pooled(self.trunk(arrays), self.pool)
        return Tokens(self.projection(self.norm(found.values)), found.mask)


class AudioTrunk(nn.Module):
    """Samples ``float32 [B, T]`` to frames ``[B, F, dim]`` of 20 ms.

    Attributes:
        dim: width of a frame.
        blocks: the parts that follow one another, the first one first.
    """

    dim: int
    blocks: Sequence[nn.Module]


class WhisperTrunk(AudioTrunk):
    """Whisper's encoder, or the first ``depth`` of its blocks and the final norm."""

    def __init__(self, network: WhisperEncoder, *, depth: int | None) -> None:
        super().__init__()
        network.transformer.blocks = network.transformer.blocks[:depth]
        self.network, self.dim = network, network.dim
        self.blocks = list(network.transformer.blocks)

    def forward(self, arrays: Arrays) -> Tokens:
        tokens: Tokens = self.network(whisper_frames(arrays, num_mels=self.network.config.num_mel_bins))
        return tokens


class WaveTrunk(AudioTrunk):
    """What transformers computes of samples, one recording after the other: some have norms over all of a batch's row.

    Args:
        folder: with the weights.
        depth: how many of its blocks are computed.

    Raises:
        DataError: the weights are damaged, read no recordings, or can only be unpickled by running what they hold.
        MissingExtraError: transformers is not installed.
    """

    def __init__(self, folder: WeightsFolder, *, depth: int | None) -> None:
        super().__init__()
        self.network = open_auto_model(folder)
        shape: Any = self.network.config
        # Random changes have their place in the column's augment.
        for name, none in (("apply_spec_augment", False), ("layerdrop", 0.0)):
            if hasattr(shape, name):
                setattr(shape, name, none)
        encoder = getattr(self.network, "encoder", None)
        layers = getattr(encoder, "layers", None)
        if depth is not None and isinstance(encoder, nn.Module) and isinstance(layers, nn.ModuleList):
            encoder.layers = layers = layers[:depth]
        self.blocks = list(layers) if isinstance(layers, nn.ModuleList) else blocks_of(self.network)
        processor = read_record(_Processor, folder.path / "preprocessor_config.json", remedy=DOWNLOAD, is_optional=True)
        self._normalizes = processor.do_normalize
        with (
            named(
                f"folder {folder.path}",
                expected="a model that reads samples",
                remedy="Name the folder of an audio model, such as Whisper, wav2vec2, HuBERT or WavLM",
            ),
            torch.device("cpu"),
            torch.no_grad(),
        ):
            self.dim = self._read(torch.zeros(SAMPLE_RATE)).shape[1]

    def forward(self, arrays: Arrays) -> Tokens:
        rows = [
            self._read(samples[:length])
            for samples, length in zip(arrays.values, arrays.mask.sum(dim=1).tolist(), strict=True)
        ]
        if not rows:  # every parameter takes part in each step
            rows = [self._read(arrays.values.new_zeros(_LEAST_SAMPLES))[:0]]
            return Tokens(rows[0][None][:0], arrays.mask[:, :0])
        counts = torch.tensor([len(row) for row in rows], device=arrays.values.device)
        values = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return Tokens(values, torch.arange(values.shape[1], device=values.device) < counts.unsqueeze(1))

    def _read(self, samples: Tensor) -> Tensor:
        """``[F, dim]`` of one recording."""
        if self._normalizes:
            samples = (samples - samples.mean()) / (samples.var(correction=0) + 1e-7).sqrt()
        samples = nn.functional.pad(samples, (0, max(0, _LEAST_SAMPLES - len(samples))))
        hidden: Tensor = self.network(input_values=samples[None]).last_hidden_state[0]
        return hidden


class _Processor(Record):
    """What of ``preprocessor_config.json`` is read."""

    do_normalize: bool = True


def open_audio_trunk(weights: str, *, depth: int | None = None) -> WhisperTrunk | WaveTrunk:
    """The network of ``weights``.

    Args:
        weights: a name of the catalogue, or a folder in Hugging Face's layout.
        depth: how many of its blocks are computed; None is all.

    Raises:
        ConfigError: there are no such weights.
        DataError: their files are missing, damaged or exchanged, or can only be unpickled by running what they hold.
        MissingExtraError: a package is not installed.
    """
    if weights in CATALOGUE:
        return WhisperTrunk(load_whisper(weights), depth=depth)
    folder = _folder(weights)
    if folder.config.get("model_type") == _WHISPER:
        return WhisperTrunk(WhisperEncoder.from_folder(folder), depth=depth)
    return WaveTrunk(folder, depth=depth)


def _folder(weights: str) -> WeightsFolder:
    names = tuple(name for name, entry in CATALOGUE.items() if entry.reads == "audio")
    return WeightsFolder(Path(weights).expanduser(), names=names)


def _sha256(weights: str) -> str:
    if weights not in CATALOGUE:
        return _folder(weights).sha256
    entry = find_weights(weights, reads="audio")
    entry.folders()
    return " ".join(entry.sha256.values())


def _pooled(frames: Tokens, size: int) -> Tokens:
    """The mean of the real ones among each ``size`` neighbors."""
    if size == 1:
        return frames
    missing = -frames.mask.shape[1] % size
    mask = nn.functional.pad(frames.mask, (0, missing))
    mask = mask.view(len(mask), mask.shape[1] // size, size)
    values = nn.functional.pad(frames.values, (0, 0, 0, missing)).view(*mask.shape, frames.dim)
    counts = mask.sum(dim=2).clamp(min=1).unsqueeze(-1)
    return Tokens(values.masked_fill(~mask.unsqueeze(-1), 0).sum(dim=2) / counts, mask.any(dim=2))
