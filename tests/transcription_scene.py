"""A tiny run that has learned to write down high and low tones."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

import tonggan

RATE = 4_000
SETTINGS = [
    f"columns.audio.sample_rate={RATE}",
    "columns.audio.max_seconds=1",
    "columns.audio.augment=null",
    "model.dim=32",
    "model.head.num_layers=1",
    "model.head.num_heads=2",
    "model.modality_dropout=0",
    "training.epochs=12",
    "training.batch_size=16",
    "training.learning_rate=0.003",
]


def tone(word: str, *, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    hertz = {"low": 200, "high": 1200}[word]
    return (np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate) / 2).astype(np.float32)


def encoded(samples: np.ndarray, *, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


def transcribing_run(out: Path) -> Path:
    words = [("low", "high")[row % 2] for row in range(64)]
    sounds = [encoded(tone(word) * (0.5 + row / 128)) for row, word in enumerate(words)]
    data = {"audio": sounds, "words": words}
    tonggan.fit(data, target="words", task="transcribe", out=out, settings=SETTINGS)
    return out
