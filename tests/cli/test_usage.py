import errno
import subprocess
import sys

import pytest

from command_line import assert_named, tonggan

COMMANDS = [
    ["fit"], ["run"], ["evaluate"], ["predict"], ["doctor"], ["info"], ["recipes"], ["tune"],
    ["data"], ["data", "list"], ["data", "get"], ["data", "check"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_examples(command):
    outcome = tonggan(*command, "--help")
    assert outcome.code == 0
    assert "Examples" in outcome.out
    assert "typing." not in outcome.out
    assert f"tonggan {' '.join(command)}" in outcome.out.split("Examples")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], ""),
        (["nosuch"], "No such command 'nosuch'"),
        (["fit"], "Missing argument"),
        (["fit", "train.csv", "--out", "run"], "'--target': name the column to predict"),
        (["fit", "train.csv", "--target", "label"], "Missing option '--out'"),
        (["run", "easy_vqa", "--out", "run", "--max-bad", "abc"], "Invalid value for '--max-bad'"),
        (["run", "easy_vqa", "--out", "run", "--max-bad", "abc"], "'--max-bad': not a number"),
        (["code", "search", "x", "--limit", "many"], "'--limit': not a whole number"),
        (["code", "search", "x", "--limit", "0"], "'--limit': it should be greater than or equal to 1"),
        (["serve", "smollm2", "--bits", "5"], "'--bits': '5' is not one of"),
        (["serve", "smollm2", "--engine", "fast"], "got:      'fast'"),
        (["run", "easy_vqa", "--nope"], "No such option"),
        (["evaluate", "run"], "Missing argument"),
        (["data"], ""),
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments, said):
    outcome = tonggan(*arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err


def test_an_unknown_engine_is_named():
    assert_named(tonggan("serve", "smollm2", "--engine", "fast"), "'fast'", "one of auto", code=2)


def test_version_and_module():
    outcome = subprocess.run([sys.executable, "-m", "tonggan", "--version"], capture_output=True, text=True, check=True)
    assert outcome.stdout.startswith("tonggan ")


def test_a_full_disk_is_named(monkeypatch, tmp_path):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tonggan.codelm.corpus.build_corpus", lambda *_, **__: fail())
    result = tonggan("code", "corpus", tmp_path, "--out", tmp_path / "corpus")
    assert_named(result, "No space left on device", "Make room")


def test_debug_shows_where(tmp_path):
    with pytest.raises(Exception, match="no such file"):
        tonggan("doctor", tmp_path / "nosuch.csv", "--debug")


def test_recipes_are_listed_and_printed():
    assert "easy_vqa" in tonggan("recipes").out
    assert set(tonggan("recipes", "--json").json["easy_vqa"]) == {"description", "measured"}
    assert tonggan("recipes", "easy_vqa").out.startswith("description:")
    assert tonggan("recipes", "easy_vqa", "--json").json["target"] == ["answer"]
    assert "no such recipe" in tonggan("recipes", "nosuch").err
