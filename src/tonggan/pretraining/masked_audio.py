"""Masked audio modeling: patches of a spectrum are blanked, and guessed from the rest."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tonggan.encoders.audio_front_end import AudioFrontEnd
from tonggan.layers.precision import in_float32
from tonggan.modalities.audio import Audio
from tonggan.pretraining.base import Draw, Guessed, Pretraining, PretrainingConfig, refuse
from tonggan.tokens import Arrays, Tokens
from tonggan.wording import Words


class MaskedAudioConfig(PretrainingConfig):
    """Guess hidden patches of the spectrum that an encoder reads (SSAST, Gong et al. 2022; AudioMAE)."""

    reads: ClassVar[tuple[str, ...]] = ("audio",)
    default_of: ClassVar[tuple[str, ...]] = ("audio",)
    words: ClassVar[Words] = Words("guess hidden patches of a spectrum from the rest", "由其余部分猜出频谱中被遮住的块")
    varies: ClassVar[bool] = True
    kind: Literal["masked_audio"] = "masked_audio"
    hidden: float = Field(default=0.5, gt=0, lt=1)
    """Share of the patches that is masked."""
    frames: int = Field(default=8, ge=1)
    """Frames of a patch."""
    bands: int = Field(default=16, ge=1)
    """Bands of a patch."""

    def build(self, encoder: nn.Module, modality: Audio, *, dim: int) -> MaskedAudio:
        del modality
        return MaskedAudio(self, encoder, dim=dim)


class MaskedAudio(Pretraining):
    """Samples ``[B, T]`` to the squared error of hidden patches of their normalized spectrum.

    Raises:
        ConfigError: the encoder reads no spectrum.
    """

    def __init__(self, config: MaskedAudioConfig, encoder: nn.Module, *, dim: int) -> None:
        super().__init__(encoder, config.kind)
        front_end = getattr(encoder, "front_end", None)
        if not isinstance(front_end, AudioFrontEnd):
            raise refuse(
                objective=config.kind,
                got="an encoder without a spectrum",
                expected="one with a front end of log-mel bands or MFCC",
                remedy="Use the encoder audio_transformer or audio_cnn, or the objective contrastive",
            )
        self.config, self.front_end = config, front_end
        self.num_bands = front_end.config.num_bands
        self.frames_per_token = _frames_per_token(encoder, front_end)
        self.decoder = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, self.frames_per_token * self.num_bands))

    def guess(self, arrays: Arrays, draw: Draw) -> Guessed:
        frames = self.front_end.config.frames(arrays, sample_rate=self.front_end.sample_rate)
        hidden = self._choose(frames, draw)
        tokens = _encoded(self.encoder, Tokens(frames.values.masked_fill(hidden, 0), frames.mask), arrays)
        length = frames.values.shape[1]
        made = self.decoder(tokens.values).unflatten(2, (self.frames_per_token, self.num_bands)).flatten(1, 2)
        made = F.pad(made, (0, 0, 0, max(0, length - made.shape[1])))[:, :length]
        with in_float32(made.device):
            errors = (made.float() - frames.values).square() * hidden
            return Guessed(errors.flatten(1).sum(dim=1), hidden.flatten(1).sum(dim=1).to(errors.dtype))

    def _choose(self, frames: Tokens, draw: Draw) -> Tensor:
        """[B, F, bands] bool: what is to be guessed."""
        count, bands = self.config.frames, self.config.bands
        length, width = frames.values.shape[1:]
        grid = draw(math.ceil(length / count), math.ceil(width / bands), like=frames.values) < self.config.hidden
        hidden = grid.repeat_interleave(count, 1).repeat_interleave(bands, 2)[:, :length, :width]
        return hidden & frames.mask.unsqueeze(-1)


class _Given(nn.Module):
    """Stands in the place of a front end, and gives what was made already."""

    def __init__(self, frames: Tokens) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, arrays: Arrays) -> Tokens:
        del arrays
        return self.frames


def _encoded(encoder: nn.Module, frames: Tokens, arrays: Arrays) -> Tokens:
    """What ``encoder`` makes of ``frames`` in the place of those of ``arrays``."""
    front_end = encoder.front_end
    encoder.front_end = _Given(frames)
    try:
        tokens: Tokens = encoder(arrays)
        return tokens
    finally:
        encoder.front_end = front_end


@torch.no_grad()
def _frames_per_token(encoder: nn.Module, front_end: AudioFrontEnd) -> int:
    """For how many frames each Token stands.

    Raises:
        ConfigError: there is one Token for a whole recording.
    """
    was_training = encoder.training
    encoder.eval()
    second = torch.zeros(1, front_end.sample_rate)
    count: int = encoder(Arrays(second, torch.ones_like(second, dtype=torch.bool))).values.shape[1]
    encoder.train(was_training)
    if count < 2:
        raise refuse(
            objective="masked_audio",
            got="an encoder that makes one token of a recording",
            expected="several, to predict each part of the spectrum from",
            remedy="Set encoder.pool=frames, or use the objective contrastive",
        )
    return math.ceil((1 + front_end.sample_rate // front_end.config.hop) / count)
