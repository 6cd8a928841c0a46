"""New rows beside the training part: what is found in ruined columns, and that rows of the same table give nothing."""

import io
import re
from typing import ClassVar

import numpy as np
import pytest
import soundfile
from PIL import Image

from small_data import make_table
from tonggan.cells import cell_text
from tonggan.data.cache import DecodeCache
from tonggan.data.comparison import compare_cells, compare_column
from tonggan.data.doctor import examine
from tonggan.data.profiles import profile_columns
from tonggan.data.scan import scan_media
from tonggan.modalities import AudioConfig, CategoryConfig, IgnoreConfig, ImageConfig, NumberConfig, TextConfig
from tonggan.modalities.base import MediaModality
from tonggan.progress import Progress

KINDS = {
    "size": NumberConfig(),
    "skewed": NumberConfig(),
    "euro": NumberConfig(decimal="comma"),
    "sex": CategoryConfig(),
    "street": CategoryConfig(),
    "day": TextConfig(),
    "review": TextConfig(),
    "name": TextConfig(),
}
UNREADABLE = "are not written as the numbers of this column are, e.g. '"
OTHERWISE = "are written in another way than in training, e.g. '"
CHINESE = "快递来得太晚了"
WORDS = ["the", "box", "was", "late", "and", "it", "is", "broken", "but", "like", "this", "very", "for", "you", "not"]


def cells(rows=200, *, seed=0):
    random = np.random.default_rng(seed)
    return {
        "size": [f"{number:.2f}" for number in random.normal(50, 10, rows)],
        "skewed": [f"{number:.3f}" for number in random.lognormal(0, 2, rows)],
        "euro": [f"{number:.2f}".replace(".", ",") for number in random.uniform(1, 9, rows)],
        "sex": random.choice(["male", "female"], rows).tolist(),
        "street": [f"Street {min(place, 300)}" for place in random.zipf(1.6, rows)],
        "day": [f"2024-{month:02}-{day:02}" for month, day in random.integers(1, 13, (rows, 2))],
        "review": [" ".join(random.choice(WORDS, 12)) for _ in range(rows)],
        "name": [" ".join(random.choice(["Ada", "Bo", "Cy", "Dee"], 2)) for _ in range(rows)],
    }


def findings(folder, new, *, train=None, columns=KINDS):
    """The warnings about ``new`` columns, which are told in both languages, and the cells that cannot be read."""
    tables = {"train": make_table(folder, train or cells(), name="train"), "new": make_table(folder, new, name="new")}
    media = {
        split: {
            name: scan_media(
                table, name, config.build(), DecodeCache(folder / name, config.build()), progress=Progress()
            )
            for name, config in columns.items()
            if isinstance(config, ImageConfig | AudioConfig)
        }
        for split, table in tables.items()
    }
    profiles = profile_columns(tables["train"], columns, media=media["train"])
    found, bad = [], []
    for name, profile in profiles.items():
        if name in new:
            told, unreadable = compare_column(
                tables["new"],
                name,
                config=columns[name],
                profile=profile,
                media=media["new"].get(name),
                split="the table",
            )
            found += told
            bad += unreadable
    for finding in found:
        assert re.search("[\u4e00-\u9fff]", finding.message_zh)
        assert re.search("[\u4e00-\u9fff]", finding.remedy_zh)
        assert not re.search("the table|', '|color|grey| to ", finding.message_zh)
        assert not re.search("[\u4e00-\u9fff]", finding.message.replace(CHINESE, "") + finding.remedy)
    return [finding for finding in found if finding.severity == "warning"], bad


@pytest.mark.parametrize("seed", range(1, 11))
@pytest.mark.parametrize("rows", [1, 20, 100])
def test_rows_of_the_same_kind_give_no_warning(tmp_path, seed, rows):
    found, bad = findings(tmp_path, cells(rows, seed=seed))
    assert [finding.message for finding in found] == []
    assert not bad


@pytest.mark.parametrize(
    ("name", "ruin", "message"),
    [
        ("size", lambda cell: cell.replace(".", ","), UNREADABLE),
        ("size", lambda cell: f"ca. {cell}", UNREADABLE),
        ("euro", lambda cell: "0" + cell.replace(",", "."), UNREADABLE),
        ("size", lambda cell: f"{float(cell) * 100:.0f}", "lie far outside the range of training, e.g. '"),
        ("size", lambda cell: f"{float(cell) / 2.54:.2f}", "lie where hardly any number of training does, e.g. '"),
        ("sex", str.upper, OTHERWISE),
        ("sex", lambda cell: {"male": "m", "female": "f"}[cell], "hold values never seen in training, e.g. '"),
        ("street", lambda cell: cell.replace("Street", "Road"), "hold values never seen in training, e.g. 'Road "),
        ("day", lambda cell: ".".join(reversed(cell.split("-"))), OTHERWISE),
        ("day", lambda cell: cell + " 00:00", OTHERWISE),
        ("review", lambda _: "das Paket war zu spät und ist nicht gut", "another language than in training (German)"),
        ("review", lambda _: CHINESE, f"than in training (Chinese), e.g. '{CHINESE}' in row 1"),
        ("name", lambda _: "Иван Петров", "another language than in training (Cyrillic)"),
        ("review", lambda _: "1234", "another language than in training (no letters)"),
        *((name, lambda _: None, "are empty; in training 0 of 200 are") for name in KINDS),
    ],
)  # fmt: skip
def test_a_ruined_column_is_one_finding(tmp_path, name, ruin, message):
    new = cells(100, seed=1)
    new[name] = [ruin(cell) for cell in new[name]]
    found, bad = findings(tmp_path, new)
    (finding,) = found
    assert finding.column == name
    assert finding.count > 50
    assert message in finding.message
    assert len(bad) == (100 if message == UNREADABLE else 0)


