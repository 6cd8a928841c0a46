"""Chat rows about a picture, a recording, both, or neither, from easy-VQA, strings of spoken digits and plain facts.

Some rows ask about a picture or a recording that is not there, and the reply says so, so that a model learns never to
fake presence. The wording of a message decides the wording of its reply, so a reply can be measured by exact match.
Test rows have official test pictures, strings of official test recordings and facts that no other part has;
validation rows have pictures, recordings and facts that no training row has. Wordings are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from tonggan.data.public.assistant_facts import facts
from tonggan.data.public.connected_digits import WORDS, official_parts, write_strings
from tonggan.data.public.easy_vqa import read_questions
from tonggan.data.public.writing import write_csv
from tonggan.progress import Progress

COLUMNS = ("picture", "recording", "message", "reply", "about")
NUM_ROWS = {
    "train": {"picture": 4_000, "recording": 3_000, "both": 1_000, "presence": 1_200, "plain": 1_000},
    "valid": {"picture": 200, "recording": 150, "both": 50, "presence": 100, "plain": 100},
    "test": {"picture": 400, "recording": 300, "both": 100, "presence": 200, "plain": 100},
}
SHAPES = ("circle", "rectangle", "triangle")
COLORS = ("black", "gray", "red", "green", "blue", "teal", "brown", "yellow")
FRACTIONS = {"train": 0.8, "valid": 0.1, "test": 0.1}
SEED = 0
_ItemT = TypeVar("_ItemT")

# A message and its reply. "{other_shape}" and "{other_color}" are ones that the picture does not show.
_PICTURE = (
    ("What shape is in the picture?", "It is a {shape}."),
    ("Which shape do you see?", "I see a {shape}."),
    ("Tell me the shape in this picture.", "The shape is a {shape}."),
    ("What color is the shape?", "It is {color}."),
    ("Which color do you see in the picture?", "I see {color}."),
    ("Tell me the color of the shape.", "The shape is {color}."),
    ("What is in the picture?", "There is a {color} {shape}."),
    ("Describe the picture.", "The picture shows a {color} {shape}."),
    ("Is there a {shape} in the picture?", "Yes, there is a {shape}."),
    ("Is there a {other_shape} in the picture?", "No, there is no {other_shape}. It is a {shape}."),
    ("Is the shape {color}?", "Yes, it is {color}."),
    ("Is the shape {other_color}?", "No, it is not {other_color}. It is {color}."),
)
_RECORDING = (
    ("Which digits do you hear?", "I hear {digits}."),
    ("What do I say in the recording?", "You say {digits}."),
    ("Write down the digits in the recording.", "The digits are {digits}."),
    ("How many digits do you hear?", "I hear {count}: {digits}."),
    ("What is the first digit in the recording?", "The first digit is {first}."),
    ("What is the last digit that I say?", "The last digit is {last}."),
)
_BOTH = (
    ("What do you see and what do you hear?", "I see a {color} {shape} and hear {digits}."),
    ("Describe the picture and the recording.", "The picture shows a {color} {shape}. The recording says {digits}."),
    ("Which shape do you see, and which digits do you hear?", "I see a {shape} and hear {digits}."),
    *_PICTURE,
    *_RECORDING,
)
_NO_PICTURE = "There is no picture in your message, so I cannot tell."
_NO_RECORDING = "There is no recording in your message, so I cannot tell."
# By whether a picture and a recording are there.
_ATTACHED = {
    (False, False): "You sent text alone.",
    (True, False): "You sent a picture with your text.",
    (False, True): "You sent a recording with your text.",
    (True, True): "You sent a picture and a recording with your text.",
}
_WHAT_IS_THERE = ("What did I send you?", "What is in my message besides text?")
_PREFIXES = ("", "Please tell me: ", "A quick question: ", "I have a question. ", "Can you answer this? ")


@dataclass(frozen=True)
class _Material:
    """What the rows of one part are made of: pictures as path, shape and color; strings as path and words; facts."""

    pictures: Sequence[tuple[str, str, str]]
    strings: Sequence[tuple[str, list[str]]]
    facts: Sequence[tuple[str, str]]


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:
    """``train.csv``, ``valid.csv`` and ``test.csv`` with the columns picture (an absolute path, or empty), recording
    (a path beside the table, or empty), message, reply, about ("picture", "recording", "both", "presence" or "plain").

    Raises:
        MissingExtraError: the package with the pictures is not installed.
    """
    tables = {split: folder / f"{split}.csv" for split in NUM_ROWS}
    if all(path.exists() for path in tables.values()):
        return tables
    generator = np.random.default_rng(SEED)
    pictures = _pictures(generator)
    recordings = official_parts(files)
    known = _cut(facts(), generator)
    for split, path in tables.items():
        counts = NUM_ROWS[split]
        strings = write_strings(
            recordings[split],
            counts["recording"],
            folder=folder,
            group=split,
            mostly_short=split == "train",
            generator=generator,
            progress=progress,
        )
        heard = [(str(row["audio"]), str(row["digits"]).split()) for row in strings]
        rows = list(_rows(_Material(pictures[split], heard, known[split]), counts, generator))
        write_csv(path, [rows[index] for index in generator.permutation(len(rows))], columns=COLUMNS)
    return tables


def _pictures(generator: np.random.Generator) -> dict[str, list[tuple[str, str, str]]]:
    """Path, shape and color of each picture of which the questions tell both, by part."""
    shown: dict[str, list[tuple[str, str, str]]] = {}
    for split, rows in read_questions().items():
        words: dict[str, set[str]] = {}
        for row in rows:
            words.setdefault(row["image"], set()).update(_true_words(row["question"], row["answer"]))
        shown[split] = [
            (path, shape, color)
            for path, told in words.items()
            for shape in told & set(SHAPES)
            for color in told & set(COLORS)
        ]
    order = generator.permutation(len(shown["train"]))
    num_valid = round(FRACTIONS["valid"] * len(order))
    return {
        "train": [shown["train"][index] for index in order[num_valid:]],
        "valid": [shown["train"][index] for index in order[:num_valid]],
        "test": shown["test"],
    }


def _true_words(question: str, answer: str) -> set[str]:
    """The words of a question and its answer that are true of the picture."""
    if answer not in ("yes", "no"):
        return {answer}
    words = set(question.rstrip("?").split())
    is_there = (answer == "yes") != bool(words & {"no", "not"})
    return words if is_there else set()


def _cut(pairs: Sequence[tuple[str, str]], generator: np.random.Generator) -> dict[str, list[tuple[str, str]]]:
    order = generator.permutation(len(pairs))
    edges = np.round(np.cumsum([0.0, *FRACTIONS.values()]) * len(order)).astype(int)
    return {
        split: [pairs[index] for index in order[start:stop]]
        for split, start, stop in zip(FRACTIONS, edges[:-1], edges[1:], strict=True)
    }


def _rows(material: _Material, counts: Mapping[str, int], generator: np.random.Generator) -> Iterator[dict[str, str]]:
    """The rows of one part; every picture and string in turn, wordings at random."""
    for about, templates in (("picture", _PICTURE), ("recording", _RECORDING), ("both", _BOTH)):
        for number in range(counts[about]):
            picture = material.pictures[number % len(material.pictures)]
            string = material.strings[number % len(material.strings)]
            message, reply = _pick(templates, generator)
            names = _names(picture, string, generator)
            yield {
                "picture": "" if about == "recording" else picture[0],
                "recording": "" if about == "picture" else string[0],
                "message": message.format(**names),
                "reply": reply.format(**names),
                "about": about,
            }
    for _ in range(counts["presence"]):
        yield _presence_row(material, generator)
    for number in range(counts["plain"]):
        message, reply = material.facts[number % len(material.facts)]
        turn = number // len(material.facts)
        prefix = _PREFIXES[turn % len(_PREFIXES)] if message.endswith("?") else ""
        yield {"picture": "", "recording": "", "message": prefix + message, "reply": reply, "about": "plain"}


def _presence_row(material: _Material, generator: np.random.Generator) -> dict[str, str]:
    """A question about what is not there, or about what is."""
    picture = _pick(material.pictures, generator)
    string = _pick(material.strings, generator)
    has_picture, has_recording = (bool(flag) for flag in generator.integers(2, size=2))
    asked = [
        templates for templates, is_there in ((_PICTURE, has_picture), (_RECORDING, has_recording)) if not is_there
    ]
    if asked and generator.random() < 0.75:
        templates = _pick(asked, generator)
        message = _pick(templates, generator)[0].format(**_names(picture, string, generator))
        reply = _NO_PICTURE if templates is _PICTURE else _NO_RECORDING
    else:
        message = _pick(_WHAT_IS_THERE, generator)
        reply = _ATTACHED[has_picture, has_recording]
    return {
        "picture": picture[0] if has_picture else "",
        "recording": string[0] if has_recording else "",
        "message": message,
        "reply": reply,
        "about": "presence",
    }


def _names(
    picture: tuple[str, str, str], string: tuple[str, list[str]], generator: np.random.Generator
) -> dict[str, str]:
    """What the templates speak of."""
    _, shape, color = picture
    _, digits = string
    return {
        "shape": shape,
        "color": color,
        "other_shape": _pick([each for each in SHAPES if each != shape], generator),
        "other_color": _pick([each for each in COLORS if each != color], generator),
        "digits": " ".join(digits),
        "count": WORDS[len(digits)],
        "first": digits[0],
        "last": digits[-1],
    }


def _pick(items: Sequence[_ItemT], generator: np.random.Generator) -> _ItemT:
    return items[int(generator.integers(len(items)))]
