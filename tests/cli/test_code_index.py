import pytest

from command_line import assert_named, tonggan

for package in ("tantivy", "tree_sitter_language_pack"):
    pytest.importorskip(package)


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "dates.py").write_text("def parse_date(text):\n    return 1\n\n\ndef read_date(text):\n    return 2\n")
    return tmp_path


def test_a_repository_is_indexed_searched_and_compared(repository):
    indexed = tonggan("code", "index", repository, "--embedder", "none", "--json").json
    assert (indexed["num_files"], indexed["units"]["function"]) == (1, 2)
    assert "1 files (" in tonggan("code", "index", repository).out
    found = tonggan("code", "search", "parse a date", "--root", repository, "--lang", "python", "--json").json
    assert (found[0]["name"], found[0]["reasons"][0]["kind"]) == ("parse_date", "symbol")
    shown = tonggan("code", "search", "parse a date", "--root", repository, "--kind", "function").out
    assert shown.splitlines()[:3] == ["Code", "  dates.py:1  parse_date", "        1 | def parse_date(text):"]
    like = tonggan("code", "similar", f"{repository / 'dates.py'}:1", "--root", repository, "--json").json
    assert [hit["name"] for hit in like] == ["read_date"]
    assert "Nothing found." in tonggan("code", "search", "zebra", "--root", repository).out


def test_what_a_repository_holds_does_not_steer_the_terminal(repository):
    (repository / "a\nb\x1b[31m.py").write_text("def evil_name():\n    x = 'evil \x1b]0;title\x07'\n")
    tonggan("code", "index", repository, "--embedder", "none")
    shown = tonggan("code", "search", "evil", "--root", repository).out
    assert "a␊b␛[31m.py:1  evil_name" in shown
    assert "\x1b" not in shown


def test_an_embedder_that_is_gone_is_named(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    (folder / "embedder.txt").write_text("/gone/embedder")
    search = ("code", "search", "date", "--root", repository, "--index", folder)
    assert_named(tonggan(*search), "'/gone/embedder', which the index was made with", "--embedder minilm")
    tonggan("code", "index", repository, "--embedder", "none", "--index", folder)
    (folder / "embedder.txt").write_bytes(b"\xff\x00")
    assert "parse_date" in tonggan(*search).out


def test_wrong_use_is_told(repository):
    assert_named(tonggan("code", "search", "x", "--root", repository, "--kind", "klass"), "'klass'", "commit", code=2)
    assert_named(tonggan("code", "similar", "dates.py", "--root", repository), "FILE:LINE", code=2)
    assert_named(tonggan("code", "similar", f"dates.py:{'9' * 5000}", "--root", repository), "FILE:LINE", code=2)
    assert_named(tonggan("code", "index", repository / "nowhere"), "no such folder")
    assert_named(tonggan("code", "index", repository, "--embedder", "nowhere"), "'nowhere'", code=2)
