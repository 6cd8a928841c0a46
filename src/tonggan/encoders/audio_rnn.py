"""A recurrent network over the spectrum of a recording, a few frames to each token."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from tonggan.encoders.audio_front_end import AudioFrontEnd, AudioFrontEndConfig, LogMelConfig, grouped
from tonggan.encoders.base import EncoderConfig
from tonggan.layers.recurrent import Recurrent, RecurrentConfig
from tonggan.modalities.audio import Audio
from tonggan.tokens import Arrays, Tokens


class AudioRNNConfig(RecurrentConfig, EncoderConfig):
    """Frames grouped and projected, then recurrent layers (after Graves et al. 2013)."""

    reads: ClassVar[str] = "audio"
    free: ClassVar[tuple[str, ...]] = ("dropout", "front_end.augment")
    kind: Literal["audio_rnn"] = "audio_rnn"
    front_end: AudioFrontEndConfig = LogMelConfig()
    """What the network hears."""
    frames_per_token: int = Field(default=2, ge=1)
    """Neighboring frames that become one token."""

    def build(self, modality: Audio, *, dim: int) -> nn.Module:
        """An encoder of that modality's recordings."""
        return AudioRNN(self, sample_rate=modality.config.sample_rate, dim=dim)


class AudioRNN(nn.Module):
    """Samples ``float32 [B, T]`` to Tokens ``[B, ceil(F / frames_per_token), dim]``."""

    ends = ("projection",)

    def __init__(self, config: AudioRNNConfig, *, sample_rate: int, dim: int) -> None:
        super().__init__()
        self.front_end = AudioFrontEnd(config.front_end, sample_rate=sample_rate)
        self.frames_per_token = config.frames_per_token
        width = config.width or dim
        self.embedding = nn.Linear(config.frames_per_token * config.front_end.num_bands, width)
        self.recurrent = Recurrent(width, width=width, config=config)
        self.projection = nn.Linear(self.recurrent.width, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch."""
        frames = grouped(self.front_end(arrays), self.frames_per_token)
        values = self.recurrent(self.embedding(frames.values), frames.mask)
        return Tokens(self.projection(values), frames.mask)
