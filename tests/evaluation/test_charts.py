from xml.etree import ElementTree

import pytest

from tonggan.evaluation.calibration import ReliabilityBin
from tonggan.evaluation.charts import Line, _ticks, line_chart, reliability_chart, scatter_chart
from tonggan.evaluation.wording import Words

STEP = Words("Step", "步数")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (3, 97, [0, 25, 50, 75, 100]),
        (-0.31, 0.12, [-0.4, -0.2, 0, 0.2]),
        (5, 5, [4.5, 4.75, 5, 5.25, 5.5]),
    ],
)
def test_ticks_are_round_and_enclose_the_numbers(low, high, expected):
    assert _ticks(low, high) == pytest.approx(expected)


def test_a_curve_leaves_out_what_is_not_finite():
    chart = line_chart([Line(STEP, [(0, 1.0), (5, float("nan")), (10, 2.0)])], x_label=STEP, y_label=STEP)
    drawing = ElementTree.fromstring(chart)
    assert len(drawing.find("polyline").get("points").split()) == 2
    assert line_chart([Line(STEP, [(0, float("inf"))])], x_label=STEP, y_label=STEP) == ""


def test_labels_are_escaped():
    hostile = Words("<script>alert(1)</script>", "\"'&")
    chart = line_chart([Line(hostile, [(0, 1)]), Line(hostile, [(0, 2)])], x_label=hostile, y_label=hostile)
    assert "<script" not in chart
    ElementTree.fromstring(chart)


def test_scatter_has_equal_axes():
    drawing = ElementTree.fromstring(scatter_chart([0.0, 1.0, float("nan")], [0.0, 4.0, 1.0]))
    points = [node for node in drawing.iter("circle") if node.get("class") == "point"]
    assert len(points) == 2
    ticks = [node.text for node in drawing.iter("text") if node.get("class") == "tick"]
    assert ticks[: len(ticks) // 2] == ticks[len(ticks) // 2 :] == ["0", "1", "2", "3", "4"]
    assert scatter_chart([], []) == ""


def test_reliability_has_a_dot_for_each_bin():
    bins = [ReliabilityBin(0.5, 0.6, 4, 0.55, 0.5), ReliabilityBin(0.9, 1.0, 40, 0.95, 0.9)]
    drawing = ElementTree.fromstring(reliability_chart(bins))
    radii = [float(node.get("r")) for node in drawing.iter("circle")]
    assert len(radii) == 2
    assert radii[0] < radii[1]
    ElementTree.fromstring(reliability_chart([]))
