"""What a run reached: a dict whose keys are attributes too, as in ``results.metrics.test.accuracy``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Results(dict[str, Any]):
    """A dict, as ``--json`` prints it, whose keys are attributes too, at every depth.

    A key that is no name of Python's, or that a dict has a method of, is reached by brackets alone.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__({key: _named(value) for key, value in values.items()})

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"no '{name}' in these results; there are {', '.join(map(str, self))}")
        return self[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(key for key in self if key.isidentifier())})


def _named(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Results(value)
    return [_named(each) for each in value] if isinstance(value, list) else value
