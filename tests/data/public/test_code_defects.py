from collections import Counter
from pathlib import Path

import pytest

from public_sets import needs_mirror, parts_of
from tonggan.data.public.code_defects import read_rows


def test_programs_that_differ_in_names_alone_are_one_row():
    programs = {
        "data/question_1/code/correct/correct_1_001.py": b"def f(x):\r\n    return x\r\n",
        "data/question_1/code/correct/correct_1_002.py": b"def f(value):\n    return value  # the same\n",
        "data/question_1/code/wrong/wrong_1_001.py": b"def f(x):\n    return 1\n",
        "data/question_2/code/correct/correct_2_001.py": b"def f(x):\n    return 1\n",
        "data/question_2/code/wrong/wrong_2_001.py": b"def f(x)\n",
        "data/question_3/code/correct/correct_3_001.py": b"x = 2\n",
        "data/question_3/code/wrong/wrong_3_001.py": b"y = 2\n",
    }
    assert read_rows(programs) == [
        {"code": "def f(x):\n    return x", "exercise": "1", "answer": "right"},
        {"code": "def f(x):\n    return 1", "exercise": "1", "answer": "wrong"},
        {"code": "def f(x):\n    return 1", "exercise": "2", "answer": "right"},
        {"code": "def f(x)", "exercise": "2", "answer": "wrong"},
    ]


@needs_mirror
@pytest.mark.slow
def test_parts(cache_of_sets: Path) -> None:
    parts = parts_of("code_defects", cache_of_sets)
    assert {split: len(rows) for split, rows in parts.items()} == {"train": 1_606, "valid": 230, "test": 459}
    answers = Counter(row["answer"] for rows in parts.values() for row in rows)
    assert answers == {"wrong": 1_405, "right": 890}
