"""The doctor: what it finds, what it does not, and what stops a run."""

import csv
import re

import numpy as np
import pytest

from annotated_pictures import draw, voc, write
from clips_scene import GREEN, RED, plain, write_clip
from small_data import make_table, png
from tonggan.data.cache import DecodeCache
from tonggan.data.column_checks import check_layout
from tonggan.data.doctor import Diagnosis, examine
from tonggan.data.readers import open_table
from tonggan.data.scan import scan_media
from tonggan.errors import DataError
from tonggan.modalities import (
    AudioConfig,
    CategoryConfig,
    IgnoreConfig,
    ImageConfig,
    MultilabelConfig,
    NumberConfig,
    TextConfig,
    VideoConfig,
)
from tonggan.modalities.boxes import BoxesConfig
from tonggan.progress import Progress
from tonggan.tasks import DetectConfig, TaskConfig

KINDS = {
    "picture": ImageConfig(size=8),
    "clip": VideoConfig(size=8),
    "sound": AudioConfig(),
    "words": TextConfig(),
    "number": NumberConfig(),
    "other": NumberConfig(),
    "city": CategoryConfig(),
    "label": CategoryConfig(),
    "price": NumberConfig(),
    "tags": MultilabelConfig(),
}


def diagnose(folder, *, target=(), task=None, columns=None, **parts) -> Diagnosis:
    """The diagnosis of tables given by part as columns of values."""
    names = list(next(iter(parts.values())))
    columns = {name: KINDS[name] for name in names} | (columns or {})
    tables = {split: make_table(folder, cells, name=split) for split, cells in parts.items()}
    media = {split: {} for split in tables}
    for name in ("picture", "clip", "sound"):
        if name in names:
            modality = columns[name].build()
            cache = DecodeCache(folder / "cache", modality)
            for split, table in tables.items():
                media[split][name] = scan_media(table, name, modality, cache, progress=Progress())
    learned = task and TaskConfig.parse({"kind": task}, who="task")
    return examine(tables, columns=columns, media=media, target=target, task=learned)


def told(diagnosis: Diagnosis) -> list[tuple[str, str | None, str | None, int]]:
    """What the findings are about; each must be said in both languages."""
    for finding in diagnosis.findings:
        assert re.search("[\u4e00-\u9fff]", finding.message_zh)
        assert re.search("[\u4e00-\u9fff]", finding.remedy_zh)
        assert not re.search("[\u4e00-\u9fff]", finding.message + finding.remedy)
        assert finding.message.endswith(".")
        assert not finding.remedy.endswith(".")
        said = re.sub("“[^”]*”|--set ('[^']*'|\\S+)", "", finding.message_zh + finding.remedy_zh)
        assert not re.search("train|valid|test|, [^0-9]", said), said
        numbers = re.findall(r"\d[\d,]*", finding.message)
        assert set(re.findall(r"\d[\d,]*", finding.message_zh)) <= set(numbers)
    return [(finding.severity, finding.column, finding.split, finding.count) for finding in diagnosis.findings]


def labels(count: int, *, seed: int = 0) -> list[str]:
    return np.random.default_rng(seed).choice(["cat", "dog"], size=count).tolist()


def test_good_data_has_no_findings(tmp_path):
    random = np.random.default_rng(0)
    cells = {
        "picture": [png(row, 0, 0) for row in range(200)],
        "words": [f"text {number}" for number in random.permutation(1000)[:200]],
        "number": random.normal(size=200).tolist(),
        "city": random.choice(["Rom", "Bonn"], size=200).tolist(),
        "label": labels(200),
    }
    other = {name: values[:100] for name, values in cells.items()} | {
        "picture": [png(row, 1, 0) for row in range(100)],
        "words": [f"other {row}" for row in range(100)],
    }
    diagnosis = diagnose(tmp_path, target=["label"], task="binary", train=cells, test=other)
    assert told(diagnosis) == []
    assert not diagnosis.has_errors
    diagnosis.check(max_bad=0)


