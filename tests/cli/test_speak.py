import csv
import json

import pytest
import soundfile

from command_line import tonggan
from voice_scene import need_voice


def test_a_text_a_file_and_a_column_are_spoken(tmp_path):
    need_voice()
    assert tonggan("speak", "Good morning.", "--out", tmp_path / "new" / "a.wav").code == 0
    assert soundfile.info(tmp_path / "new" / "a.wav").samplerate == 24_000
    (tmp_path / "story.txt").write_bytes("“Hello,” she said. It was late.".encode("cp1252"))
    outcome = tonggan("speak", "--file", f"{tmp_path}/story.txt#windows-1252", "--out", tmp_path / "s.mp3", "--json")
    told = json.loads(outcome.out)
    assert told["file"] == str(tmp_path / "s.mp3")
    assert [each["text"] for each in told["sentences"]][-1] == "It was late."
    assert soundfile.info(tmp_path / "s.mp3").duration == pytest.approx(told["seconds"], abs=0.1)
    (tmp_path / "rows.csv").write_text("id,line\n1,Yes.\n2,\n3,No.\n")
    arguments = ("speak", "--file", tmp_path / "rows.csv", "--column", "line", "--out", tmp_path / "spoken")
    outcome = tonggan(*arguments, "--lang", "zh")
    assert "2 行的语音" in outcome.err
    with (tmp_path / "spoken" / "speech.csv").open() as file:
        assert list(csv.reader(file)) == [["audio", "text"], ["1.wav", "Yes."], ["3.wav", "No."]]
    assert {path.name for path in (tmp_path / "spoken").iterdir()} == {"1.wav", "3.wav", "speech.csv"}


def test_errors_say_what_to_do(tmp_path):
    (tmp_path / "rows.csv").write_text("line\nYes.\n你好。\n")
    (tmp_path / "empty.csv").write_text("line,other\n,1\n,2\n")
    table = tmp_path / "rows.csv"
    cases = [
        (["你好", "--out", tmp_path / "a.wav"], 1, "got:      '你' at character 1"),
        (["--file", table, "--column", "line", "--out", tmp_path / "b"], 1, "Error: row 2\n  got:      '你' at"),
        (["--file", table, "--column", "lines", "--out", tmp_path / "b"], 1, "line"),
        (["--file", tmp_path / "empty.csv", "--column", "line", "--out", tmp_path / "b"], 1, "empty cells alone"),
        (["--file", table, "--out", table], 2, "the ending '.csv'"),
        (["Hello.", "--out", tmp_path / "a"], 2, "no ending"),
        (["Hello.", "--file", table, "--out", tmp_path / "a.wav"], 2, "a text and a file"),
        (["Hello.", "--column", "line", "--out", tmp_path / "a.wav"], 2, "a column of no table"),
        (["--out", tmp_path / "a.wav"], 2, "neither"),
        (["Hello.", "--out", tmp_path / "a.wav", "--speed", "9"], 2, "0.5 to 2"),
        (["Hello.", "--out", tmp_path / "a.wav", "--model", "e5"], 2, "got:      'e5'"),
        (["--file", tmp_path / "no.txt", "--out", tmp_path / "a.wav"], 1, "No such file or directory"),
    ]
    for arguments, code, said in cases:
        outcome = tonggan("speak", *arguments)
        assert outcome.code == code, outcome.err
        assert said in outcome.err
        assert outcome.out == ""
    assert {path.name for path in tmp_path.iterdir()} == {"rows.csv", "empty.csv"}
