"""What a run reached: a dict whose keys are attributes too, as in ``results.metrics.test.accuracy``."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from tonggan.evaluation.wording import constant_answer, metric_words

_GAP = "  "


class Results(dict[str, Any]):
    """A dict, as ``--json`` prints it, whose keys are attributes too, at every depth.

    A key that is no name of Python's, or that a dict has a method of, is reached by brackets alone. The results of a
    run print as a short table: the score beside that of the constant answer, and all metrics with their intervals.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__({key: _named(value) for key, value in values.items()})

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"no '{name}' in these results; there are {', '.join(map(str, self))}")
        return self[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(key for key in self if key.isidentifier())})

    def __repr__(self) -> str:
        if not _is_of_a_run(self):
            return dict.__repr__(self)
        rows = _metrics(self)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*_summary(self), "", *lines])

    def _repr_html_(self) -> str | None:
        """The same as HTML, for notebooks; None where these are no results of a run."""
        if not _is_of_a_run(self):
            return None
        header, *rows = [[escape(cell) for cell in row] for row in _metrics(self)]
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        summary = "<br>".join(map(escape, _summary(self)))
        return f"<p>{summary}</p><table><tr>{''.join(f'<th>{cell}</th>' for cell in header)}</tr>{body}</table>"


def _named(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Results(value)
    return [_named(each) for each in value] if isinstance(value, list) else value


def _is_of_a_run(results: Mapping[str, Any]) -> bool:
    return {"metrics", "intervals", "rows", "score_name", "task"} <= results.keys() and bool(results["metrics"])


def _summary(results: Mapping[str, Any]) -> list[str]:
    """The warning, if there is one, and the score beside that of the constant answer, on the last part measured."""
    part, metrics = list(results["metrics"].items())[-1]
    name = results["score_name"]
    score = f"{metric_words(name).english} {_number(metrics.get(name))} on {_count(results, part)} rows of {part}"
    constant = results.get("constant")
    if constant:
        score += f", {constant_answer(results).english} {_number(constant['constant'])}"
    return [line for line in (constant["headline"] if constant else "", score) if line]


def _metrics(results: Mapping[str, Any]) -> list[list[str]]:
    """A header, and a row for each metric: its name, and for each part its value and 95 % interval."""
    parts = results["metrics"]
    rows = [["metric", *(cell for part in parts for cell in (f"{part} (n={_count(results, part)})", "95 % interval"))]]
    for name in dict.fromkeys(name for metrics in parts.values() for name in metrics):
        row = [name]
        for part, metrics in parts.items():
            bounds = results["intervals"].get(part, {}).get(name)
            row += [_number(metrics.get(name)), " to ".join(map(_number, bounds)) if bounds else ""]
        rows.append(row)
    return rows


def _count(results: Mapping[str, Any], part: str) -> str:
    """How many rows of a part were measured."""
    return f"{results.get('measured', results['rows']).get(part, 0):,}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