def test_one_row_of_a_small_part_stops_nothing(tmp_path):
    cells = {"picture": [png(row, 0, 0) for row in range(20)], "label": labels(20)}
    few = {"picture": ["gone.png", png(1, 1, 1), png(2, 1, 1)], "label": labels(3)}
    diagnosis = diagnose(tmp_path, target=["label"], task="binary", train=cells, test=few)
    diagnosis.check(max_bad=0.05)
    with pytest.raises(DataError, match=r"part test: got 1 of 3 rows \(33.3%\)"):
        diagnosis.check(max_bad=0)


def test_absent_missing_and_unreadable_files_apart(tmp_path):
    (tmp_path / "good.png").write_bytes(png(1, 1, 1))
    (tmp_path / "fine.png").write_bytes(png(2, 1, 1))
    (tmp_path / "bad.png").write_bytes(b"bad")
    cells = {"picture": ["good.png", "fine.png", None, "gone.png", "lost.png", "bad.png"]}
    diagnosis = diagnose(tmp_path, train=cells)
    assert told(diagnosis) == [
        ("warning", "picture", "train", 2),
        ("warning", "picture", "train", 1),
        ("note", "picture", "train", 1),
    ]
    assert "'gone.png' in row 4" in diagnosis.findings[0].message
    assert "'bad.png' in row 6: no known format" in diagnosis.findings[1].message
    assert "第 6 行的“bad.png”：格式未知" in diagnosis.findings[1].message_zh
    assert diagnosis.rows("train").tolist() == [3, 4, 5]
    assert diagnosis.rows("train", columns=["label"]).tolist() == []
    diagnosis.write_quarantine(tmp_path / "new" / "quarantine.csv")
    with (tmp_path / "new" / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "split": "train",
        "row": "4",
        "column": "picture",
        "value": "gone.png",
        "reason": "no file at this path",
    }
    assert [row["value"] for row in rows] == ["gone.png", "lost.png", "bad.png"]
    with pytest.raises(DataError, match=r"part train: got 3 of 6 rows \(50.0%\).*'gone.png'.*at most 5.0%.*--max-bad"):
        diagnosis.check(max_bad=0.05)
    diagnosis.check(max_bad=0.5)


def test_clips_and_their_sound_tracks(tmp_path):
    silence, tone = np.zeros(16_000, dtype=np.float32), np.sin(np.arange(16_000, dtype=np.float32) / 8)
    pictures = [plain(RED), plain(GREEN)] * 5
    write_clip(tmp_path / "silent.mp4", pictures)
    write_clip(tmp_path / "silence.mp4", pictures, sound=silence)
    write_clip(tmp_path / "tone.mp4", pictures, sound=tone / 2)
    write_clip(tmp_path / "still.mp4", [plain(RED)] * 5, sound=tone / 3)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "tone.mp4").read_bytes()[:2_000])
    cells = ["silent.mp4", "silence.mp4", "tone.mp4", "still.mp4", "cut.mp4", None]
    diagnosis = diagnose(tmp_path, train={"clip": cells, "sound": cells})
    told(diagnosis)
    said = "\n".join(messages(diagnosis))
    assert "a truncated file (it ends before its index" in said
    assert "Of 4 clips in 'clip' of train that were looked at, 3 have a sound track; it is not read here." in said
    assert "1 clips in 'clip' of train show one still picture: nothing moves in them." in said
    assert "1 recordings in 'sound' of train have no sound track: there the input counts as absent." in messages(
        diagnosis
    )
    assert "1 recordings in 'sound' of train hold silence alone." in said
    assert [(entry.column, entry.number) for entry in diagnosis.quarantine] == [("clip", 5), ("sound", 5)]
    assert "1 of 6 rows of train have an empty cell in 'sound'." in said


def messages(diagnosis: Diagnosis) -> list[str]:
    return [finding.message for finding in diagnosis.findings]


