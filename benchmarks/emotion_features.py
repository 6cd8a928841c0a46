"""Emotions of emodb by logistic regression on frozen features of Whisper base: which of its blocks to read.

Block by block, pairs of speakers are left out in turn, among the eight that learn; the two that are held out (15 and
16) are measured once, with the block that the embedder reads by default.

Needs: the packages of whisper_base (tonggan weights get whisper_base); a folder with emodb's zip. Run: python
benchmarks/emotion_features.py FOLDER/emodb/flac.zip
"""

from __future__ import annotations

import argparse
import io
import time
import zipfile
from pathlib import Path

import numpy as np
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tonggan.encoders.whisper import load_whisper
from tonggan.models.audio_embedder import AudioEmbedder

HELD_OUT = ("15", "16")
PAIRS = [("03", "08"), ("10", "09"), ("11", "13"), ("12", "14")]


def accuracy(vectors: np.ndarray, labels: np.ndarray, test: np.ndarray) -> tuple[int, int]:
    """How many of the ``test`` rows are right, and how many there are, learning from the others."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)).fit(vectors[~test], labels[~test])
    return int((model.predict(vectors[test]) == labels[test]).sum()), int(test.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="emodb's recordings as FLAC in a zip")
    parser.add_argument("--blocks", type=int, nargs="*", default=[1, 2, 3, 4, 6])
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.archive) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".flac"))
        clips = [soundfile.read(io.BytesIO(archive.read(name)), dtype="float32")[0] for name in names]
    stems = [Path(name).stem for name in names]
    speakers, labels = np.array([stem[:2] for stem in stems]), np.array([stem[5] for stem in stems])
    learning = ~np.isin(speakers, HELD_OUT)
    encoder = load_whisper("whisper_base")
    for num_blocks in arguments.blocks:
        embedder = AudioEmbedder(encoder, name="", identity="", sample_rate=16_000, num_blocks=num_blocks)
        start = time.perf_counter()
        vectors = embedder.embed(clips)
        seconds = time.perf_counter() - start
        found = [accuracy(vectors[learning], labels[learning], np.isin(speakers[learning], pair)) for pair in PAIRS]
        right, of = map(sum, zip(*found, strict=True))
        print(
            f"{num_blocks} blocks: {right / of:.3f} of {of} with speakers left out, {len(clips) / seconds:.0f} clips/s"
        )
        if num_blocks == encoder.config.encoder_layers // 2:
            right, of = accuracy(vectors, labels, ~learning)
            print(f"  speakers {' and '.join(HELD_OUT)}, held out: {right / of:.3f} of {of}")


if __name__ == "__main__":
    main()
