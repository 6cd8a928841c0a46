"""Whisper writes recordings down: windows of 30 seconds through CTranslate2, one after where the last sentence ended.

The front end is our own, the network and its search are CTranslate2's, on the CPU in 8 bits. How windows follow one
another, and when an answer is refused and drawn anew, is as Radford et al. (2022) describe it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.encoders.whisper import SAMPLE_RATE, WINDOW_SECONDS, whisper_frames
from tonggan.errors import ConfigError, DataError, MissingExtraError
from tonggan.modalities.recordings import Recording
from tonggan.models.transcript import Segment, Transcript, TranscriptionConfig
from tonggan.progress import Progress
from tonggan.stored import named
from tonggan.tokens import Arrays
from tonggan.weights import CATALOGUE, find_weights
from tonggan.weights.ctranslate2_file import joined_files

_WINDOW = WINDOW_SECONDS * SAMPLE_RATE
_TICK = 0.02  # seconds from one timestamp token to the next
_SILENT = 1e-4  # of full scale: a window of samples within it is silence, and is not given to the model
_LEAST = SAMPLE_RATE // 10  # a rest of fewer samples is none
_MOST_TOKENS = 448
_TOKENS_A_SECOND, _MORE_TOKENS = 20, 30  # more than these nobody says in a window; what has more goes around in circles
_REPETITIVE = 2.4  # what compresses better than this goes around in circles
_UNLIKELY = -1.0  # mean log-probability below which an answer is drawn anew
_NO_SPEECH = 0.6
_TEMPERATURES = (0.0, 0.4, 0.8)
_DRAWN = 5
_FILES = ("model.bin", "config.json", "tokenizer.json")


@dataclass(frozen=True)
class _Answer:
    """What the model writes of a window."""

    ids: Sequence[int]
    avg_logprob: float
    no_speech_prob: float
    repetition: float
    is_complete: bool

    @property
    def is_good(self) -> bool:
        """Whether it stands; that of a window without speech does, too."""
        is_sure = self.avg_logprob >= _UNLIKELY or self.no_speech_prob > _NO_SPEECH
        return is_sure and self.is_sound

    @property
    def is_sound(self) -> bool:
        """Whether it ends by itself and does not go around in circles."""
        return self.is_complete and self.repetition <= _REPETITIVE


def is_whisper(name: str) -> bool:
    """Whether ``name`` is that of Whisper in the catalogue, or of a folder with it for CTranslate2."""
    entry = CATALOGUE.get(name.replace("-", "_"))
    return (entry is not None and entry.reads == "audio") or all((Path(name) / file).is_file() for file in _FILES)


class WhisperTranscriber:
    """Whisper, for recordings of any length.

    Args:
        files: contents by name, as CTranslate2's converter writes them, ``tokenizer.json`` among them.
        name: what it is called.
        compute_type: of the arithmetic, as CTranslate2 has it.

    Attributes:
        languages: codes of what it knows.

    Raises:
        MissingExtraError: CTranslate2 is not installed.
        DataError: the files are no Whisper model.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, files: Mapping[str, bytes], *, name: str, compute_type: str = "int8") -> None:
        try:
            import ctranslate2
        except ImportError as error:
            raise MissingExtraError.of("ctranslate2", extra="speech", purpose="transcription") from error
        import tokenizers

        self.name = name
        self._ctranslate2 = ctranslate2
        with named(f"model '{name}'", expected="Whisper, as CTranslate2 stores it", remedy="Download the model again"):
            self._tokenizer = tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode())
            self._model = ctranslate2.models.Whisper(
                name, files=dict(files), compute_type=compute_type, intra_threads=torch.get_num_threads()
            )
            ids = self._tokenizer.get_vocab(with_added_tokens=True)
            self._start, self._task = ids["<|startoftranscript|>"], ids["<|transcribe|>"]
            self._before, self._first_time = ids["<|startofprev|>"], ids["<|notimestamps|>"] + 1
            self._end = ids["<|endoftext|>"]
            languages = {
                match[1]: id_ for token, id_ in ids.items() if (match := re.fullmatch(r"<\|(\w{2,3})\|>", token))
            }
        self._languages = languages if self._model.is_multilingual else {}

    @classmethod
    def load(cls, name: str) -> Self:
        """The model that ``name`` means: ``whisper-base``, or a folder with CTranslate2's files and the tokenizer's.

        Raises:
            ConfigError: there is no such model.
            DataError: its files are missing, damaged or others.
            MissingExtraError: a package is not installed.
        """
        folder = Path(name).expanduser()
        if not folder.is_dir():
            entry = find_weights(name.replace("-", "_"), reads="audio")
            return cls(joined_files(entry.files()), name=name)
        missing = [file for file in _FILES if not (folder / file).is_file()]
        if missing:
            raise DataError(
                f"model folder {folder}",
                got=f"no file {missing[0]}",
                expected=f"the files of a Whisper model for CTranslate2: {', '.join(_FILES)} and its vocabulary",
                remedy="Convert it with ct2-transformers-converter, with --copy_files tokenizer.json",
            )
        paths = [folder / file for file in _FILES] + sorted(folder.glob("vocabulary.*"))
        return cls({path.name: path.read_bytes() for path in paths}, name=folder.name)

    @property
    def languages(self) -> list[str]:
        """Codes of the languages that it knows; none of one for English alone."""
        return sorted(self._languages)

    def check(self, config: TranscriptionConfig) -> None:
        """Raise ConfigError where the language of ``config`` is none that the model knows."""
        if config.language is not None and config.language not in (self._languages or ("en",)):
            raise ConfigError(
                f"language for {self.name}",
                got=f"'{config.language}'",
                expected=f"one of {', '.join(self.languages or ['en'])}",
                remedy="Give the code of the spoken language, or leave it out",
            )

    def transcribe(
        self, recording: Recording, config: TranscriptionConfig | None = None, *, progress: Progress | None = None
    ) -> Transcript:
        """What is said in ``recording``; a language that is not given is that of the first window with a sound."""
        config, progress = config or TranscriptionConfig(), progress or Progress()
        self.check(config)
        language = config.language if self._languages else "en"
        segments: list[Segment] = []
        blocks, rest, start, more = recording.blocks(), np.zeros(0, dtype=np.float32), 0, True
        while True:
            rest, more = _filled(rest, blocks, more)
            if len(rest) < _LEAST and (start or not len(rest)):
                break
            window = rest[:_WINDOW]
            passed = len(window)
            if np.abs(window).max() > _SILENT:
                encoded = self._encode(window)
                language = language or self._language(encoded)
                found, passed = self._segments(encoded, len(window), language, config)
                segments += [_later(segment, start / SAMPLE_RATE) for segment in found]
            start, rest = start + passed, rest[passed:]
            progress.update("transcribe", done=start / SAMPLE_RATE, total=max(recording.seconds, start / SAMPLE_RATE))
        return Transcript(segments, (start + len(rest)) / SAMPLE_RATE, language)

    def _encode(self, window: NDArray[np.float32]) -> Any:
        arrays = Arrays(torch.from_numpy(window)[None], torch.ones(1, len(window), dtype=torch.bool))
        frames = whisper_frames(arrays, num_mels=self._model.n_mels, whole_window=True)
        channels_first = np.ascontiguousarray(frames.values.transpose(1, 2).numpy())
        return self._model.encode(self._ctranslate2.StorageView.from_array(channels_first))

    def _language(self, encoded: Any) -> str:
        token, _ = self._model.detect_language(encoded)[0][0]
        return str(token).strip("<|>")

    def _segments(
        self, encoded: Any, length: int, language: str, config: TranscriptionConfig
    ) -> tuple[list[Segment], int]:
        """What is said in a window of ``length`` samples, and how many of them it covers."""
        most = round(_TOKENS_A_SECOND * length / SAMPLE_RATE) + _MORE_TOKENS
        answer = self._answer(encoded, language, config, most=most)
        if answer.no_speech_prob > _NO_SPEECH and answer.avg_logprob < _UNLIKELY:
            return [], length
        passages, covered = split_by_times(answer.ids, first_time=self._first_time, ticks=round(length / 320))
        segments = []
        for start, end, ids in passages:
            text = self._tokenizer.decode([id_ for id_ in ids if id_ < self._end]).strip()
            if text:
                segments.append(Segment(start * _TICK, end * _TICK, text, answer.avg_logprob, answer.no_speech_prob))
        return segments, min(length, covered * 320) or length

    def _answer(self, encoded: Any, language: str, config: TranscriptionConfig, *, most: int) -> _Answer:
        """The first that stands of ever freer answers of up to ``most`` tokens, else the likeliest sound one."""
        answers = []
        for temperature in sorted({config.temperature, *_TEMPERATURES}):
            if temperature >= config.temperature:
                answers.append(self._written(encoded, language, config, temperature=temperature, most=most))
                if answers[-1].is_good:
                    return answers[-1]
        sound = [answer for answer in answers if answer.is_sound]
        if not sound:
            return min(answers, key=lambda answer: answer.repetition)
        return max(sound, key=lambda answer: answer.avg_logprob)

    def _written(
        self, encoded: Any, language: str, config: TranscriptionConfig, *, temperature: float, most: int
    ) -> _Answer:
        if temperature:
            self._ctranslate2.set_random_seed(0)
            search = {"beam_size": 1, "num_hypotheses": _DRAWN, "sampling_topk": 0, "sampling_temperature": temperature}
        else:
            search = {"beam_size": config.beams}
        prompt = self._prompt(language, config)
        longest = min(_MOST_TOKENS // 2, most)
        result = self._model.generate(
            encoded,
            [prompt],
            max_length=max(2 * longest, longest + len(prompt)),  # CTranslate2 writes half of it
            return_scores=True,
            return_no_speech_prob=True,
            **search,
        )[0]
        ids = result.sequences_ids[0]
        text = self._tokenizer.decode([id_ for id_ in ids if id_ < self._end]).encode()
        return _Answer(
            ids,
            # CTranslate2 leaves the end out of the mean.
            avg_logprob=result.scores[0] * len(ids) / (len(ids) + 1),
            no_speech_prob=result.no_speech_prob,
            repetition=len(text) / len(zlib.compress(text)) if text else 0.0,
            is_complete=len(ids) < longest,
        )

    def _prompt(self, language: str, config: TranscriptionConfig) -> list[int]:
        before: list[int] = []
        if config.prompt:
            ids = self._tokenizer.encode(" " + config.prompt.strip(), add_special_tokens=False).ids
            before = [self._before, *ids[-(_MOST_TOKENS // 2 - 8) :]]
        if not self._languages:
            return [*before, self._start]
        return [*before, self._start, self._languages[language], self._task]


def split_by_times(ids: Sequence[int], *, first_time: int, ticks: int) -> tuple[list[tuple[int, int, list[int]]], int]:
    """The passages of an answer, and up to where the next window need not look.

    Each passage stands between two timestamps. Text that no timestamp follows broke off at the window's end: where
    others came before it, it is left to the next window, else it lasts to the end.

    Args:
        ids: text and timestamps.
        first_time: the id of the timestamp 0; higher ids are later.
        ticks: the window's length in timestamps.

    Returns:
        Start, end and ids of each passage, and a time; all in timestamps.
    """
    passages: list[tuple[int, int, list[int]]] = []
    start, text = 0, list[int]()
    for id_ in ids:
        if id_ < first_time:
            text.append(id_)
            continue
        time = min(id_ - first_time, ticks)
        if text:
            passages.append((start, max(start, time), text))
            text = []
        start = time
    if text and not passages:
        return [(start, ticks, text)], ticks
    # A single timestamp at the end says that the last passage ends there, and nothing follows.
    ends_in_silence = len(ids) > 1 and ids[-1] >= first_time > ids[-2]
    return passages, ticks if ends_in_silence or not passages else passages[-1][1]


def _filled(
    rest: NDArray[np.float32], blocks: Iterator[NDArray[np.float32]], more: bool
) -> tuple[NDArray[np.float32], bool]:
    """``rest`` and as many blocks as fill a window; and whether there may be more of them."""
    parts, length = [rest], len(rest)
    while more and length < _WINDOW:
        block = next(blocks, None)
        if block is None:
            more = False
        else:
            parts.append(block)
            length += len(block)
    return np.concatenate(parts), more


def _later(segment: Segment, seconds: float) -> Segment:
    return Segment(
        segment.start + seconds, segment.end + seconds, segment.text, segment.avg_logprob, segment.no_speech_prob
    )
