import pytest

from tonggan.errors import DataError
from tonggan.grammars import comment_of, has_grammar, language_of, parse


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "python"),
        ("x.PY", "python"),
        ("page.tsx", "tsx"),
        ("src/Makefile", "make"),
        ("Dockerfile", "dockerfile"),
        ("lib.h", "c"),
        ("README", "text"),
        ("docs/读我.md", "markdown"),
        ("picture.png", None),
        (".gitignore", None),
    ],
)
def test_a_language_is_told_by_the_name(path, language):
    assert language_of(path) == language


def test_comments_begin_as_the_language_wants():
    assert [comment_of(name) for name in ("python", "rust", "sql", "html", None)] == ["#", "//", "--", None, None]


def test_every_language_with_a_grammar_parses():
    from tonggan.grammars import _SUFFIXES

    for language in _SUFFIXES:
        if has_grammar(language):
            assert parse("x", language).root_node.end_byte <= 1
    assert not has_grammar("text")
    assert not has_grammar(None)


def test_offsets_count_bytes_and_lone_surrogates_do_not_stop_it():
    assert parse("é = 1", "python").root_node.end_byte == 6
    assert parse("x = '\ud800'", "python").root_node.type == "module"


@pytest.mark.parametrize(("text", "language"), [("/*" * 20_000, "swift"), ("object A{" * 20_000, "scala")])
def test_a_parser_that_finds_no_end_is_stopped(text, language):
    with pytest.raises(DataError, match=r"bytes that take longer than 0\.5 s"):
        parse(text, language, seconds=0.5)


@pytest.mark.parametrize(("piece", "language"), [("- ", "yaml"), ("> ", "markdown"), ('"${', "kotlin")])
def test_depth_that_would_end_the_process_is_refused(piece, language):
    with pytest.raises(DataError, match="nested more than"):
        parse(piece * 3000, language)
    deep = "".join(f"{' ' * depth}{piece}a:\n" for depth in range(90))
    assert parse(deep, language).root_node.end_byte > 0