def test_wrong_base_folder_is_an_error(tmp_path):
    diagnosis = diagnose(tmp_path, train={"picture": ["a.png", "b.png", None]})
    assert told(diagnosis)[0] == ("error", "picture", "train", 2)
    assert diagnosis.has_errors
    with pytest.raises(DataError, match=r"No file can be used, expected .* Correct the paths; they are relative"):
        diagnosis.check(max_bad=1)


def test_a_column_without_any_picture_is_told(tmp_path):
    assert told(diagnose(tmp_path, train={"picture": [None, ""]})) == [("warning", "picture", "train", 2)]


def test_one_picture_in_every_row(tmp_path):
    diagnosis = diagnose(tmp_path, train={"picture": [png(1, 1, 1)] * 3})
    assert told(diagnosis) == [("warning", "picture", "train", 3)]
    assert "nothing can be learned from it" in diagnosis.findings[0].message


def test_constant_and_empty_cells_stray_numbers_and_endless_texts(tmp_path):
    cells = {
        "city": ["Rom"] * 4,
        "words": ["a", "b" * 100_001, None, "c"],
        "number": [None, "", " ", None],
        "other": ["1", "2", "x", "3.5e2"],
    }
    assert told(diagnose(tmp_path, train=cells)) == [
        ("warning", "city", "train", 4),
        ("warning", "number", "train", 4),
        ("warning", "other", "train", 1),
        ("note", "words", "train", 1),
    ]


def test_pictures_shared_between_parts(tmp_path):
    train = {"picture": [png(row, 0, 0) for row in range(50)], "words": [f"question {row}" for row in range(50)]}
    test = {"picture": [png(3, 0, 0), png(9, 9, 9), None, png(7, 0, 0)], "words": ["what", "who", "why", "question 7"]}
    diagnosis = diagnose(tmp_path, train=train, test=test)
    shared, rows = diagnosis.findings[:2]
    assert (shared.severity, shared.column, shared.split, shared.count) == ("warning", "picture", "test", 2)
    assert "(66.7%)" in shared.message
    assert (rows.severity, rows.column, rows.split, rows.count) == ("warning", None, "test", 1)


def test_rows_shared_between_parts(tmp_path):
    train = {"words": [f"text {row}" for row in range(300)]}
    valid = {"words": ["text 5", *(f"other {row}" for row in range(299))]}
    test = {"words": ["other 1", "text 5", "new", "old"]}
    diagnosis = diagnose(tmp_path, train=train, valid=valid, test=test)
    assert told(diagnosis) == [
        ("warning", None, "test", 1),
        ("warning", None, "test", 2),
        ("note", None, "valid", 1),
    ]


def test_equal_cells_are_usual(tmp_path):
    cells = {"number": [1.0, 2.0] * 10, "city": ["Rom", "Bonn"] * 10}
    assert {severity for severity, *_ in told(diagnose(tmp_path, train=cells, test=cells))} == {"note"}


@pytest.mark.parametrize(
    ("name", "rename", "said"),
    [
        ("city", str, "is the same as"),
        ("city", {"cat": "feline", "dog": "canine"}.get, "is another name for"),
        ("number", {"cat": 0, "dog": 1}.get, "is another name for"),
        ("words", {"cat": "it says meow", "dog": "it says woof"}.get, "is another name for"),
    ],
)
def test_a_column_that_is_the_target(tmp_path, name, rename, said):
    target = labels(300)
    cells = {name: [rename(label) for label in target], "label": target}
    diagnosis = diagnose(tmp_path, target=["label"], task="binary", train=cells)
    assert told(diagnosis) == [("warning", name, "train", 300)]
    assert said in diagnosis.findings[0].message


