"""An English voice: a text becomes speech, sentence by sentence, through onnxruntime on the CPU.

The network and how words are pronounced come in the package of the voice. Its files, code among them, are verified
before they are run. What it cannot say, it would leave out or spell; here such a text is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tonggan.errors import ConfigError, DataError, MissingExtraError
from tonggan.models.speech import Speech, format_of
from tonggan.models.transcript import Segment
from tonggan.progress import Progress
from tonggan.weights import CATALOGUE, find_weights

VOICE = "hibari"
SLOWEST, FASTEST = 0.5, 2.0
_MOST_CHARACTERS = 300  # of what is said in one go; longer sentences are cut where a clause ends, or between words
_MOST_LETTERS = 45  # of a word; what is longer is none, and would be cut short in silence
_SEED = 0  # of the noise in the voice
_LETTERS = frozenset("æœøßÆŒØ")  # beside those of English with any accents
_SIGNS = frozenset("‘’‚“”„‹›«»–—―‐‑…•·′″¡¿£€¥¢₹°×÷±−²³¹½¼¾©®™§†→\ufeff\u00ad\u200b")
_CLAUSE = re.compile(r"(?<=[,;:—])\s")


def is_voice(name: str) -> bool:
    """Whether ``name`` is that of a voice in the catalogue."""
    return name in CATALOGUE and CATALOGUE[name].gives.startswith("speech")


class Voice:
    """A voice of the catalogue.

    Args:
        name: what it is called there.

    Raises:
        ConfigError: there is none of that name.
        DataError: its files are missing or others.
        MissingExtraError: its package, or onnxruntime, is not installed.
    """

    def __init__(self, name: str = VOICE) -> None:
        self.name = name
        if not is_voice(name):
            raise ConfigError(
                "voice", got=f"'{name}'", expected=f"'{VOICE}'", remedy="See: tonggan weights list"
            )  # fmt: skip
        (folder,) = find_weights(name).folders()
        if find_spec("onnxruntime") is None:
            raise MissingExtraError.of("onnxruntime", extra="speech", purpose=f"voice '{name}'")
        # By the path it fetches nothing, whatever is missing.
        self._package: Any = import_module(folder.name).Hibari(model=str(folder / "assets" / "hibari.onnx"))
        self.sample_rate = int(self._package.sample_rate)

    def speak(self, text: str, *, speed: float = 1.0, progress: Progress | None = None) -> Speech:
        """``text`` as speech; the same text always sounds the same.

        Args:
            text: in English, of any length.
            speed: 0.5 to 2; 1 is the voice's own.
            progress: told of every sentence.

        Raises:
            ConfigError: such a speed is too slow or too fast.
            DataError: the text is empty, or has what the voice cannot say.
        """
        check_speed(speed)
        check_text(text)
        progress = progress or Progress()
        sentences = [piece for sentence in self._package.split_sentences(text) for piece in _cut(sentence)]
        parts, said, start = [], [], 0
        for number, sentence in enumerate(sentences):
            progress.update("speak", done=number, total=len(sentences))
            for phonemes in self._package.phonemize(sentence):
                part = self._package.from_phonemes(phonemes, speed=speed, seed=_SEED)
                parts.append(part)
                end = start + len(part)
                said.append(Segment(start / self.sample_rate, end / self.sample_rate, sentence))
                start = end
        if not parts:
            raise _unspeakable("signs alone", expected="a text with words in it")
        return Speech(np.concatenate(parts), self.sample_rate, said)


def check_speed(speed: float) -> None:
    """Raise ConfigError where the voice would not be understood at such a ``speed``."""
    if not SLOWEST <= speed <= FASTEST:
        raise ConfigError(
            "speed of the voice",
            got=f"{speed:g}",
            expected=f"a speed from {SLOWEST:g} to {FASTEST:g}",
            remedy="Choose a speed nearer to 1",
        )


def check_text(text: str) -> None:
    """Raise DataError where ``text`` has no words, or has a sign or a word that an English voice cannot say."""
    if not text.strip():
        raise _unspeakable("an empty text", expected="a text in English")
    for place, character in enumerate(text):
        if not _is_known(character):
            shown = f"'{character}'" if character.isprintable() else f"U+{ord(character):04X}"
            raise _unspeakable(f"{shown} at character {place + 1}", expected="English letters, figures and punctuation")
    if not any(character.isalnum() for character in text):
        raise _unspeakable("signs alone", expected="a text with words in it")
    longest = max(re.findall(r"[^\W\d_]+|\d+", text), key=len, default="")
    if len(longest) > _MOST_LETTERS:
        raise _unspeakable(
            f"a word of {len(longest)} characters, '{longest[:20]}…'", expected=f"words of at most {_MOST_LETTERS}"
        )


def _unspeakable(got: str, *, expected: str) -> DataError:
    return DataError("text to speak", got=got, expected=expected, remedy="Correct the text: the voice speaks English")


@cache
def _is_known(character: str) -> bool:
    if character.isascii():
        return character.isprintable() or character.isspace()
    if character in _LETTERS or character in _SIGNS or character.isspace():
        return True
    base = unicodedata.normalize("NFKD", character)  # é is an e with an accent, ﬁ is f and i
    marks = all(unicodedata.combining(each) for each in base[1:]) or base.isascii()
    return (base[0].isascii() and base[0].isalnum() and marks) or bool(unicodedata.combining(character))


def _cut(sentence: str) -> Iterator[str]:
    """What of a sentence is said in one go."""
    rest = " ".join(sentence.split())
    while len(rest) > _MOST_CHARACTERS:
        head = rest[:_MOST_CHARACTERS]
        clauses = [found.start() for found in _CLAUSE.finditer(head)]
        end = clauses[-1] if clauses and clauses[-1] > _MOST_CHARACTERS // 3 else head.rfind(" ")
        end = end if end > 0 else _MOST_CHARACTERS
        yield rest[:end]
        rest = rest[end:].strip()
    if rest:
        yield rest


_opened = cache(Voice)


def speak(text: str, *, out: str | Path | None = None, voice: str = VOICE, speed: float = 1.0) -> Speech:
    """An English ``text`` as speech.

    Args:
        text: of any length.
        out: file to write, WAV, FLAC, MP3, Ogg or Opus by its ending.
        voice: of ``tonggan weights list``.
        speed: 0.5 to 2; 1 is the voice's own.

    Raises:
        ConfigError: there is no such voice, speed or format.
        DataError: the text has what the voice cannot say, or the file cannot be written.
        MissingExtraError: the voice's package, or onnxruntime, is not installed.
    """
    if out is not None:
        format_of(Path(out))
    spoken = _opened(voice).speak(text, speed=speed)
    if out is not None:
        spoken.save(out)
    return spoken
