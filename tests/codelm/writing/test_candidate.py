"""Texts are refused that do not parse, do not fit, do nothing, or name what is not there."""

from __future__ import annotations

import pytest

from tonggan.codelm.writing.candidate import Judge
from tonggan.codelm.writing.request import read_request

SOURCE = '''\
import math


def root(x):
    """The square root."""


class Box:
    size = 1
'''


@pytest.fixture
def judged(tmp_path):
    path = tmp_path / "roots.py"
    path.write_text(SOURCE)

    def judge(written, *, line=4, examples=(), **options):
        request = read_request("", path, line, examples=examples)
        return Judge(request).look(written, source="asked", logprob=-1.0, **options)

    return judge


def test_a_body_that_fits_is_to_be_tried(judged):
    made = judged("\n    return math.sqrt(x)")
    assert (made.stage, made.refused) == ("trial", None)
    assert made.text == SOURCE.replace('root."""\n', 'root."""\n    return math.sqrt(x)\n')
    method = judged("def area(self):\n        return self.size", line=9, examples=["area(1) == 1"])
    assert method.refused is None
    assert "\n    def area(self):\n        return self.size\n\n    size = 1" in method.text


@pytest.mark.parametrize(
    ("written", "stage", "message"),
    [
        ("\n    return math.sqrt(x", "parse", "does not parse"),
        ("\n    return 1\n\n\ndef more():\n    return 2", "parse", "not one function"),
        ('\n    return """', "parse", "does not parse"),
        ("\n    return 1\nprint(root(2))", "parse", "not one function"),
        ("\n    pass", "parse", "does nothing"),
        ('\n    """Words."""\n    raise NotImplementedError', "parse", "does nothing"),
        ("\n    return numpy.sqrt(x)", "scope", "'numpy' is not defined"),
        ("\n    return math.cubic_root(x)", "scope", "has no attribute 'cubic_root'"),
        ("\n    import no_such_module", "scope", "no module 'no_such_module'"),
        ("\n    return root(x, 2)", "scope", "takes 1 positional"),
    ],
)
def test_why_a_body_is_refused(judged, written, stage, message):
    made = judged(written)
    assert made.stage == stage
    assert message in (made.refused or "")


def test_modules_of_the_standard_library_are_imported_where_they_are_named(judged):
    made = judged("\n    half = x / 2\n    return json.dumps(re.sub('a', '', half))")
    assert (made.stage, made.source) == ("trial", "asked, with an import of json, re added")
    assert 'root."""\n    import json\n    import re\n    half = x / 2\n' in made.text
    new = judged('def more(x):\n    """M."""\n    return json.dumps(x)', line=7, examples=["more(1) == '1'"])
    assert '"""M."""\n    import json\n    return json' in new.text
    outside = judged("def more(x=math.pi, y=json.x):\n    return x", line=2, examples=["more(1) == '1'"])
    assert outside.stage == "scope"
    assert judged("\n    return json.no_such(x)").stage == "scope"
    assert judged("def more(x): return json.dumps(x)", line=7, examples=["more(1) == '1'"]).refused is not None


def test_what_has_no_end_or_another_name_is_refused(judged):
    assert judged("\n    return 1", is_whole=False).refused == "it did not finish"
    wrong = judged("def other(x):\n    return x", line=7, examples=["cube(2) == 8"])
    assert wrong.refused == "it is called other"


def test_names_of_variables_and_docstrings_make_no_other_candidate(judged):
    one = judged("\n    half = x / 2\n    return half * 2")
    other = judged('\n    """Again."""\n    h = x / 2\n    return h * 2')
    third = judged("\n    half = x / 2\n    return half * 3")
    assert one.key != third.key
    assert one.key
    assert one.key != other.key
    assert judged("\n    h = x / 2\n    return h * 2").key == one.key
