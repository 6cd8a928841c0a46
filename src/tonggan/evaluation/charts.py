"""Small charts as inline SVG that take their colors from the page, in both of its languages.

They use no plotting library, so that a chart follows the reader's light or dark mode and stays a few kilobytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from tonggan.tasks.figures import Chart, Line
from tonggan.wording import Words

_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 22, 30, 46
_LEGEND = 120
_FEW_DOTS = 100  # which would hardly be seen if they were as small as thousands are


def draw(chart: Chart) -> Markup:
    """``chart`` as SVG; empty where no point is finite."""
    curves = [[point for point in line.points if _is_finite(point)] for line in chart.lines]
    dots = [(*point, weight) for point, weight in zip(chart.dots, _weights(chart), strict=True) if _is_finite(point)]
    xs = [x for curve in curves for x, _ in curve] + [x for x, *_ in dots]
    ys = [y for curve in curves for _, y in curve] + [y for _, y, _ in dots]
    if not xs and not chart.ticks:
        return Markup("")
    if chart.diagonal:
        xs = ys = xs + ys
    frame = _Frame(x_ticks=chart.ticks or _ticks(min(xs), max(xs)), y_ticks=chart.ticks or _ticks(min(ys), max(ys)))
    parts = [frame.axes(chart.x_label, chart.y_label)]
    if chart.diagonal:
        parts.append(frame.diagonal())
    if chart.mark is not None:
        parts.append(frame.upright(chart.mark))
    for number, (line, curve) in enumerate(zip(chart.lines, curves, strict=True)):
        parts += _curve(frame, line, curve, number=number, is_alone=len(chart.lines) == 1)
    most = max(_weights(chart), default=0.0)
    small = 2 if len(dots) > _FEW_DOTS else 4
    for x, y, weight in dots:
        if chart.weights:
            radius, title = 2.5 + 7 * math.sqrt(weight / most), f"{x:.2f}, {y:.2f}: {weight:g}"
            parts.append(_dot(frame.x(x), frame.y(y), radius=radius, kind="bubble", title=title))
        else:
            parts.append(_dot(frame.x(x), frame.y(y), radius=small, kind="point"))
    return Markup('<svg viewBox="0 0 {} {}" role="img">{}</svg>').format(_WIDTH, _HEIGHT, Markup("").join(parts))


def _is_finite(point: tuple[float, float]) -> bool:
    return all(map(math.isfinite, point))


def _weights(chart: Chart) -> Sequence[float]:
    return chart.weights or [1.0] * len(chart.dots)


def _curve(
    frame: _Frame, line: Line, points: Sequence[tuple[float, float]], *, number: int, is_alone: bool
) -> list[Markup]:
    path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
    parts = [Markup('<polyline class="line line-{}" points="{}"/>').format(number, path)]
    if len(points) == 1:
        x, y = points[0]
        parts.append(_dot(frame.x(x), frame.y(y), radius=3, kind=f"dot dot-{number}"))
    if not is_alone:
        left = _LEFT + _LEGEND * number  # above the curves, where none can run through it
        parts.append(Markup('<rect class="dot-{}" x="{}" y="13" width="14" height="3"/>').format(number, left))
        parts.append(_text(line.label, x=left + 20, y=18, kind="tick"))
    return parts


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

    def diagonal(self) -> Markup:
        """The dashed line on which both axes, which are equal, agree."""
        return Markup('<line class="diagonal" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
            _LEFT, _HEIGHT - _BOTTOM, _WIDTH - _RIGHT, _TOP
        )


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers, the first not above ``low`` and the last not below ``high``."""
    if high - low < 1e-12 * max(1.0, abs(low)):
        half = 0.1 * abs(low) or 0.5
        low, high = low - half, high + half
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
