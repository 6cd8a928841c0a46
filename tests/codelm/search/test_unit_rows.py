import pytest

from tonggan.codelm.search.unit_rows import rows_of, text_to_embed
from tonggan.codelm.units import Unit


def embedded(text, *, kind="function", path="src/dates.py"):
    unit = Unit(kind, "parse", "parse", path, 1, 2, text, "says more", "", "python")
    (row,) = rows_of([unit], group="commit:1" if kind == "commit" else path, content_hash="")
    return text_to_embed(row)


LONG = "\n".join(f"line {number} of many" for number in range(1000))


def test_code_is_embedded_as_it_stands():
    text = LONG[:3000]
    assert embedded(text) == text
    assert embedded(text, kind="class") == text


@pytest.mark.parametrize(
    ("kind", "path", "most"),
    [
        ("function", "tests/test_dates.py", 240),
        ("commit", "", 160),
        ("doc", "docs/guide.md", 600),
        ("doc", "CHANGELOG.md", 160),
        ("file", "src/dates.py", 400),
        ("file", "tests/test_dates.py", 240),
    ],
)
def test_of_what_is_no_code_only_whole_first_lines_are_embedded(kind, path, most):
    found = embedded(LONG, kind=kind, path=path)
    assert most - 20 < len(found) <= most
    assert LONG.startswith(found + "\n")
    assert embedded("short", kind=kind, path=path) == "short"
    assert embedded("字" * 1000, kind=kind, path=path) == "字" * most  # one long line
