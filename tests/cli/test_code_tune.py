"""``tonggan code tune`` as a user types it."""

from __future__ import annotations

import pytest

from command_line import assert_named, tonggan
from embedder_scene import tiny_embedder
from tonggan.models.text_embedder import TextEmbedder

FUNCTION = '''

def {verb}_{noun}(first, second, third):
    """{verb} the {noun} of {place} now."""
    {verb}ing = first + second + third + {noun}_in_{place}
    return {verb}ing.{verb}({noun}=first, {place}=second, limit=third, again=True)
'''
VERBS = ["read", "write", "sort", "count", "merge", "split", "find", "send", "open", "close"]
NOUNS = ["file", "row", "date", "user", "price", "word", "page", "key", "line", "mail", "tree", "node"]


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    for noun in NOUNS:
        text = "".join(FUNCTION.format(verb=verb, noun=noun, place=f"{noun}book") for verb in VERBS)
        (folder / f"{noun}.py").write_text(text)
    return folder


@pytest.fixture
def embedder(tmp_path):
    tiny_embedder(FUNCTION.format(verb=verb, noun="a", place="b") for verb in VERBS).save(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_tuned_and_written_where_it_is_better(project, embedder, tmp_path):
    out = tmp_path / "tuned"
    done = tonggan("code", "tune", project, "--out", out, "--embedder", embedder, "--time-limit", "1s", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert (found["pairs"], found["held_out"], found["interrupted"]) == (100, 10, False)
    assert found["better"] == (found["mrr_after"] > found["mrr_before"])
    assert found["out"] == (str(out) if found["better"] else None)
    assert out.exists() == found["better"]
    if found["better"]:
        assert TextEmbedder.load(out).dim == 32


def test_what_is_there_is_not_replaced(project, embedder):
    before = (embedder / "config.json").read_bytes()
    done = tonggan("code", "tune", project, "--out", embedder, "--embedder", embedder, "--time-limit", "1s")
    assert_named(done, "an existing file or folder", code=2)
    assert (embedder / "config.json").read_bytes() == before


def test_too_little_code_is_said(embedder, tmp_path):
    (tmp_path / "little").mkdir()
    (tmp_path / "little" / "one.py").write_text(FUNCTION.format(verb="read", noun="file", place="book"))
    done = tonggan("code", "tune", tmp_path / "little", "--out", tmp_path / "out", "--embedder", embedder)
    assert done.code != 0
    assert "1 functions with a docstring in 1 files" in done.err
    assert not (tmp_path / "out").exists()
