import json

import pytest

from command_line import tonggan
from space_scene import NEEDS_ENCODERS, SETTINGS, color_table

pytest.importorskip("faiss")
pytest.importorskip("tantivy")
pytestmark = NEEDS_ENCODERS


@pytest.fixture(scope="module", autouse=True)
def _cache(shared_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("space")
    table = color_table(folder, pictures=True)
    settings = {**SETTINGS, "space.weights.text": "minilm", "space.parts": "linear"}
    options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    done = tonggan("fit", table, "--task", "match", "--test", table, "--out", folder / "run", *options)
    assert done.code == 0, done.err
    assert "name→picture" in done.out
    assert "chance" in done.out
    assert "Next: tonggan index" in done.out
    done = tonggan("index", folder / "run", table, "--out", folder / "index", "--json")
    assert done.json["embedded"] == 40, done.err
    return folder


def test_a_search_shows_keys_cells_and_why(folder):
    done = tonggan("search", folder / "index", "dark red", "-k", "2", "--html", folder / "found.html")
    assert done.code == 0, done.err
    assert "dark red" in done.out
    page = (folder / "found.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    found = tonggan("search", folder / "index", "dark red", "--in", "picture", "--where", "red > 90", "--json").json
    assert all(hit["row"]["red"] > 90 for hit in found["hits"])
    exact = ("--in", "picture", "--where", "red > 90", "--exact", "--json")
    assert tonggan("search", folder / "index", "dark red", *exact).json == found
    key = found["hits"][0]["key"]
    other = tonggan("similar", folder / "index", key, "-k", "3", "--json").json["hits"]
    assert len(other) == 3
    assert key not in [hit["key"] for hit in other]
    by_row = tonggan("search", folder / "index", "--row", json.dumps({"name": "pink"}), "--json").json["hits"]
    assert "pink" in by_row[0]["row"]["name"]
    none = tonggan("search", folder / "index", "x", "--where", "red > 9000")
    assert "Nothing was found." in none.out


def test_a_space_is_measured_on_other_pairs(folder):
    done = tonggan("evaluate", folder / "run", folder / "colors.csv", "--json")
    assert done.json["metrics"]["test"]["recall@10"] > done.json["others"]["chance"]["recall@10"]
    assert "name→picture" in tonggan("evaluate", folder / "run", folder / "colors.csv").out


def test_wrong_usage_is_named(folder):
    for arguments, wanted in (
        (["search", folder / "index"], "Say what to look for"),
        (["search", folder / "index", "--row", "[1]"], "it should be a JSON object with"),
        (["search", folder / "index", "--row", '{"name": "red"'], "it should be a JSON object with"),
        (["search", folder / "index", "--image", folder / "none.png"], "a file that can be read"),
        (["search", folder / "index", "red", "--where", "red"], "--where 'year > 2020'"),
        (["search", folder, "red"], "tonggan index RUN DATA"),
        (["fit", folder / "colors.csv", "--task", "match", "--folds", "3", "--out", folder / "no"], "--task match"),
        (["fit", folder / "colors.csv", "--out", folder / "no"], "name the column to predict"),
        (["predict", folder / "run", folder / "colors.csv", "--out", folder / "p.csv"], "name the classes"),
    ):
        done = tonggan(*arguments)
        assert done.code != 0
        assert wanted in " ".join(done.err.split()), done.err
