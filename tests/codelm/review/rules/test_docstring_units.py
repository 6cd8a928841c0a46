import pytest

from review_scene import messages
from tonggan.codelm.review.rules.docstring_units import UNIT


def told(folder, name, text):
    told = f"{name}: {text}\n        other: else."
    code = f'def wait({name}, other=1):\n    """Wait.\n\n    Args:\n        {told}\n    """\n'
    return messages(folder, code, UNIT)


@pytest.mark.parametrize(
    ("name", "text", "unit", "named"),
    [
        ("timeout_ms", "how long to wait, in seconds.", "seconds", "milliseconds"),
        ("timeout_s", "the limit (ms).", "milliseconds", "seconds"),
        ("size_mb", "of the cache in bytes", "bytes", "megabytes"),
        ("angle_deg", "in radians", "radians", "degrees"),
        ("width_mm", "(in cm)", "centimeters", "millimeters"),
    ],
)
def test_another_unit_than_that_of_the_name_is_told(tmp_path, name, text, unit, named):
    assert told(tmp_path, name, text) == [f"'{name}' is said to be in {unit}, but its name says {named}"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("timeout_ms", "how long to wait, in milliseconds."),
        ("timeout_ms", "in milliseconds, and not in seconds"),  # two are told
        ("timeout", "in seconds"),
        ("items", "in seconds"),  # no unit but a plural
        ("timeout_ms", "after which it ends, as in second tries"),
        ("size_mb", "in seconds"),  # of another kind
        ("rate_s", "in seconds"),
        ("speed_ms", "in m/s"),
    ],
)
def test_what_agrees_or_may_agree_is_not(tmp_path, name, text):
    assert told(tmp_path, name, text) == []
