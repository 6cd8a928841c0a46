"""Units that a docstring tells and the name of the parameter contradicts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tonggan.codelm.review.documented import documented
from tonggan.codelm.review.finding import Finding
from tonggan.codelm.review.registry import rule
from tonggan.codelm.review.repository import Repository

UNIT = "docstring-unit"

# By what they measure: the unit's name, endings of parameters that mean it, and words for it.
_UNITS: tuple[dict[str, tuple[str, str]], ...] = (
    {
        "nanoseconds": ("ns|nanos|nsec|nanoseconds", r"ns|nanos(?:econds?)?"),
        "microseconds": ("us|micros|usec|microseconds", r"[uµμ]s|micro-?s(?:ec(?:ond)?s?)?"),
        "milliseconds": ("ms|millis|msec|msecs|milliseconds", r"ms(?:ecs?)?|milli-?s(?:ec(?:ond)?s?)?"),
        "seconds": ("s|sec|secs|seconds", r"s|secs?|seconds"),
        "minutes": ("mins|minutes", r"mins?|minutes"),
        "hours": ("hrs|hours", r"hrs?|hours"),
        "days": ("days", r"days"),
    },
    {
        "bits": ("bits", r"bits"),
        "bytes": ("bytes", r"bytes"),
        "kilobytes": ("kb|kib", r"k(?:i)?b|kilobytes?|kibibytes?"),
        "megabytes": ("mb|mib", r"m(?:i)?b|megabytes?|mebibytes?"),
        "gigabytes": ("gb|gib", r"g(?:i)?b|gigabytes?|gibibytes?"),
    },
    {
        "degrees": ("deg|degs|degrees", r"deg(?:ree)?s?"),
        "radians": ("rad|rads|radians", r"rad(?:ian)?s?"),
    },
    {
        "millimeters": ("mm", r"mm|millimet(?:er|re)s?"),
        "centimeters": ("cm", r"cm|centimet(?:er|re)s?"),
        "meters": ("meters|metres", r"m|met(?:er|re)s?"),
        "kilometers": ("km", r"km|kilomet(?:er|re)s?"),
    },
)


@rule(UNIT)
def told_units(repository: Repository) -> Iterator[Finding]:
    """A parameter's name ends with a unit, and the docstring gives its value in another unit of the same kind.

    Told is what stands after "in" or alone in brackets, and only where one unit is told. Known false alarms: a name
    whose ending means something else.
    """
    for each in documented(repository):
        taken = {parameter.name for parameter in each.parameters or ()}
        for entry in each.docstring.told("parameters"):
            if entry.name not in taken:
                continue
            for units in _UNITS:
                named = _named(entry.name, units)
                told = _told(f"{entry.type} {entry.text}", units)
                if named is not None and len(told) == 1 and named not in told:
                    yield each.finding(
                        UNIT,
                        f"'{entry.name}' is said to be in {told.pop()}, but its name says {named}",
                        line=entry.line,
                        column=entry.column,
                        length=len(entry.name),
                        confidence=0.85,
                    )


def _named(name: str, units: dict[str, tuple[str, str]]) -> str | None:
    """The unit that a name ends with, after what is measured."""
    return next((unit for unit, (endings, _) in units.items() if re.search(rf"[a-z0-9]_(?:{endings})$", name)), None)


def _told(text: str, units: dict[str, tuple[str, str]]) -> set[str]:
    found = set()
    for unit, (_, words) in units.items():
        if re.search(rf"\bin (?:whole |units of )?(?:{words})(?![\w/^-])|[(\[](?:in )?(?:{words})[)\]]", text):
            found.add(unit)
    return found
