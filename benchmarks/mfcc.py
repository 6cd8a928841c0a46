"""MFCC of a ragged batch of recordings: ours in one pass, against librosa called once for each clip.

Same samples, same number of threads, repeats of the two interleaved in one process. Run: python benchmarks/mfcc.py
"""

from __future__ import annotations

import argparse
import statistics
import time

import librosa
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from tonggan.modalities.audio import AudioConfig
from tonggan.modalities.spectrum import mfcc

SETTINGS = {"sample_rate": 16_000, "num_fft": 512, "hop": 160, "num_mels": 64, "num_coefficients": 20}


def make_clips(num_clips: int) -> list[np.ndarray]:
    """Recordings of 0.3 to 2 seconds: a gliding tone in noise, as int16."""
    random = np.random.default_rng(0)
    clips = []
    for _ in range(num_clips):
        time_axis = np.arange(random.integers(4_800, 32_000)) / SETTINGS["sample_rate"]
        tone = np.sin(2 * np.pi * random.uniform(100, 2_000) * time_axis * (1 + time_axis))
        clips.append((8_000 * tone + 500 * random.standard_normal(len(time_axis))).astype(np.int16))
    return clips


def by_librosa(clips: list[np.ndarray]) -> list[np.ndarray]:
    return [
        librosa.feature.mfcc(
            y=clip.astype(np.float32) / 32768,
            sr=SETTINGS["sample_rate"],
            n_mfcc=SETTINGS["num_coefficients"],
            n_fft=SETTINGS["num_fft"],
            hop_length=SETTINGS["hop"],
            n_mels=SETTINGS["num_mels"],
        ).T
        for clip in clips
    ]


def by_tonggan(clips: list[np.ndarray]) -> list[np.ndarray]:
    arrays = AudioConfig(sample_rate=SETTINGS["sample_rate"]).build().collate(clips)
    values, mask = mfcc(arrays.values, arrays.mask, **SETTINGS)
    return [row[kept].numpy() for row, kept in zip(values, mask, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clips = make_clips(options.clips)
    seconds: dict[str, list[float]] = {"librosa": [], "tonggan": []}
    with threadpool_limits(options.threads):
        for ours, theirs in zip(by_tonggan(clips), by_librosa(clips), strict=True):  # the same numbers, and a warm-up
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-2)
        for _ in range(options.repeats):
            for name, function in (("librosa", by_librosa), ("tonggan", by_tonggan)):
                start = time.perf_counter()
                function(clips)
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:8} {1e3 * median:8.2f} ms for {options.clips} clips, {options.threads} thread(s)")
    print(f"ratio    {medians['librosa'] / medians['tonggan']:.2f}x (goal 4x)")


if __name__ == "__main__":
    main()
