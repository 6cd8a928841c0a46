from command_line import assert_named, read_csv, tonggan, write_csv


def test_doctor(folder, rows, tmp_path):
    wrong = [{**row, "image": "nosuch.png"} if place in (2, 5) else row for place, row in enumerate(rows)]
    source = write_csv(folder / "ill.csv", wrong)
    quarantine = tmp_path / "quarantine.csv"
    outcome = tonggan("doctor", source, "--target", "label", "--quarantine", quarantine)
    assert outcome.code == 0, outcome.err
    assert "paths of files that are pictures" in outcome.out
    assert "2 of 64 rows of train name a file in 'image' that is not there" in outcome.out
    assert [row["row"] for row in read_csv(quarantine)] == ["3", "6"]
    told = tonggan("doctor", source, "--target", "label", "--json").json
    assert told["num_quarantined"] == 2
    assert {column["name"]: column["kind"] for column in told["columns"]}["sound"] == "audio"


def test_doctor_fails_where_training_makes_no_sense(folder, rows):
    source = write_csv(folder / "same.csv", [{**row, "label": "cat"} for row in rows])
    outcome = tonggan("doctor", source, "--target", "label", "--json")
    assert outcome.code == 1
    assert outcome.json["findings"][0]["severity"] == "error"


def test_doctor_refuses(table, tmp_path):
    assert_named(tonggan("doctor", tmp_path / "nosuch.csv"), "no such file")
    assert_named(tonggan("doctor", table, "--target", "nosuch"), "no column 'nosuch'")
    (tmp_path / "file").write_text("in the way")
    assert_named(tonggan("doctor", table, "--quarantine", tmp_path / "file" / "q.csv"), "a place that can be written")
    before = table.read_bytes()
    assert_named(tonggan("doctor", table, "--quarantine", table), "a file that is read here", code=2)
    assert table.read_bytes() == before
    assert (tmp_path / "file").read_text() == "in the way"


def test_data_sets_are_listed():
    assert "easy_vqa" in tonggan("data", "list").out
    assert {"title", "source", "license", "files"} == set(tonggan("data", "list", "--json").json["fsdd"])


def test_data_sets_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path))
    outcome = tonggan("data", "check", "fsdd", "--json")
    assert outcome.code == 1
    assert set(outcome.json.values()) == {"missing"}
    assert "tonggan data get fsdd" in outcome.err
    assert_named(tonggan("data", "get", "fsdd"), "TONGGAN_MIRROR")
    assert_named(tonggan("data", "get", "nosuch"), "an unknown name", "easy_vqa", code=2)