def test_a_column_that_determines_the_target(tmp_path):
    random = np.random.default_rng(0)
    breeds = random.integers(0, 12, size=400)
    cells = {
        "city": [f"breed {breed}" for breed in breeds],
        "label": ["cat" if breed < 5 else "dog" for breed in breeds],
    }
    diagnosis = diagnose(tmp_path, target=["label"], task="binary", train=cells)
    assert "'city' alone predicts the target" in diagnosis.findings[0].message
    assert len(diagnosis.findings) == 1


def test_a_number_that_is_the_target_in_another_unit(tmp_path):
    prices = np.random.default_rng(0).normal(100, 20, size=200)
    cells = {
        "number": (prices * 7.8 + 3).tolist(),
        "other": (prices + np.random.default_rng(1).normal(size=200)).tolist(),
    }
    diagnosis = diagnose(tmp_path, target=["price"], task="regression", train=cells | {"price": prices.tolist()})
    assert told(diagnosis) == [("warning", "number", "train", 200)]
    assert "linear function" in diagnosis.findings[0].message


def test_strong_features_are_no_leaks(tmp_path):
    random = np.random.default_rng(0)
    target = np.array(labels(2000))
    wrong = random.random(2000) < 0.03
    cells = {
        "city": np.where(wrong, "Rom", np.where(target == "cat", "Bonn", "Rom")).tolist(),
        "number": (random.normal(size=2000) + 100 * (target == "cat")).tolist(),
        "words": [f"{label} number {row}" for row, label in enumerate(target)],
        "label": target.tolist(),
    }
    assert told(diagnose(tmp_path, target=["label"], task="binary", train=cells)) == []


def test_questions_that_do_not_determine_their_answers(tmp_path):
    random = np.random.default_rng(0)
    questions = [f"is there a {color} shape?" for color in ("red", "blue", "green")] + ["what color is it?"]
    rows = random.integers(0, 4, size=2000)
    answers = [
        random.choice(["red", "blue", "green"]) if row == 3 else random.choice(["yes", "no"], p=[0.9, 0.1])
        for row in rows
    ]
    cells = {"words": [questions[row] for row in rows], "label": answers}
    assert told(diagnose(tmp_path, target=["label"], task="multiclass", train=cells)) == []


def test_an_imbalanced_target_does_not_make_every_column_a_leak(tmp_path):
    target = ["dog"] * 995 + ["cat"] * 5
    cells = {"city": labels(1000, seed=3), "label": target}
    findings = told(diagnose(tmp_path, target=["label"], task="binary", train=cells))
    assert findings == [("warning", "label", "train", 995), ("note", "label", "train", 5)]


def test_folders_named_after_the_target_are_a_note(tmp_path):
    target = labels(60)
    paths = []
    for row, label in enumerate(target):
        paths.append(f"train/{label}/{row}.png")
        (tmp_path / "train" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / paths[-1]).write_bytes(png(row, 0, 0))
    diagnosis = diagnose(tmp_path, target=["label"], task="binary", train={"picture": paths, "label": target})
    assert told(diagnosis) == [("note", "picture", "train", 60)]


def test_a_target_with_one_class(tmp_path):
    cells = {"number": list(range(50)), "label": ["dog"] * 50}
    diagnosis = diagnose(tmp_path, target=["label"], task="binary", train=cells)
    assert told(diagnosis) == [("error", "label", "train", 0)]
    with pytest.raises(DataError, match="'dog' in every row of train; there is nothing to learn, expected"):
        diagnosis.check(max_bad=0.05)


def test_a_constant_number_as_target(tmp_path):
    cells = {"number": list(range(50)), "price": [2.0] * 50}
    assert told(diagnose(tmp_path, target=["price"], task="regression", train=cells)) == [
        ("error", "price", "train", 0)
    ]


