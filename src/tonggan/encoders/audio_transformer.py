"""A transformer over the spectrum of a recording, a few frames to each token."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from tonggan.encoders.audio_front_end import AudioFrontEnd, AudioFrontEndConfig, LogMelConfig, grouped
from tonggan.encoders.base import EncoderConfig
from tonggan.layers.positions import sinusoidal_positions
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.modalities.audio import Audio
from tonggan.tokens import Arrays, Tokens


class AudioTransformerConfig(TransformerConfig, EncoderConfig):
    """Frames grouped and projected, positions, pre-norm blocks, a final norm (after AST, Gong et al. 2021)."""

    reads: ClassVar[str] = "audio"
    free: ClassVar[tuple[str, ...]] = ("dropout", "front_end.augment")
    kind: Literal["audio_transformer"] = "audio_transformer"
    front_end: AudioFrontEndConfig = LogMelConfig()
    """What the transformer sees."""
    frames_per_token: int = Field(default=4, ge=1)
    """Neighboring frames that become one token."""
    positions: Literal["sinusoidal", "rotary"] = "sinusoidal"
    """How positions are encoded."""

    def build(self, modality: Audio, *, dim: int) -> nn.Module:
        """An encoder of that modality's recordings."""
        return AudioTransformer(self, sample_rate=modality.config.sample_rate, dim=dim)


class AudioTransformer(nn.Module):
    """Samples ``float32 [B, T]`` to Tokens ``[B, ceil(F / frames_per_token), dim]``."""

    def __init__(self, config: AudioTransformerConfig, *, sample_rate: int, dim: int) -> None:
        super().__init__()
        self.front_end = AudioFrontEnd(config.front_end, sample_rate=sample_rate)
        self.frames_per_token = config.frames_per_token
        self.sinusoidal = config.positions == "sinusoidal"
        self.projection = nn.Linear(config.frames_per_token * config.front_end.num_bands, dim)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(dim, config=config, rotary=not self.sinusoidal)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch."""
        frames = grouped(self.front_end(arrays), self.frames_per_token)
        values = self.projection(frames.values)
        if self.sinusoidal:
            values = values + sinusoidal_positions(values.shape[1], values.shape[2], device=values.device)
        return Tokens(self.transformer(self.dropout(values), frames.mask), frames.mask)
