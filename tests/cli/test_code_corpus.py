"""``tonggan code corpus`` as a user types it."""

from __future__ import annotations

import pytest

from command_line import assert_named, tonggan
from pretrained_scene import pretrained_folder

CODE = '"""Prices."""\n\n\ndef total(prices):\n    """The sum of all prices of the shop."""\n    return sum(prices)\n'


@pytest.fixture
def project(tmp_path):
    (tmp_path / "项目 a").mkdir()
    (tmp_path / "项目 a" / "shop.py").write_text(CODE)
    (tmp_path / "项目 a" / "data.bin").write_bytes(b"\0")
    return tmp_path / "项目 a"


@pytest.fixture
def model(tmp_path):
    return pretrained_folder(tmp_path / "tiny")


def test_a_summary_a_person_can_read(project, model, tmp_path):
    done = tonggan("code", "corpus", project, "--out", tmp_path / "out", "--tokenizer-of", model)
    assert done.code == 0, done.err
    assert done.out.startswith("Kept 1 of 2 files: 0.0 MB, ")
    assert "1  binary, e.g. 项目 a/data.bin (it contains NUL bytes)" in done.out
    assert "Secrets replaced: none\nCompared with: humaneval\n" in done.out
    assert "MB/s and core" in done.out
    assert done.out.endswith(f"The corpus is in {tmp_path / 'out'}; read {tmp_path / 'out' / 'report.html'}\n")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Left out</h2>" in page
    assert "项目 a/data.bin" in page


def test_json(project, model, tmp_path):
    command = ["code", "corpus", project, "--out", tmp_path / "out", "--tokenizer-of", model, "--json"]
    done = tonggan(*command, "--licenses", "permissive, unknown", "--against", model / "config.json")
    assert done.json["kept"]["files"] == 1
    assert done.json["by"]["license"] == {"unknown": done.json["kept"]}
    assert done.json["against"] == [str(model / "config.json")]
    again = tonggan(*command, "--licenses", "unknown,permissive", "--against", model / "config.json")
    assert again.json == done.json


def test_mistakes_are_named(project, model, tmp_path):
    wrong = tonggan("code", "corpus", project, "--out", tmp_path / "out", "--licenses", "free")
    assert_named(wrong, "'free'", code=2)
    assert_named(
        tonggan("code", "corpus", tmp_path / "none", "--out", tmp_path / "o", "--tokenizer-of", model), "no such"
    )
    assert_named(
        tonggan("code", "corpus", project, "--out", project, "--tokenizer-of", model), "files that are no corpus"
    )