def test_targets_without_a_usable_value(tmp_path):
    prices = [1.0, float("nan"), None, float("inf"), *range(36)]
    cells = {"number": np.random.default_rng(0).normal(size=40).tolist(), "price": prices}
    diagnosis = diagnose(tmp_path, target=["price"], task="regression", train=cells)
    assert told(diagnosis) == [("warning", "price", "train", 2), ("warning", "price", "train", 1)]
    assert diagnosis.rows("train", columns=["price"]).tolist() == [1, 2, 3]
    with pytest.raises(DataError, match=r"3 of 40 rows \(7.5%\)"):
        diagnosis.check(max_bad=0.05)


def test_a_target_too_large_is_said_to_be_so(tmp_path):
    cells = {"number": [float(row) for row in range(50)], "price": [*map(float, range(48)), 1e308, -1e200]}
    (said, *_) = messages(diagnose(tmp_path, target=["price"], task="regression", train=cells))
    assert "2 of 50 rows of train have a number beyond 1e+150 in the target 'price', e.g. '1e+308' in row 49" in said


def test_no_target_at_all(tmp_path):
    cells = {"number": list(range(50)), "label": [None] * 50}
    assert told(diagnose(tmp_path, target=["label"], task="binary", train=cells)) == [("error", "label", "train", 50)]


@pytest.mark.parametrize("other", ["so so", "So So", "So  so", "Ｓｏ　so", "So so\u3000"])
def test_labels_that_differ_in_case_alone(tmp_path, other):
    numbers = np.random.default_rng(0).normal(size=60).tolist()
    train = {"number": numbers, "label": (["So so", "no"] * 24) + [other] * 12}
    diagnosis = diagnose(tmp_path, target=["label"], task="multiclass", train=train)
    is_same = other.casefold() != "so so"  # width and blanks are no part of a label
    assert told(diagnosis) == ([] if is_same else [("warning", "label", "train", 36)])
    both = ", ".join(f"'{name}'" for name in sorted(["So so", other]))
    said = f"Labels of 'label' differ only in case, and count as several: {both}."
    assert [finding.message for finding in diagnosis.findings] == ([] if is_same else [said])


def test_labels_that_training_never_sees(tmp_path):
    train = {"number": list(range(60)), "label": ["cat", "dog"] * 30}
    test = {"number": [70, 71, 72], "label": ["cat", "cow", None]}
    diagnosis = diagnose(tmp_path, target=["label"], task="binary", train=train, test=test)
    assert told(diagnosis) == [("warning", "label", "test", 1), ("warning", "label", "test", 1)]
    assert "'cow' in row 2" in diagnosis.findings[0].message
    assert diagnosis.rows("test").tolist() == [1, 2]


def test_a_part_may_lack_the_target(tmp_path):
    train = {"number": list(range(60)), "label": ["cat", "dog"] * 30}
    assert told(diagnose(tmp_path, target=["label"], task="binary", train=train, test={"number": [30.5]})) == []


def test_several_labels(tmp_path):
    tags = ["red|round", "red", "round|new", None] * 10 + ["rare"]
    cells = {"number": np.random.default_rng(0).normal(size=41).tolist(), "tags": tags}
    test = {"number": [0.5, 0.25], "tags": ["red|odd", "red"]}
    diagnosis = diagnose(tmp_path, target=["tags"], task="multilabel", train=cells, test=test)
    assert told(diagnosis) == [
        ("warning", "tags", "train", 10),
        ("warning", "tags", "test", 1),
        ("note", "tags", "train", 1),
    ]


def test_ignored_columns_are_ignored(tmp_path):
    cells = {"number": list(range(60)), "city": ["cat", "dog"] * 30, "label": ["cat", "dog"] * 30}
    diagnosis = diagnose(tmp_path, target=["label"], task="binary", columns={"city": IgnoreConfig()}, train=cells)
    assert told(diagnosis) == []


def test_plain_data(tmp_path):
    diagnosis = diagnose(tmp_path, train={"picture": ["gone.png"], "city": ["Rom"]})
    data = diagnosis.to_dict()
    assert data["num_quarantined"] == 1
    assert data["num_rows"] == {"train": 1}
    assert data["findings"][0]["severity"] == "error"
    assert data["columns"][1] == {"name": "city", "kind": "category", "reason": ""}


