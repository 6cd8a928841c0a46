"""MFCC of a ragged batch of recordings: ours at once, against librosa called once for each clip.

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

from tonggan.encoders.audio_front_end import mfcc
from tonggan.modalities.audio import AudioConfig

SETTINGS = {"sample_rate": 16_000, "num_fft": 512, "hop": 160, "num_mels": 64, "num_coefficients": 20}
LENGTHS = {"words": (0.2, 1.0), "sentences": (1.0, 3.0)}


def make_clips(num_clips: int, *, shortest: float, longest: float) -> list[np.ndarray]:
    """Recordings of ``shortest`` to ``longest`` seconds: a gliding tone in noise, as int16."""
    random = np.random.default_rng(0)
    clips = []
    for _ in range(num_clips):
        length = int(random.uniform(shortest, longest) * SETTINGS["sample_rate"])
        time_axis = np.arange(length) / SETTINGS["sample_rate"]
        tone = np.sin(2 * np.pi * random.uniform(100, 2_000) * time_axis * (1 + time_axis))
        clips.append((8_000 * tone + 500 * random.standard_normal(length)).astype(np.int16))
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


def by_tonggan(clips: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    arrays = AudioConfig(sample_rate=SETTINGS["sample_rate"]).build().collate(clips)
    return mfcc(arrays.values, arrays.mask, **SETTINGS)


def check_equal(clips: list[np.ndarray]) -> None:
    for values, mask, expected in zip(*by_tonggan(clips), by_librosa(clips), strict=True):
        np.testing.assert_allclose(values[mask].numpy(), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def measure(clips: list[np.ndarray], *, repeats: int) -> dict[str, float]:
    """Median seconds for all clips of each way."""
    seconds: dict[str, list[float]] = {"librosa": [], "tonggan": []}
    for _ in range(repeats):
        for name, function in (("librosa", by_librosa), ("tonggan", by_tonggan)):
            start = time.perf_counter()
            function(clips)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ratios = {}
    for name, (shortest, longest) in LENGTHS.items():
        clips = make_clips(options.clips, shortest=shortest, longest=longest)
        with threadpool_limits(options.threads):
            check_equal(clips)  # and a warm-up
            medians = measure(clips, repeats=options.repeats)
        ratios[name] = medians["librosa"] / medians["tonggan"]
        times = ", ".join(f"{way} {1e3 * median:.2f} ms" for way, median in medians.items())
        print(f"{options.clips} {name} of {shortest} to {longest} s, {options.threads} thread(s): {times}")
    print("ratio " + ", ".join(f"{ratio:.2f}x for {name}" for name, ratio in ratios.items()) + " (goal 4x)")


if __name__ == "__main__":
    main()
