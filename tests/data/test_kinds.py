import json
import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from small_data import make_table, png
from tonggan.data.kinds import guess_columns, guess_task
from tonggan.data.readers import open_table
from tonggan.errors import DataError
from tonggan.modalities import CategoryConfig, CodeConfig, IgnoreConfig, ImageConfig, NumberConfig, TextConfig
from tonggan.modalities.boxes import BoxesConfig
from tonggan.modalities.regions import RegionsConfig
from tonggan.wording import catalog

ROWS = 400


def kinds(table, *target):
    guesses = guess_columns(table, target=target, declared={})
    return {name: guess.config.kind for name, guess in guesses.items()}


def task(table, *target):
    guesses = guess_columns(table, target=target, declared={})
    return guess_task(table, target, columns={name: guess.config for name, guess in guesses.items()})["kind"]


def one(tmp_path, values, *, name="column", is_target=False):
    table = make_table(tmp_path, {name: values})
    return guess_columns(table, target=[name] if is_target else [], declared={})[name]


@pytest.fixture
def passengers(tmp_path):
    """A table as CSV readers give it: all text, blanks missing."""
    random = np.random.default_rng(0)
    first, last = ["Owen", "John Henry", "Anna", "Eliza Mary"], ["Braund", "Cumings", "Smith"]
    columns = {
        "PassengerId": [str(row + 1) for row in range(ROWS)],
        "Survived": random.integers(0, 2, ROWS).astype(str).tolist(),
        "Pclass": random.integers(1, 4, ROWS).astype(str).tolist(),
        "Name": [f"{random.choice(last)}, Mr. {random.choice(first)} ({row})" for row in range(ROWS)],
        "Sex": random.choice(["male", "female"], ROWS).tolist(),
        "Age": [None if random.random() < 0.2 else str(random.integers(1, 80)) for _ in range(ROWS)],
        "Ticket": [random.choice(["A/5 ", "PC ", ""]) + str(random.integers(1000, 1300)) for _ in range(ROWS)],
        "Fare": [f"{value:.4f}" for value in random.exponential(30, ROWS)],
        "Cabin": [None if random.random() < 0.8 else f"C{random.integers(1, 99)}" for _ in range(ROWS)],
        "Embarked": random.choice(["S", "C", "Q"], ROWS).tolist(),
    }
    return make_table(tmp_path, columns)


def test_passengers(passengers):
    assert kinds(passengers, "Survived") == {
        "PassengerId": "ignore",
        "Survived": "category",
        "Pclass": "number",
        "Name": "text",
        "Sex": "category",
        "Age": "number",
        "Ticket": "text",
        "Fare": "number",
        "Cabin": "text",
        "Embarked": "category",
    }
    assert task(passengers, "Survived") == "binary"
    assert task(passengers, "Embarked") == "multiclass"
    assert task(passengers, "Fare") == "regression"
    assert task(passengers, "Fare", "Age") == "regression"


def test_questions_on_pictures(tmp_path):
    words = ["red", "green", "blue", "black", "gray", "teal", "brown", "yellow"]
    shapes = ["circle", "rectangle", "triangle"]
    questions = [f"is there a {word} {shape} in the image?" for word in words for shape in shapes]
    columns = {
        "image": [f"images/{row // 8}.png" for row in range(ROWS)],
        "question": [questions[row % len(questions)] for row in range(ROWS)],
        "answer": [(["yes", "no", *words])[row % 10] for row in range(ROWS)],
    }
    table = make_table(tmp_path, columns)
    assert kinds(table, "answer") == {"image": "image", "question": "text", "answer": "category"}
    assert "English" in guess_columns(table, target=["answer"], declared={})["question"].reason
    assert task(table, "answer") == "multiclass"


