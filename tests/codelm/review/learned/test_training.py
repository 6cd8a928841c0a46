from random import Random

import pytest
import torch

from tonggan.codelm.review.learned.detector import BugDetector
from tonggan.codelm.review.learned.functions import Function
from tonggan.codelm.review.learned.training import DetectorTrainingConfig, train_detector
from tonggan.errors import DataError

SMALL = DetectorTrainingConfig.model_validate(
    {
        "network": {"dim": 32, "num_layers": 2, "num_heads": 2},
        "vocabulary": 200,
        "tokens_at_once": 600,
        "epochs": 10,
        "learning_rate": 4e-3,
        "time_limit": None,
    }
)
NAMES = ["rows", "words", "users", "files", "prices", "pages", "keys", "nodes"]


def functions(number):
    """All count alike, under other names."""
    drawn = Random(0)
    found = []
    for row in range(number):
        name, place = drawn.choice(NAMES), row % 60
        text = (
            f"def count_{name}({name}, first, last):\n    count_{place} = 0\n    for each in {name}:\n"
            f"        if first <= each < last:\n            count_{place} += 1\n    return count_{place}\n"
        )
        found.append(Function(text, f"count_{name}", f"package/{place}.py", 1, ""))
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_detector(functions(400), folder=tmp_path_factory.mktemp("detector") / "run", config=SMALL)


def test_it_learns_what_all_functions_do(trained):
    assert trained.num_held_out >= 10
    assert trained.metrics["accuracy"] > 0.6
    assert trained.metrics["located"] > 0.4


def test_a_function_with_a_bug_is_suspected_more(trained):
    right = functions(401)[-1]
    wrong = right._replace(text=right.text.replace("<= each <", "<= each >="))
    calm, alarmed = trained.detector.suspicions([right, wrong])
    assert alarmed.score > calm.score
    assert alarmed.rewrite.apply(wrong.text) == right.text
    assert alarmed.confidence >= calm.confidence


def test_a_saved_one_is_the_same(trained, tmp_path):
    path = tmp_path / "detector.safetensors"
    trained.detector.save(path)
    opened = BugDetector.open(path)
    some = functions(3)
    for one, other in zip(trained.detector.suspicions(some), opened.suspicions(some), strict=True):
        assert one.rewrite == other.rewrite
        assert one.score == pytest.approx(other.score, abs=0.05)  # half precision
    torch.testing.assert_close(opened.levels, trained.detector.levels)


@pytest.mark.parametrize("damage", ["missing", "cut", "text"])
def test_a_damaged_one_is_named(trained, tmp_path, damage):
    path = tmp_path / "detector.safetensors"
    trained.detector.save(path)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.write_text("no detector")
    with pytest.raises(DataError, match=r"bug detector .*detector.safetensors"):
        BugDetector.open(path)


def test_too_few_functions_are_refused(tmp_path):
    with pytest.raises(DataError, match="10 functions that can be read"):
        train_detector(functions(10), folder=tmp_path / "run", config=SMALL)


def test_what_is_too_long_or_no_function_is_passed_over(trained):
    texts = ["def f(:", "def f():\n    return g()", "def f(a, b):\n" + "    a = b\n" * 400]
    assert list(trained.detector.suspicions([Function(text, "f", "a.py", 1, "") for text in texts])) == []
