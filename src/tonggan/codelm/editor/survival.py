"""How much of a text is still there in a buffer that was edited on: one minus the edit distance to its best match.

Accepted suggestions have been measured so since Ziegler et al. 2022, "Productivity assessment of neural code
completion", who call one that keeps at least two thirds of its characters mostly unchanged.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_MOST_CELLS = 40_000_000  # of the table; about a tenth of a second


def surviving_share(text: str, buffer: str) -> float:
    """From 0 (nothing is left) to 1 (all of it is there as it was), whatever stands around it and between indents.

    The edit distance is that of Levenshtein to the part of ``buffer`` that is nearest to ``text`` (Sellers 1980).
    A buffer too long to be compared as a whole is compared line by line.
    """
    text, buffer = _normalized(text), _normalized(buffer)
    if not text or text in buffer:
        return 1.0
    if len(text) * len(buffer) > _MOST_CELLS:
        lines = set(buffer.split("\n"))
        kept = sum(len(line) for line in text.split("\n") if line in lines)
        return kept / max(1, len(text.replace("\n", "")))
    return max(0.0, 1 - _distance(_codes(text), _codes(buffer)) / len(text))


def _normalized(text: str) -> str:
    """Without what formatters change: line ends, blank lines, indents and spaces at the end."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _distance(text: npt.NDArray[np.uint32], buffer: npt.NDArray[np.uint32]) -> int:
    """Row by row; a match may begin and end anywhere in ``buffer``."""
    places = np.arange(len(buffer) + 1)
    row = np.zeros(len(buffer) + 1, dtype=np.int64)
    for number, code in enumerate(text, start=1):
        row = np.concatenate(([number], np.minimum(row[1:] + 1, row[:-1] + (buffer != code))))
        row = np.minimum.accumulate(row - places) + places  # insertions, from left to right
    return int(row.min())