def test_media_by_content_and_by_path(tmp_path):
    (tmp_path / "pictures").mkdir()
    for row in range(4):
        (tmp_path / "pictures" / str(row)).write_bytes(png(row, 0, 0))
    assert one(tmp_path, [{"bytes": png(1, 2, 3), "path": None}, None]).config.kind == "image"
    assert one(tmp_path, [{"bytes": None, "path": "1.wav"}]).config.kind == "audio"
    assert one(tmp_path, [png(1, 2, 3), b""]).config.kind == "image"
    assert one(tmp_path, [f"pictures/{row}" for row in range(4)]).config.kind == "image"
    assert one(tmp_path, ["a/1.FLAC", None, "", "b/2.wav"]).config.kind == "audio"
    assert one(tmp_path, ["1.mp4", "2.mp4"]).config.kind == "video"
    assert "not fetched" in one(tmp_path, ["https://a.org/1.jpg", "https://a.org/2.jpg"]).reason
    assert one(tmp_path, [b"%PDF", b"%PDF"]).config.kind == "ignore"
    assert one(tmp_path, [{"x": 1}, {"x": 2}]).config.kind == "ignore"


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("row", list(range(50)), "ignore"),
        ("user_id", [9, 4, 7, 1], "ignore"),
        ("ID", [9, 4, 7, 1], "ignore"),
        ("long", ["😀" * 300, "😀" * 301], "text"),
        ("编号", ["x9", "x4", "x7", "x1"], "ignore"),
        ("sku", [f"AB-{row:04d}" for row in range(30)], "ignore"),
        ("size", [9, 4, 7, 1], "number"),
        ("account", [900719925474099267, 900719925474099266] * 9, "category"),
        ("at", [1709649000000000000 + row * 10**9 for row in range(28)], "number"),
        ("user_id", [1, 2, 1, 2], "number"),
        ("word", ["tree", "house", "river", "cloud"], "text"),
        ("x", [0.5, None, float("nan"), 2.0], "number"),
        ("x", [None, None], "ignore"),
        ("x", ["", "  "], "ignore"),
        ("x", [float("nan")] * 3, "ignore"),
        ("flag", [True, None, False], "category"),
        ("zip", [f"{row % 40:05d}" for row in range(400)], "category"),
        ("day", [f"2024-01-{row % 28 + 1:02d}" for row in range(28)], "date"),
        ("day", [f"2024-01-{row % 7 + 1:02d}" for row in range(70)], "date"),
        ("day", ["3/5/2024", "3/25/2024"] * 20, "date"),
        ("day", [20240301 + row for row in range(28)], "date"),
        ("at", ["14:30", "2:30 PM", "9:15"] * 9, "time"),
        ("took", ["1 h 20 min", "45 min"] * 9, "duration"),
        ("wait", ["3 天", "10 天"] * 9, "duration"),
        ("seconds", [1709649000 + row * 7 for row in range(28)], "number"),
        ("note", [f"on 2024-03-{row + 1:02d} we met {row} people" for row in range(28)], "text"),
        ("price", ["1,234.50", "2,000.00", "3,100.10"], "number"),
        ("tags", ["a|b", "b", "a|c|b", "c"], "text"),
        ("tags", [["a"], ["b", "a"]], "ignore"),
    ],
)
def test_inputs(tmp_path, name, values, kind):
    guess = one(tmp_path, values, name=name)
    assert guess.config.kind == kind, guess.reason
    assert guess.reason


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1] * 5, "binary"),
        (["-1.0", "1.0"] * 5, "binary"),
        ([True, False], "binary"),
        ([0, 1, 2] * 4, "multiclass"),
        (["3", "4", "5", "6"] * 20, "multiclass"),
        (list(range(100)) * 10, "multiclass"),
        ([0.5, 1.5, 2.5] * 10, "regression"),
        ([float(value) for value in range(18, 90)] * 5, "regression"),
        ([10, 250, 37, 99], "regression"),
        (["a|b", "b", "a|c|b", "c", "a|b|c", "b"], "multilabel"),
        ([["a"], ["b", "a"], []], "multilabel"),
        (['["a"]', '["b", "a"]', "[]"] * 3, "multilabel"),
        (["yes", "no", None, "yes"], "binary"),
        ([1.0, 2.0, float("nan"), 1.0], "binary"),
        ([f"class {row % 300}" for row in range(3000)], "multiclass"),
    ],
)
def test_targets(tmp_path, values, expected):
    assert task(make_table(tmp_path, {"y": values}), "y") == expected


