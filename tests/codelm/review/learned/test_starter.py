import json
from pathlib import Path

import pytest

from tonggan.codelm.review.learned import detector as module
from tonggan.codelm.review.learned.detector import STARTER, BugDetector
from tonggan.codelm.review.learned.functions import Function
from tonggan.codelm.review.reviewing import review

SIZE = "def __init__(self, width, height):\n    self.width = width\n    self.height = {}\n"
CHECK = "def check(values):\n    if isinstance({}):\n        return len(values)\n    return 0\n"


@pytest.fixture(scope="module")
def starter():
    return BugDetector.open(STARTER)


@pytest.mark.parametrize(
    ("text", "wrong", "right"), [(SIZE, "width", "height"), (CHECK, "list, values", "values, list")]
)
def test_a_plain_bug_is_told_and_its_repair_is_not(starter, text, wrong, right):
    bug, calm = starter.suspicions([Function(text.format(each), "f", "a.py", 1, "") for each in (wrong, right)])
    assert bug.confidence >= 0.5 > calm.confidence
    assert bug.rewrite.apply(text.format(wrong)) == text.format(right)


def test_a_review_reads_it_by_its_name(tmp_path):
    (tmp_path / "checks.py").write_text(CHECK.format("list, values"))
    (finding,) = review([tmp_path], only=["learned-bug"], detector=STARTER).findings
    assert finding.message == "`list` and the argument behind it look swapped"


def test_the_manifest_names_what_it_learned_from():
    manifest = json.loads((Path(module.__file__).parent / "starter" / "manifest.json").read_text())
    assert {"python", "torch", "sympy"} <= {each["package"] for each in manifest}
    assert all(each["version"] and each["license"] for each in manifest)