@pytest.mark.parametrize("wild", [[1000.0], [99_999.0, -99_999.0], [-9999.0] * 10, [1e149]])
def test_wild_cells_are_named(tmp_path, wild):
    numbers = np.random.default_rng(0).random(200).tolist()
    cells = {"number": [None, *wild, *numbers], "label": labels(201 + len(wild))}
    diagnosis = diagnose(tmp_path, target=["label"], task="binary", train=cells)
    assert told(diagnosis) == [("warning", "number", "train", len(wild))]
    assert f"{wild[0]:g} in row 2" in diagnosis.findings[0].message


def test_wild_targets_are_named(tmp_path):
    prices = [*np.random.default_rng(0).random(200).tolist(), 1e9]
    diagnosis = diagnose(tmp_path, target=["price"], task="regression", train={"other": prices[::-1], "price": prices})
    assert told(diagnosis) == [("warning", "other", "train", 1), ("warning", "price", "train", 1)]
    assert "1e+09 in row 201" in diagnosis.findings[1].message


@pytest.mark.parametrize("share", [10, 1])
def test_a_target_that_says_again_and_again_that_it_is_unknown(tmp_path, share):
    prices = [-999.0 if row < 2 * share else price for row, price in enumerate(np.random.default_rng(0).random(200))]
    diagnosis = diagnose(tmp_path, target=["price"], task="regression", train={"price": prices})
    assert told(diagnosis) == [("warning", "price", "train", 2 * share)]
    assert ("--set 'columns.price={kind: number, missing: [-999]}'" in diagnosis.findings[0].remedy) == (share > 1)


def test_a_path_without_end_is_shown_in_part(tmp_path):
    train = {"picture": ["x" * 5000 + ".png", "gone.png"], "label": ["a", "b"]}
    diagnosis = diagnose(tmp_path, target=["label"], task="binary", train=train)
    assert all(len(finding.message) < 400 for finding in diagnosis.findings)
    assert "xxx…' in row 1" in "".join(finding.message for finding in diagnosis.findings)


def check(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    table = open_table(tmp_path / "a.csv", cache=tmp_path / "cache")
    return [finding.message for finding in check_layout(table, split="train")]


@pytest.mark.parametrize("total", ["Total", "合计", "Grand total:"])
def test_a_total_below_the_rows(tmp_path, total):
    [message] = check(tmp_path, f"name,n\na,1\nb,2\n{total},3\n")
    assert f"looks like a total: '{total}' in 'name'" in message


def test_data_in_the_place_of_names(tmp_path):
    [message] = check(tmp_path, "5.1,3.5,setosa\n4.9,3.0,setosa\n")
    assert "'5.1' is taken for a column's name" in message
    assert check(tmp_path, "2019,2020,2021\n1,2,3\n") == []
    assert check(tmp_path, "0,1,2,y\n1,2,3,a\n") == []
    assert check(tmp_path, "a,b\n1,2\n") == []


def test_what_is_said_of_a_table_is_said_once_of_its_parts(tmp_path):
    write(tmp_path / "set" / "lost.xml", voc([("cat", 1, 2, 3, 4)], filename="gone.jpg"))
    for name in ("a", "b"):
        write(draw(tmp_path / "set" / f"{name}.jpg").with_suffix(".xml"), voc([("cat", 1, 2, 3, 4)]))
    table = open_table(tmp_path / "set", cache=tmp_path / "cache")
    parts = {"train": table.select(np.arange(2)), "valid": table.select(np.arange(2, 3))}
    columns = {"objects": BoxesConfig()}
    diagnosis = examine(
        parts, columns=columns, media={split: {} for split in parts}, target=["objects"], task=DetectConfig()
    )
    (lost,) = [finding for finding in diagnosis.findings if "have no picture" in finding.message]
    assert lost.split == "train"
