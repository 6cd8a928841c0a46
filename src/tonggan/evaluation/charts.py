"""Small charts as inline SVG that take their colors from the page, in both of its languages.

They use no plotting library, so that a chart follows the reader's light or dark mode and stays a few kilobytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tonggan.evaluation.calibration import ReliabilityBin
from tonggan.evaluation.content import Thresholds
from tonggan.evaluation.wording import Words

_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 22, 30, 46
_LEGEND = 120
_SHARES = (0, 0.25, 0.5, 0.75, 1)


@dataclass(frozen=True)
class Line:
    """One curve: its points, and its label below the chart."""

    label: Words
    points: Sequence[tuple[float, float]]


def line_chart(
    lines: Sequence[Line], *, x_label: Words, y_label: Words, ticks: Sequence[float] = (), mark: float | None = None
) -> Markup:
    """Curves over a common axis, with a legend where there are several; points that are not finite are left out.

    Args:
        lines: the curves.
        x_label: of the horizontal axis.
        y_label: of the vertical one.
        ticks: of both axes; by default they follow the points.
        mark: where a dashed line stands upright.
    """
    curves = [[(x, y) for x, y in line.points if math.isfinite(x) and math.isfinite(y)] for line in lines]
    points = [point for curve in curves for point in curve]
    if not points:
        return Markup("")
    frame = _Frame(
        x_ticks=ticks or _ticks(min(x for x, _ in points), max(x for x, _ in points)),
        y_ticks=ticks or _ticks(min(y for _, y in points), max(y for _, y in points)),
    )
    parts = [frame.axes(x_label, y_label)]
    if mark is not None:
        parts.append(frame.upright(mark))
    for number, (line, curve) in enumerate(zip(lines, curves, strict=True)):
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in curve)
        parts.append(Markup('<polyline class="line line-{}" points="{}"/>').format(number, path))
        if len(curve) == 1:
            x, y = curve[0]
            parts.append(_dot(frame.x(x), frame.y(y), radius=3, kind=f"dot dot-{number}"))
        if len(lines) == 1:
            continue
        left = _LEFT + _LEGEND * number  # above the curves, where none can run through it
        parts.append(Markup('<rect class="dot-{}" x="{}" y="13" width="14" height="3"/>').format(number, left))
        parts.append(_text(line.label, x=left + 20, y=18, kind="tick"))
    return _svg(parts)


def reliability_chart(bins: Sequence[ReliabilityBin]) -> Markup:
    """What came true against what was claimed, with the line on which they agree; a dot's area shows its rows."""
    frame = _Frame(x_ticks=_SHARES, y_ticks=_SHARES)
    parts = [frame.axes(Words("Confidence", "置信度"), Words("Share that came true", "实际正确率"))]
    parts.append(frame.diagonal(0, 1))
    most = max((found.count for found in bins), default=1)
    path = " ".join(f"{frame.x(found.confidence):.1f},{frame.y(found.accuracy):.1f}" for found in bins)
    parts.append(Markup('<polyline class="line line-0" points="{}"/>').format(path))
    for found in bins:
        radius = 2.5 + 7 * math.sqrt(found.count / most)
        title = f"{found.low:.2f}-{found.high:.2f}: {found.count}"
        parts.append(
            _dot(frame.x(found.confidence), frame.y(found.accuracy), radius=radius, kind="bubble", title=title)
        )
    return _svg(parts)


def threshold_chart(thresholds: Thresholds) -> Markup:
    """Precision and recall by the probability from which on a row is given the label."""
    lines = [
        Line(Words("precision", "精确率"), [(at, precision) for at, precision, _ in thresholds.curve]),
        Line(Words("recall", "召回率"), [(at, recall) for at, _, recall in thresholds.curve]),
    ]
    return line_chart(
        lines,
        x_label=Words("Threshold", "阈值"),
        y_label=Words("Precision and recall", "精确率与召回率"),
        ticks=_SHARES,
        mark=thresholds.used,
    )


def scatter_chart(truth: Sequence[float], predicted: Sequence[float]) -> Markup:
    """Predicted against true numbers on equal axes, with the line on which they agree."""
    pairs = [(x, y) for x, y in zip(truth, predicted, strict=True) if math.isfinite(x) and math.isfinite(y)]
    if not pairs:
        return Markup("")
    ticks = _ticks(min(min(pair) for pair in pairs), max(max(pair) for pair in pairs))
    frame = _Frame(x_ticks=ticks, y_ticks=ticks)
    parts = [frame.axes(Words("True", "真实值"), Words("Predicted", "预测值")), frame.diagonal(ticks[0], ticks[-1])]
    parts += [_dot(frame.x(x), frame.y(y), radius=2, kind="point") for x, y in pairs]
    return _svg(parts)


class _Frame:
    """Where the numbers of two axes lie on the drawing."""

    def __init__(self, *, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> None:
        self.x_ticks = x_ticks
        self.y_ticks = y_ticks

    def x(self, value: float) -> float:
        share = (value - self.x_ticks[0]) / (self.x_ticks[-1] - self.x_ticks[0])
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, x_label: Words, y_label: Words) -> Markup:
        """Grid lines, numbers and labels of both axes."""
        bottom = _HEIGHT - _BOTTOM
        line = Markup('<line class="grid" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
        parts = [line.format(_LEFT, self.y(tick), _WIDTH - _RIGHT, self.y(tick)) for tick in self.y_ticks]
        parts += [line.format(self.x(tick), bottom, self.x(tick), bottom + 4) for tick in self.x_ticks]
        number = Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="{}">{:g}</text>')
        parts += [number.format(_LEFT - 8, self.y(tick) + 4, "end", tick) for tick in self.y_ticks]
        parts += [number.format(self.x(tick), bottom + 18, "middle", tick) for tick in self.x_ticks]
        parts.append(_text(x_label, x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 8, kind="axis"))
        parts.append(_text(y_label, x=-(_TOP + bottom) / 2, y=13, kind="axis upright"))
        return Markup("").join(parts)

    def upright(self, value: float) -> Markup:
        """A dashed line at one place of the horizontal axis."""
        return Markup('<line class="diagonal" x1="{0:.1f}" y1="{1:.1f}" x2="{0:.1f}" y2="{2:.1f}"/>').format(
            self.x(value), _TOP, _HEIGHT - _BOTTOM
        )

    def diagonal(self, low: float, high: float) -> Markup:
        """The dashed line on which both axes agree."""
        return Markup('<line class="diagonal" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
            self.x(low), self.y(low), self.x(high), self.y(high)
        )


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers, the first not above ``low`` and the last not below ``high``."""
    if high - low < 1e-12 * max(1.0, abs(low)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 4
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def _text(words: Words, *, x: float, y: float, kind: str) -> Markup:
    return Markup(
        '<text class="{kind} en" x="{x:.1f}" y="{y:.1f}">{english}</text>'
        '<text class="{kind} zh" x="{x:.1f}" y="{y:.1f}">{chinese}</text>'
    ).format(kind=kind, x=x, y=y, english=words.english, chinese=words.chinese)


def _dot(x: float, y: float, *, radius: float, kind: str, title: str = "") -> Markup:
    return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{}</title></circle>').format(
        kind, x, y, radius, title
    )


def _svg(parts: Sequence[Markup]) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img">{}</svg>').format(_WIDTH, _HEIGHT, Markup("").join(parts))
