"""Which texts of a target say that there is no label: NA and the like, which must not become a class of their own."""

from __future__ import annotations

import re

import pyarrow as pa

from tonggan.data.table import Table
from tonggan.modalities.numeric import is_missing_marker

# Beside names. Others that mean the same beside numbers, such as unknown and none, may be a class of their own there.
_MARKERS = frozenset(
    {"na", "n/a", "n.a.", "nan", "nat", "null", "(null)", "#n/a", "#na", "<na>", "\\n", "-", "--", "?", "(blank)"}
)
_CODE = re.compile("[A-Z]{2}")
_MIN_CODES = 5
_MAX_LENGTH = 64  # of a label; longer texts are neither markers nor codes
_MAX_LABELS = 1_000


def missing_labels(table: Table, name: str, *, of_numbers: bool) -> list[str]:
    """The texts in the target ``name`` that are no labels, sorted; [] where nothing else is there.

    Args:
        table: all of it is read.
        name: the column.
        of_numbers: whether its labels are numbers.
    """
    stored = table.column_type(name)
    if not (pa.types.is_string(stored) or pa.types.is_large_string(stored)):
        return []
    markers: set[str] = set()
    labels: set[str] = set()
    for values in table.iterate(name):
        for value in {value.strip() for value in values if value is not None}:
            if len(value) <= _MAX_LENGTH and (is_missing_marker(value) if of_numbers else value.casefold() in _MARKERS):
                markers.add(value)
            elif value and len(labels) < _MAX_LABELS:
                labels.add(value)
    if len(labels) >= _MIN_CODES and all(map(_CODE.fullmatch, labels)):
        markers = {marker for marker in markers if not marker.isalpha()}  # NA among countries is Namibia
    return sorted(markers) if labels else []