BOXES = [{"label": "cat", "box": [1, 2, 3, 4]}]


@pytest.mark.parametrize(
    "values",
    [
        [json.dumps(BOXES), "[]", None, "not boxes", json.dumps(BOXES * 300)],
        [BOXES, [], None],
        [{"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [1]}, {"bbox": [], "category": []}],
    ],
)
def test_a_target_of_boxes(tmp_path, values):
    guess = one(tmp_path, values, is_target=True)
    assert guess.config == BoxesConfig()
    assert catalog().translate(guess.reason) == "图片中目标的边界框"
    as_input = one(tmp_path / "input", values)
    assert as_input.config == IgnoreConfig(), "it would say the answer of another target"
    assert catalog().translate(as_input.reason) == "图片中目标的边界框，只作为目标读取"


@pytest.mark.parametrize(
    "values",
    [
        ["masks/1.png", "masks/2.png", None],
        [{"bytes": png(1, 2, 3), "path": "1.png"}] * 3,
        ['["1.png", "2.png"]', "[]", '["3.png"]'],
        [["1.png", "2.png"], [], ["3.png"]],
    ],
)
def test_a_target_of_masks(tmp_path, values):
    guess = one(tmp_path, values, is_target=True)
    assert guess.config == RegionsConfig()
    assert catalog().translate(guess.reason) != guess.reason
    assert one(tmp_path / "input", values).config != RegionsConfig()


def test_lists_that_are_no_boxes(tmp_path):
    assert one(tmp_path, ["[]", "[]"], is_target=True).config != BoxesConfig()
    assert one(tmp_path / "more", ['["a", "b"]', '["b"]'] * 9, is_target=True).config != BoxesConfig()


def test_targets_that_no_task_predicts(tmp_path):
    captions = [f"a picture of thing number {row} in a place" for row in range(50)]
    table = make_table(tmp_path, {"caption": captions, "image": ["1.png"] * 50, "y": [0, 1] * 25, "z": ["a", "b"] * 25})
    expected = "expected one category, one column of several labels, numbers, or one column of boxes or masks"
    for target in (["caption"], ["y", "z"], []):
        with pytest.raises(DataError, match=expected):
            task(table, *target)


def test_what_is_declared_stays(tmp_path):
    table = make_table(tmp_path, {"a": ["1.png", "2.png"], "b": [1, 2]})
    declared = {"a": TextConfig(), "b": CategoryConfig(max_categories=5)}
    guesses = guess_columns(table, target=["b"], declared=declared)
    assert {name: guess.config for name, guess in guesses.items()} == declared
    assert guesses["a"].reason == "declared"
    with pytest.raises(DataError, match="no column 'c'"):
        guess_columns(table, target=["b"], declared={"c": ImageConfig()})
    with pytest.raises(DataError, match="no column 'd'"):
        guess_columns(table, target=["d"], declared={})


def test_values_that_come_late_and_texts_that_are_long(tmp_path):
    guess = one(tmp_path, [None] * 90_000 + ["x"] + [None] * 10_000)
    assert (guess.config.kind, guess.reason) == ("ignore", "has hardly any values")
    embedded = {"bytes": png(1, 2, 3), "path": None}
    assert one(tmp_path, [None] * 900 + [embedded] + [None] * 900).config.kind == "image"
    assert one(tmp_path, ["a long text " * 100_000, "and another one that is short"]).config.kind == "text"


@pytest.fixture
def mirror():
    folder = os.environ.get("TONGGAN_MIRROR")
    if not folder:
        pytest.skip("TONGGAN_MIRROR names no folder with public data sets")
    return Path(folder)


def test_public_sets(mirror, tmp_path):
    cifar = open_table(mirror / "cifar10" / "test.parquet", cache=tmp_path)
    assert kinds(cifar, "label") == {"img": "image", "label": "category"}
    digits = open_table(mirror / "fsdd" / "test.parquet", cache=tmp_path)
    assert kinds(digits, "label") == {"audio": "audio", "label": "category", "speaker": "category", "index": "number"}
    assert task(digits, "label") == "multiclass"


def test_english_and_chinese_news(mirror, tmp_path):
    english = tmp_path / "english.csv"
    english.write_bytes(b"class,title,text\n" + (mirror / "ag_news" / "test.csv").read_bytes())
    table = open_table(english, cache=tmp_path)
    assert len(table) == 7600
    assert kinds(table, "class") == {"class": "category", "title": "text", "text": "text"}
    lines = (mirror / "thucnews" / "dev.txt").read_text(encoding="utf-8")
    chinese = tmp_path / "chinese.tsv"
    chinese.write_text("标题\t类别\n" + lines, encoding="gb18030")
    table = open_table(chinese, cache=tmp_path)
    assert len(table) == 10_000
    guesses = guess_columns(table, target=["类别"], declared={})
    assert guesses["标题"].reason.startswith("text (Chinese)")
    assert task(table, "类别") == "multiclass"


def test_numbers_that_are_written_in_the_ways_of_the_world(tmp_path):
    guess = one(tmp_path, ["1.234,50 €", "12,00 €", "-"])
    assert guess.config.read("1.000,50 €") == 1000.5
    assert guess.reason.startswith(
        "numbers from 12 to 1234.5, written with a decimal comma, with '.' between thousands"
    )
    assert guess.reason.endswith("in €, '-' count as missing")
    guess = one(tmp_path, ["1,234", "2,345"], name="price")
    assert "--set columns.price.decimal=comma" in guess.reason


def test_what_is_nearly_numbers_is_said(tmp_path):
    guess = one(tmp_path, ["5 kg", "300 g", "7 kg", "250 g"])
    assert guess.config.kind != "number"
    assert "numbers in different units" in guess.reason
    assert guess.doubt is not None


@pytest.mark.parametrize("digits", [1, 2])
def test_a_target_with_decimal_commas_is_no_class(tmp_path, digits):
    values = [f"{1 + row * 0.0213 % 4:.{digits}f}".replace(".", ",") for row in range(200)]
    assert task(make_table(tmp_path, {"y": values}), "y") == "regression"


def test_a_target_in_different_units_is_refused_with_what_to_do(tmp_path):
    values = [f"{row} {'kg' if row % 2 else 'g'}" for row in range(50)]
    with pytest.raises(DataError, match=r"numbers in different units.*columns\.y\.units="):
        task(make_table(tmp_path, {"y": values}), "y")


def test_how_declared_numbers_are_written_is_found_unless_it_is_declared_too(tmp_path):
    table = make_table(tmp_path, {"a": ["1,5", "x", "2,5", "y"], "b": ["1,234", "2,345"] * 2})
    guesses = guess_columns(table, target=[], declared={"a": NumberConfig(), "b": NumberConfig(decimal="comma")})
    assert guesses["a"].config.read("3,5") == 3.5
    assert guesses["b"].config == NumberConfig(decimal="comma")


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        (["0", "1", "NA", "1", "0"], ["NA"]),
        (["0", "1", "unknown", "?", "0"], ["?", "unknown"]),
        (["1", "2", "3", "-"], ["-"]),
        (["yes", "no", "N/A", "null", "no"], ["N/A", "null"]),
        (["none", "mild", "unknown", "severe"], []),
        (["DE", "FR", "NA", "US", "CN", "IT", "NA"], []),
        (["Y", "N", "NA", "Y"], ["NA"]),
        (["true", "false", "nan", "n.a."], ["n.a.", "nan"]),
    ],
)
def test_what_says_that_there_is_no_label_is_none(tmp_path, values, missing):
    guess = one(tmp_path, values * 30, is_target=True)
    assert isinstance(guess.config, CategoryConfig)
    assert guess.config.missing == missing
    assert guess.reason.endswith("count as missing") == bool(missing)
    table = make_table(tmp_path, {"y": values * 30})
    task = guess_task(table, ["y"], columns={"y": guess.config})["kind"]
    assert task == ("binary" if len({*values} - {*missing, "nan"}) == 2 else "multiclass")
    for declared, found in (([], []), (["x"], ["x"]), (None, missing)):
        config = CategoryConfig() if declared is None else CategoryConfig(missing=declared)
        assert guess_columns(table, target=["y"], declared={"y": config})["y"].config.missing == found


