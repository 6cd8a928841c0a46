from xml.etree import ElementTree

import pytest

from tonggan.evaluation.charts import _ticks, draw
from tonggan.tasks.figures import Chart, Line
from tonggan.wording import Words

STEP = Words("Step", "步数")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (3, 97, [0, 25, 50, 75, 100]),
        (-0.31, 0.12, [-0.4, -0.2, 0, 0.2]),
        (5, 5, [4.5, 4.75, 5, 5.25, 5.5]),
        (0.975, 0.975, [0.85, 0.9, 0.95, 1, 1.05, 1.1]),
        (0, 0, [-0.5, -0.25, 0, 0.25, 0.5]),
    ],
)
def test_ticks_are_round_and_enclose_the_numbers(low, high, expected):
    assert _ticks(low, high) == pytest.approx(expected)


def test_a_curve_leaves_out_what_is_not_finite():
    drawing = ElementTree.fromstring(draw(Chart(STEP, STEP, [Line(STEP, [(0, 1.0), (5, float("nan")), (10, 2.0)])])))
    assert len(drawing.find("polyline").get("points").split()) == 2
    assert draw(Chart(STEP, STEP, [Line(STEP, [(0, float("inf"))])])) == ""


def test_labels_are_escaped():
    hostile = Words("<script>alert(1)</script>", "\"'&")
    chart = draw(Chart(hostile, hostile, [Line(hostile, [(0, 1)]), Line(hostile, [(0, 2)])]))
    assert "<script" not in chart
    ElementTree.fromstring(chart)


def test_a_diagonal_has_equal_axes():
    dots = [(0.0, 0.0), (1.0, 4.0), (float("nan"), 1.0)]
    drawing = ElementTree.fromstring(draw(Chart(STEP, STEP, dots=dots, diagonal=True)))
    points = [node for node in drawing.iter("circle") if node.get("class") == "point"]
    assert len(points) == 2
    ticks = [node.text for node in drawing.iter("text") if node.get("class") == "tick"]
    assert ticks[: len(ticks) // 2] == ticks[len(ticks) // 2 :] == ["0", "1", "2", "3", "4"]
    assert draw(Chart(STEP, STEP, diagonal=True)) == ""


@pytest.mark.parametrize(("count", "radius"), [(3, "4.0"), (1_000, "2.0")])
def test_few_dots_are_large_enough_to_be_seen(count, radius):
    drawing = ElementTree.fromstring(draw(Chart(STEP, STEP, dots=[(float(at), 1.0) for at in range(count)])))
    assert {node.get("r") for node in drawing.iter("circle")} == {radius}


def test_the_area_of_a_dot_is_its_weight():
    dots = [(0.55, 0.5), (0.95, 0.9)]
    drawing = ElementTree.fromstring(draw(Chart(STEP, STEP, dots=dots, weights=[4, 40], ticks=[0, 1], mark=0.5)))
    small, large = (float(node.get("r")) for node in drawing.iter("circle"))
    assert ((large - 2.5) / (small - 2.5)) ** 2 == pytest.approx(10, rel=0.1)
    assert len([node for node in drawing.iter("line") if node.get("class") == "diagonal"]) == 1
