import io
import json
import os
import pty
import re
import subprocess
import sys
import time

import pytest

from command_line import assert_named, tonggan, write_csv
from generation_scene import engine, gguf_file, tokenizer
from tonggan.cli.chat import _UNPRINTABLE, _Talk
from tonggan.language.model import LanguageModel
from tonggan.language.settings import GenerationConfig

TORCH = ("--engine", "torch", "--max-tokens", "5")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return gguf_file(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def captions(tmp_path_factory, shared_cache, folder, rows):
    """A run that names what a picture shows."""
    table = write_csv(folder / "captions.csv", rows[:24], "image", "label")
    run = tmp_path_factory.mktemp("captions") / "run"
    settings = ("training.epochs=1", "model.dim=16", "audit_alone=false", "columns.image.size=16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        outcome = tonggan(
            *("fit", table, "--target", "label", "--task", "caption", "--out", run),
            *(word for setting in settings for word in ("--set", setting)),
        )
    assert outcome.code == 0, outcome.err
    return run


def objects(outcome):
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


def piped(monkeypatch, text, *arguments):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return tonggan("chat", *arguments, *TORCH)


def test_a_pipe_is_read_line_by_line(model, monkeypatch):
    first, second, again = objects(piped(monkeypatch, "the cat\n\nthe dog\n/reset\nthe cat\n", model, "--json"))
    assert (first["user"], second["user"]) == ("the cat", "the dog")
    assert again == first
    (alone,) = objects(piped(monkeypatch, "the dog", model, "--json"))
    assert alone["assistant"] != second["assistant"], "what was said before is forgotten"
    assert all(turn["finish"] in ("stop", "length") and 1 <= turn["tokens"] <= 5 for turn in (first, second))
    assert piped(monkeypatch, "the cat\n/quit\nthe dog\n", model).out == first["assistant"] + "\n"


def test_the_same_seed_writes_the_same_transcript(model, tmp_path):
    script = tmp_path / "turns.txt"
    script.write_text("the cat\nthe dog\n")
    arguments = ("chat", model, "--script", script, "--temperature", "1.5", "--set", "top_p=0.95", *TORCH)
    texts = [tonggan(*arguments, "--seed", seed).out for seed in ("1", "1", "2")]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith("> the cat\n")
    assert "\n\n> the dog\n" in texts[0]


def test_pictures_go_with_a_message(captions, folder, rows, tmp_path):
    turns = [{"image": "0.png"}, {"image": "1.png"}]
    script = folder / "turns.jsonl"
    script.write_text("\n".join(map(json.dumps, turns)))
    from_script = objects(tonggan("chat", captions, "--script", script, "--json", *TORCH))
    assert [turn["image"] for turn in from_script] == [str(folder / "0.png"), str(folder / "1.png")]
    lines = tmp_path / "turns.txt"
    lines.write_text("\n")
    outcome = tonggan("chat", captions, "--image", folder / "0.png", "--script", lines, *TORCH)
    assert outcome.out == f"> [image {folder / '0.png'}]\n{from_script[0]['assistant']}\n\n"


def test_what_cannot_be_answered(model, captions, folder, tmp_path, monkeypatch):
    assert_named(tonggan("chat", tmp_path / "none"), "no such file or folder", code=2)
    assert_named(tonggan("chat", model, "--image", tmp_path / "none.png", *TORCH), "no file")
    assert_named(piped(monkeypatch, "/imgae x", model), "/imgae", "/image, /audio", code=2)
    assert_named(piped(monkeypatch, "hello", model, "--image", folder / "0.png"), "ImagePart")
    assert_named(piped(monkeypatch, "\n", captions, "--audio", folder / "0.wav"), "audio")
    (tmp_path / "cut.png").write_bytes((folder / "0.png").read_bytes()[:40])
    assert_named(piped(monkeypatch, "\n", captions, "--image", tmp_path / "cut.png"), "cut.png", "Attach another")
    assert_named(piped(monkeypatch, "the cat " * 99, model), "tokens", "Shorten")
    assert_named(tonggan("chat", captions, "--engine", "llamacpp"), "engine llamacpp", "in memory", code=2)
    assert_named(tonggan("chat", model, "--set", "top_p=2"), "top_p = 2", code=2)
    script = tmp_path / "turns.jsonl"
    for content, said in {"nonsense": "line 1, which is no JSON", '\n{"picture": "a.png"}': "line 2"}.items():
        script.write_text(content)
        assert_named(tonggan("chat", model, "--script", script), said)


def test_an_answer_that_is_stopped_is_remembered_as_far_as_it_came():
    model = LanguageModel(engine(), tokenizer(), name="tiny")
    talk = _Talk(model, model.prompt, settings=GenerationConfig(max_tokens=50), system="the cat")
    shown = []
    turn = talk.say("the dog", show=shown.append, cancelled=lambda: len(shown) == 2)
    assert (turn["tokens"], turn["finish"], turn["assistant"]) == (2, "interrupted", "".join(shown))
    assert [message.role for message in talk._messages] == ["system", "user", "assistant"]
    talk.reset()
    assert [message.role for message in talk._messages] == ["system"]


def test_answers_do_not_control_the_terminal():
    assert "a\x1b[2J\x07\x9b\tb\nc".translate(_UNPRINTABLE) == "a[2J\tb\nc"


def test_in_a_terminal(model):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tonggan", "chat", str(model), *TORCH]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        expect(ours, "> ")
        for said, answered in {"/imgae\n": "expected one of", "the cat\n": "\n", "/reset\n": "\n"}.items():
            os.write(ours, said.encode())
            expect(ours, answered, "> ")
        # Only at a prompt: one that comes while the model writes is lost when readline takes the terminal.
        os.write(ours, b"\x04")
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        os.close(ours)


def expect(terminal, *texts, seconds=60.0):
    """Read until the texts have come, one after the other."""
    seen, end = "", time.monotonic() + seconds
    pattern = re.compile(".*".join(map(re.escape, texts)), re.DOTALL)
    while not pattern.search(seen):
        assert time.monotonic() < end, seen
        seen += os.read(terminal, 4096).decode(errors="replace")
