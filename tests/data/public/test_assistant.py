import re
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from public_sets import get, needs_mirror, parts_of
from tonggan.data.public import assistant
from tonggan.data.public.assistant_facts import facts
from tonggan.data.public.easy_vqa import read_questions
from tonggan.errors import MissingExtraError

FEW = {
    "train": {"picture": 300, "recording": 60, "both": 40, "presence": 120, "plain": 250},
    "valid": {"picture": 20, "recording": 10, "both": 10, "presence": 20, "plain": 20},
    "test": {"picture": 60, "recording": 30, "both": 20, "presence": 60, "plain": 27},
}


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, str]]]:
    monkeypatch.setattr(assistant, "NUM_ROWS", FEW)
    return parts_of("assistant", tmp_path)


@needs_mirror
def test_what_a_message_holds_is_what_its_row_says(parts: dict[str, list[dict[str, str]]]) -> None:
    for split, rows in parts.items():
        assert Counter(row["about"] for row in rows) == FEW[split]
        for row in rows:
            there = {name for name in ("picture", "recording") if row[name]}
            expected = {
                "picture": {"picture"},
                "recording": {"recording"},
                "both": {"picture", "recording"},
                "plain": set(),
            }
            if row["about"] in expected:
                assert there == expected[row["about"]]
                assert "no picture" not in row["reply"]
                assert "no recording" not in row["reply"]


@needs_mirror
def test_presence_is_never_faked(parts: dict[str, list[dict[str, str]]]) -> None:
    rows = [row for part in parts.values() for row in part if row["about"] == "presence"]
    states = Counter((bool(row["picture"]), bool(row["recording"])) for row in rows)
    assert len(states) == 4
    for row in rows:
        if "no picture" in row["reply"]:
            assert not row["picture"]
        elif "no recording" in row["reply"]:
            assert not row["recording"]
        else:
            assert ("picture" in row["reply"]) == bool(row["picture"])
            assert ("recording" in row["reply"]) == bool(row["recording"])


@needs_mirror
def test_parts_share_no_picture_recording_or_fact(parts: dict[str, list[dict[str, str]]]) -> None:
    official = {split: {row["image"] for row in rows} for split, rows in read_questions().items()}
    pictures = {split: {row["picture"] for row in rows} - {""} for split, rows in parts.items()}
    assert pictures["test"] <= official["test"]
    assert pictures["train"] | pictures["valid"] <= official["train"]
    assert not pictures["train"] & pictures["valid"]
    replies = {split: {row["reply"] for row in rows if row["about"] == "plain"} for split, rows in parts.items()}
    questions = {
        split: {row["message"].rpartition(": ")[2] for row in rows if row["about"] == "plain"}
        for split, rows in parts.items()
    }
    assert replies["test"] - replies["train"]
    assert not questions["test"] & questions["train"]
    assert not questions["valid"] & questions["train"]


@needs_mirror
def test_replies_name_the_color_that_is_drawn(parts: dict[str, list[dict[str, str]]]) -> None:
    colors = {
        "red": (255, 0, 0),
        "green": (0, 255, 0),
        "blue": (0, 0, 255),
        "black": (0, 0, 0),
        "yellow": (255, 255, 0),
    }
    checked = 0
    for row in parts["test"]:
        found = re.match(r"(?:There is|The picture shows|I see) a (\w+) \w+", row["reply"])
        if found and found.group(1) in colors:
            pixels = cv2.imread(row["picture"])[:, :, ::-1].reshape(-1, 3)
            distance = np.abs(pixels.astype(int) - colors[found.group(1)]).sum(axis=1)
            assert distance.min() < 130, row
            checked += 1
    assert checked > 2


def test_facts_are_about_three_hundred_and_true_where_a_machine_can_tell() -> None:
    known = dict(facts())
    assert len(known) == len(facts())
    assert 250 <= len(known) <= 320
    for question, answer in known.items():
        if found := re.fullmatch(r"What is (\d) (plus|minus) (\d)\?", question):
            one, sign, two = found.groups()
            result = int(one) + int(two) if sign == "plus" else int(one) - int(two)
            assert answer == f"{one} {sign} {two} is {result}."
    assert known["Which month comes after December?"] == "January comes after December."


@needs_mirror
def test_without_the_package_the_remedy_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[starter\]'"):
        get("assistant", tmp_path)