@pytest.mark.parametrize("stored", [pa.string(), pa.large_string()])  # as a file is read, and a data frame
def test_a_target_of_numbers_and_na_in_texts_of_any_type(tmp_path, stored):
    guess = one(tmp_path, pa.array(["0", "1", "NA"] * 30, stored), is_target=True)
    assert guess.config == CategoryConfig(missing=["NA"])
    with pytest.raises(DataError, match="different units"):
        task(
            make_table(tmp_path, {"y": pa.array([f"{row}.5 {'kg' if row % 2 else 'g'}" for row in range(99)], stored)}),
            "y",
        )


def test_labels_that_are_missing_in_some_rows(tmp_path):
    guess = one(tmp_path, ["red|round", "small", "NA", "red|small", None, "round|small"] * 20, is_target=True)
    assert (guess.config.separator, guess.config.missing) == ("|", ["NA"])
    assert guess.config.labels("NA") is None
    assert guess.config.labels("na|red") == ["na", "red"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("page {}.pdf", "PDF files, which are not read (export their pages as PNG or put their text into the table)"),
        ("texts/{}.txt", "TXT files, which are not read (put their text into the table)"),
        ("{}.DOCX", "DOCX files, which are not read (put their text into the table)"),
    ],
)
def test_files_that_are_not_read_are_named(tmp_path, name, said):
    guess = one(tmp_path, [name.format(row) for row in range(40)])
    assert guess.config == IgnoreConfig()
    assert guess.reason == f"paths of files that are {said}"
    assert re.search("文件路径，内容是 [A-Z]+ 文件，不读取（请把.*写入表格）", catalog().translate(guess.reason))


def test_documents_are_known_by_what_they_hold(tmp_path):
    for row in range(10):
        (tmp_path / f"scan{row}").write_bytes(b"%PDF-1.7\n...")
    assert "PDF files" in one(tmp_path, [f"scan{row}" for row in range(10)]).reason
    assert "embedded files that are PDF files" in one(tmp_path, [b"%PDF-1.7\n..."] * 10).reason


def test_programs_are_code_and_texts_about_them_are_not(tmp_path):
    columns = {
        "program": [f"def f{number}(x):\n    return x + {number}" for number in range(60)],
        "note": [f"The function f{number}\nreturns what it gets plus {number}." for number in range(60)],
        "path": [f"programs/{number}.py" for number in range(60)],
    }
    table = make_table(tmp_path, columns)
    guesses = guess_columns(table, target=[], declared={})
    assert {name: guess.config.kind for name, guess in guesses.items()} == {
        "program": "code",
        "note": "text",
        "path": "ignore",
    }
    assert guesses["program"].reason == "source code (Python)"
    unread = "paths of files that are PY files, which are not read (put their text into the table)"
    assert guesses["path"].reason == unread
    assert guess_columns(table, target=[], declared={"note": CodeConfig()})["note"].config.kind == "code"
