"""Recordings to vectors by a Whisper encoder that stays as it was trained: what plain members learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tonggan.encoders.whisper import SAMPLE_RATE, WINDOW_SECONDS, WhisperEncoder, load_whisper, whisper_frames
from tonggan.layers.cores import map_on_cores
from tonggan.progress import Progress
from tonggan.tokens import Arrays
from tonggan.weights import find_weights

_STRETCHES = 16
_RECORDINGS_AT_ONCE = 64  # between two looks at the progress
_PREPARATION = (
    "mean and deviation of the middle block, no silence behind, 1"  # changes with whatever changes the vectors
)


class AudioEmbedder:
    """A frozen encoder whose vector is the mean and the standard deviation over time of its middle block's output.

    Later blocks know ever more of the words and less of the voice; ``benchmarks/emotion_features.py`` shows it. Nothing
    behind a recording's end is computed, in place of the rest of a window of 30 seconds.

    Args:
        encoder: with its weights.
        name: of the weights.
        identity: of all that vectors depend on but the code here.
        sample_rate: of the samples that ``embed`` gets.
        num_blocks: that are computed; half of them by default.

    Attributes:
        name: of the weights.
        identity: vectors can be compared only with vectors of the same identity.
        dim: width of a vector.
    """

    def __init__(
        self, encoder: WhisperEncoder, *, name: str, identity: str, sample_rate: int, num_blocks: int | None = None
    ) -> None:
        self._encoder = encoder.eval()
        self._num_blocks = encoder.config.encoder_layers // 2 if num_blocks is None else num_blocks
        self._sample_rate = sample_rate
        self.name = name
        self.dim = 2 * encoder.dim
        settings = f"{sample_rate} {self._num_blocks} {_PREPARATION}"
        self.identity = hashlib.sha256(f"{identity} {settings}".encode()).hexdigest()[:16]

    @classmethod
    def load(cls, name: str, *, sample_rate: int = SAMPLE_RATE) -> AudioEmbedder:
        """The embedder with the weights that the catalogue calls ``name``.

        Args:
            name: of the weights.
            sample_rate: of the samples that ``embed`` gets; those of another rate than 16 kHz are resampled.

        Raises:
            ConfigError: the catalogue has no such audio weights.
            DataError: a file is another one than the published one.
            MissingExtraError: a package is not installed.
        """
        digests = " ".join(find_weights(name, reads="audio").sha256.values())
        return cls(load_whisper(name), name=name, identity=digests, sample_rate=sample_rate)

    def embed(self, items: Sequence[NDArray[np.float32]], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """``[N, D]``; a recording longer than 30 seconds is read in windows of so many; no sample at all gives zeros.

        Args:
            items: float32 ``[T]`` mono in [-1, 1].
            progress: is told how many are done.
        """
        progress = progress or Progress()
        result = np.empty((len(items), self.dim), dtype=np.float32)
        for first in range(0, len(items), _RECORDINGS_AT_ONCE):
            part = items[first : first + _RECORDINGS_AT_ONCE]
            for row, vector in enumerate(map_on_cores(self._vector, part), start=first):
                result[row] = vector
            progress.update("embed", done=first + len(part), total=len(items))
        return result

    def embed_tokens(self, items: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """For each recording ``[T, D / 2]``: the mean of each of its stretches, sixteen of one length at most."""
        return list(map_on_cores(self._stretches, items))

    def _vector(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        values = self._frames(samples)
        if not len(values):
            return np.zeros(self.dim, dtype=np.float32)
        vector: NDArray[np.float32] = torch.cat([values.mean(dim=0), values.std(dim=0, correction=0)]).numpy()
        return vector

    def _stretches(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        values = self._frames(samples)
        if len(values) > _STRETCHES:
            values = F.adaptive_avg_pool1d(values.T, _STRETCHES).T.contiguous()
        stretches: NDArray[np.float32] = values.numpy()
        return stretches

    @torch.no_grad()
    def _frames(self, samples: NDArray[np.float32]) -> Tensor:
        """``[T, D / 2]``, every 20 ms."""
        import soxr

        if len(samples) and self._sample_rate != SAMPLE_RATE:
            samples = soxr.resample(samples, self._sample_rate, SAMPLE_RATE)
        if not len(samples):
            return torch.zeros(0, self.dim // 2)
        states = []
        whole, length = torch.from_numpy(np.ascontiguousarray(samples)), WINDOW_SECONDS * SAMPLE_RATE
        for start in range(0, len(whole), length):
            window = whole[start : start + length]
            arrays = Arrays(window[None], torch.ones(1, len(window), dtype=torch.bool))
            frames = whisper_frames(arrays, num_mels=self._encoder.config.num_mel_bins)
            states.append(self._encoder.hidden_states(frames, num_blocks=self._num_blocks)[-1][0])
        return torch.cat(states)
