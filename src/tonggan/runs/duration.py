"""Durations as people write them."""

from __future__ import annotations

import re

from tonggan.errors import ConfigError

_PATTERN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?\s*(?:(\d+(?:\.\d+)?)m(?:in)?)?\s*(?:(\d+(?:\.\d+)?)s?)?", re.IGNORECASE)


def parse_duration(text: str | float) -> float:
    """Seconds of ``"90"``, ``"90s"``, ``"5m"``, ``"1h30m"``, or of a number.

    Raises:
        ConfigError: it is no duration, or not above zero.
    """
    match = _PATTERN.fullmatch(str(text).strip())
    seconds = 0.0
    if match and any(match.groups()):
        hours, minutes, rest = (float(part or 0) for part in match.groups())
        seconds = hours * 3600 + minutes * 60 + rest
    if not seconds > 0:
        raise ConfigError(
            "time limit", got=repr(text), expected="a duration above zero", remedy="Write e.g. 90s, 5m, 1h30m"
        )
    return seconds
