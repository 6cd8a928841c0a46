"""A clip frame by frame through any encoder of pictures, then a recurrent network over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.image_cnn import ImageCNNConfig
from tonggan.encoders.present import encode_present
from tonggan.encoders.video_frames import FrameEncoder, SeenFrames
from tonggan.modalities.base import InputConfig
from tonggan.modalities.image import ImageConfig
from tonggan.modalities.video import Video
from tonggan.tokens import Arrays, Tokens

_MOST = 128  # pixels of a frame's side: with 224 each of many frames would take three times as long


class VideoCNNRNNConfig(EncoderConfig):
    """Each frame through an encoder of pictures, their vectors through a GRU or LSTM (after Donahue et al. 2015)."""

    reads: ClassVar[str] = "video"
    is_default: ClassVar[bool] = True
    kind: Literal["video_cnn_rnn"] = "video_cnn_rnn"
    frame: EncoderConfig = ImageCNNConfig(channels=(16, 32, 64, 128), pool_first=True)
    """The encoder of a single frame: any that reads pictures."""
    cell: Literal["gru", "lstm"] = "gru"
    """The recurrent cell that reads the frames in order."""
    num_layers: int = Field(default=1, ge=1)
    """Recurrent layers."""
    bidirectional: bool = True
    """Whether frames are read in both directions, with half of the width each."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability of a frame's features in training."""

    @field_validator("frame")
    @classmethod
    def _reads_pictures(cls, frame: EncoderConfig) -> EncoderConfig:
        if frame.reads != "image":
            raise ValueError(f"an encoder of pictures is needed, {frame.kind} reads {frame.reads}")
        return frame

    @property
    def base(self) -> Mapping[str, str]:
        return self.frame.base

    def prepare(self, modality: InputConfig) -> InputConfig:
        """The clips at the size that the frames' encoder wants, up to 128 pixels, unless the column names one."""
        pictures = ImageConfig()
        wanted = self.frame.prepare(pictures)
        if "size" in modality.model_fields_set or not isinstance(wanted, ImageConfig) or wanted.size == pictures.size:
            return modality
        return modality.model_copy(update={"size": min(wanted.size, _MOST)})

    def build(self, modality: Video, *, dim: int) -> nn.Module:
        """An encoder of that modality's clips."""
        return VideoCNNRNN(self, self.frame.build(modality.picture, dim=dim), dim=dim)


class VideoCNNRNN(nn.Module):
    """Clips ``uint8 [B, K, 3, S, S]`` to Tokens ``[B, N, dim]``, one for each frame that is seen."""

    ends = ("norm", "projection")

    def __init__(self, config: VideoCNNRNNConfig, frame: nn.Module, *, dim: int) -> None:
        super().__init__()
        self.front_end = SeenFrames()
        self.frame = FrameEncoder(frame, dim=dim)
        self.dropout = nn.Dropout(config.dropout)
        network = {"gru": nn.GRU, "lstm": nn.LSTM}[config.cell]
        width = dim // 2 if config.bidirectional else dim
        self.network = network(
            dim, width, num_layers=config.num_layers, bidirectional=config.bidirectional, batch_first=True
        )
        self.norm = nn.LayerNorm(width * (2 if config.bidirectional else 1))
        self.projection = nn.Linear(self.norm.normalized_shape[0], dim)

    @property
    def adapts(self) -> bool:
        """Whether the frames' encoder computes something of the training part."""
        return bool(getattr(self.frame.encoder, "adapts", False))

    def adapt(self, arrays: Arrays) -> None:
        """Have the frames' encoder compute what it needs of clips of the training part."""
        seen = self.front_end(arrays)
        adapt = self.frame.encoder.adapt
        assert callable(adapt), "an encoder that adapts can"
        adapt(Arrays(seen.values.flatten(0, 1), seen.mask.flatten()))

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only clips that are there pass through the network."""
        return encode_present(self.front_end(arrays), self._encode)

    def _encode(self, frames: Arrays) -> Tokens:
        vectors = self.dropout(self.frame(frames.values, frames.mask))
        values = self.projection(self.norm(self._over_time(vectors, frames.mask)))
        return Tokens(values, frames.mask)

    def _over_time(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """``[B, N, width]``; frames that are no longer real are at the end and change nothing."""
        if not len(vectors):
            # Every weight takes part in every step, though a batch has no clip.
            weights = sum((weight.sum() for weight in self.network.parameters()), vectors.new_zeros(()))
            return vectors.new_zeros(0, mask.shape[1], self.norm.normalized_shape[0]) + 0 * weights
        if torch.compiler.is_exporting():  # of whose clips all have as many frames
            states: Tensor = self.network(vectors)[0]
            return states
        packed = nn.utils.rnn.pack_padded_sequence(
            vectors, mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(
            self.network(packed)[0], batch_first=True, total_length=mask.shape[1]
        )
        return states
