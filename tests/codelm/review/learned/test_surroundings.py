import ast
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from tonggan.codelm.review.learned.examples import Example
from tonggan.codelm.review.learned.functions import functions_of
from tonggan.codelm.review.learned.neighbors import NUM_EVIDENCES
from tonggan.codelm.review.learned.surroundings import ALONE, joined, numbers_of, parameters_of, phrases_of
from tonggan.codelm.source_file import SourceFile

TEXT = dedent("""
    def area(width, height):
        return width * height

    class Box:
        def grow(self, width, height):
            self.width = self.width + width
            return area(width, height)

        def shrink(self, width, height):
            self.deep.width = 0
            self.close()
            return area(width, height)

    class Other:
        def open(self):
            return self.door
""")


@pytest.fixture
def functions():
    return {each.name: each for each in functions_of(SourceFile(Path("a.py"), "a.py", "python", TEXT, "", "\n"))}


def times(around, *texts):
    return int(around.counts(joined(numbers_of(texts)[None]))[0])


def test_phrases_are_counted_in_the_file_without_the_function(functions):
    grow = functions["Box.grow"].around
    assert times(grow, "area", "(", "width") == 2  # where it is defined, and the call of the other method
    assert times(grow, "(", "self") == 2
    assert times(functions["Other.open"].around, "area", "(", "width") == 3
    assert times(grow, "area", "(", "height") == 0
    assert times(ALONE, "area", "(", "width") == 0


def test_phrases_are_all_neighbors_in_order():
    numbers = numbers_of("abca")
    expected = [joined(numbers_of(text)[None]) for text in ("ab", "bc", "ca", "abc", "bca")]
    assert np.array_equal(phrases_of(numbers), np.sort(np.concatenate(expected)))
    assert not len(phrases_of(numbers[:1]))


def test_attributes_of_self_are_those_of_its_class_elsewhere(functions):
    assert functions["Box.grow"].around.attributes == {"self": ("close", "deep")}
    assert functions["Box.shrink"].around.attributes == {"self": ("width",)}
    assert functions["Other.open"].around.attributes == {}


def test_parameters_are_known_where_all_of_a_name_agree():
    known = {}
    for text in (
        "class Box:\n    def __init__(self, a, b): ...\n    def get(self, key): ...",
        "def get(key): ...\ndef put(key, /, value, *, force): ...",
        "def put(value, key): ...",
    ):
        parameters_of(ast.parse(text), known)
    assert known == {"Box": ("a", "b"), "get": ("key",), "put": None}


def test_arguments_are_compared_with_the_parameters_that_they_are_given_to(functions):
    grow = functions["Box.grow"]
    wrong = grow.text.replace("area(width, height)", "area(height, width)")
    for text, label in ((grow.text, "swapped, this asked"), (wrong, "swapped, other asked")):
        (swap,) = [each for each in Example.of(text, grow.around).rewrites if each.kind == "arguments"]
        assert swap.label == label
    (swap,) = [each for each in Example.of(grow.text).rewrites if each.kind == "arguments"]
    assert swap.label == "swapped"  # nothing is known of what it calls


def test_evidence_is_what_the_file_has_of_the_old_and_of_the_new(functions):
    grow = functions["Box.grow"]
    wrong = Example.of(grow.text.replace("area(width, height)", "area(height, height)"), grow.around)
    (row,) = [
        row for row, each in enumerate(wrong.rewrites)
        if each.apply(wrong.graph.text) == grow.text
    ]  # fmt: skip
    assert wrong.evidence.shape == (len(wrong.rewrites), 4)
    # never the old and twice the new behind "area (", and before ", height"; "( width" stands there oftener
    assert (wrong.evidence[row] - np.arange(4) * 9).tolist() == [2, 2, 2, 2]
    assert 0 <= wrong.evidence.min() <= wrong.evidence.max() < NUM_EVIDENCES
    alone = Example.of(grow.text)
    assert np.array_equal(alone.evidence, np.tile(np.arange(4) * 9, (len(alone.rewrites), 1)))