def test_single_cells_are_named_by_their_row(tmp_path):
    new = cells(100, seed=1)
    new["sex"][3], new["size"][4], new["size"][5] = "unknown sex", "1e6", "broken"
    found, bad = findings(tmp_path, new)
    assert {(finding.column, finding.count, finding.message.split("e.g. ")[1].split(";")[0]) for finding in found} == {
        ("sex", 1, "'unknown sex' in row 4"),
        ("size", 1, "'1e+06' in row 5"),
        ("size", 1, "'broken' in row 6, where training has '51.26'"),
    }
    assert [(entry.row, entry.value) for entry in bad] == [(5, "broken")]


def test_missing_more_often(tmp_path):
    train, new = cells(), cells(100, seed=1)
    for row in range(60):
        train["size"][row] = None
    for row in range(35):
        new["size"][row] = None
    assert findings(tmp_path, new, train=train)[0] == []
    for row in range(80):
        new["size"][row] = None
    (finding,) = findings(tmp_path, new, train=train)[0]
    assert finding.message == "80 of 100 cells of 'size' in the table are empty; in training 60 of 200 are."


def test_wild_cells_of_the_training_part_do_not_widen_its_range(tmp_path):
    train, new = cells(), cells(100, seed=1)
    train["size"][7] = "1e30"
    new["size"][0] = "1e6"
    (finding,) = findings(tmp_path, new, train=train)[0]
    assert "'1e+06' in row 1" in finding.message


def picture(mode="RGB", side=32):
    file = io.BytesIO()
    Image.new(mode, (side, side + 8), 100 if mode == "L" else (200, 100, 50)).save(file, "PNG")
    return file.getvalue()


def recording(rate=16_000, channels=1):
    file = io.BytesIO()
    soundfile.write(file, np.full((800, channels), 0.1, dtype=np.float32), rate, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize(
    ("config", "usual", "new", "what"),
    [
        (ImageConfig(size=8), picture(), picture("L"), "have another color than in training, e.g. 'shades of grey'"),
        (ImageConfig(size=8), picture("L"), picture(), "have another color than in training, e.g. 'color' in row 1"),
        (ImageConfig(size=8), picture(), picture(side=300), "have another size than in training, e.g. '300' in row 1"),
        (AudioConfig(), recording(), recording(8_000), "have another sample rate than in training, e.g. '8000 Hz'"),
        (
            AudioConfig(),
            recording(),
            recording(channels=2),
            "have another channels than in training, e.g. '2' in row 1",
        ),
    ],
)
def test_other_files(tmp_path, config, usual, new, what):
    train = {"file": [usual] * 40}
    assert findings(tmp_path, {"file": [usual] * 10}, train=train, columns={"file": config})[0] == []
    (finding,) = findings(tmp_path, {"file": [new] * 10}, train=train, columns={"file": config})[0]
    assert what in finding.message
    assert finding.count == 10
    modality = config.build()
    assert isinstance(modality, MediaModality)
    assert modality.describe(b"no such file") == {}


def test_fit_compares_its_parts_by_the_same_function(tmp_path):
    ruined = cells(100, seed=1)
    ruined["size"] = [f"ca. {cell}" for cell in ruined["size"]]
    tables = {"train": make_table(tmp_path, cells(), name="train"), "test": make_table(tmp_path, ruined, name="test")}
    diagnosis = examine(tables, columns=KINDS, media={"train": {}, "test": {}})
    told = [finding for finding in diagnosis.findings if finding.column == "size"]
    assert [(finding.split, finding.count) for finding in told] == [("test", 100)]
    assert len(diagnosis.rows("test")) == 100
    assert set(diagnosis.profiles) == set(KINDS)


class Tint(IgnoreConfig):
    """A column of which nothing is known but which cells can be read."""

    is_used: ClassVar[bool] = True

    def is_unreadable(self, cell):
        return cell_text(cell) is not None and not str(cell).startswith("#")


def test_a_kind_that_says_what_it_can_read_is_compared_by_that(tmp_path):
    train = make_table(tmp_path, {"tint": ["#000"] * 99 + [None]}, name="train")
    profile = profile_columns(train, {"tint": Tint()}, media={})["tint"]
    assert (profile.kind, profile.rows, profile.missing, profile.unreadable) == ("cell", 100, 1, 0)

    def found(cells):
        numbers = np.arange(1, len(cells) + 1)
        return compare_cells("tint", cells, config=Tint(), profile=profile, split="the table", numbers=numbers)

    assert found(["#fff"] * 30 + [None]) == ([], [])
    (finding,), bad = found(["#fff", "red", "blue"])
    assert "2 of 3 cells of 'tint' in the table are not written as cells of the kind ignore are" in finding.message
    assert "where training has '#000'" in finding.message
    assert "“忽略”类" in finding.message_zh
    assert [(each.number, each.value) for each in bad] == [(2, "red"), (3, "blue")]
    (finding,), _ = found([None] * 20)
    assert "20 of 20 cells of 'tint' in the table are empty" in finding.message
