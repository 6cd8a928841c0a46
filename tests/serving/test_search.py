import httpx
import pytest

import tonggan
from serving_scene import data_url, running
from space_scene import SETTINGS, color_table
from tonggan.serving.config import ServerConfig
from tonggan.serving.services import SearchService
from tonggan.space.index import SpaceIndex
from tonggan.weights import CATALOGUE

pytest.importorskip("faiss")
pytest.importorskip("tantivy")
pytestmark = pytest.mark.skipif(
    not all(CATALOGUE[name].is_installed for name in ("minilm", "efficientnet_lite0")),
    reason="the weights minilm and efficientnet_lite0 are not installed",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory, shared_cache):
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        table = color_table(folder, pictures=True)
        settings = {**SETTINGS, "space.weights.text": "minilm", "space.parts": "linear"}
        run = tonggan.fit_space(table, out=folder / "run", settings=settings)
        tonggan.index(run.folder, table, out=folder / "index")
        config = ServerConfig(timeout=60.0)
        rows = SearchService(SpaceIndex.open(folder / "index"), config=config)
        with running([], config=config, rows=rows) as running_server:
            yield running_server.url, folder


def asked(server, **body):
    return httpx.post(f"{server[0]}/v1/search", json=body, timeout=60)


def test_rows_are_found_by_words_pictures_cells_and_keys(server):
    hits = asked(server, query="dark red", limit=2).json()["data"]
    assert [len(hits), hits[0]["row"]["name"]] == [2, "dark red"]
    raw = (server[1] / "7.png").read_bytes()
    (own,) = asked(server, image=data_url(raw), columns=["picture"], limit=1).json()["data"]
    assert own["row"]["picture"] == "7.png"
    near = asked(server, key=own["key"], where=["red > 100"], limit=3, exact=True).json()["data"]
    assert all(hit["row"]["red"] > 100 for hit in near)
    assert "pink" in asked(server, row={"name": "pink"}, limit=1).json()["data"][0]["row"]["name"]


def test_a_clip_finds_the_picture_that_it_shows(server, tmp_path):
    pytest.importorskip("av")
    from clips_scene import plain, write_clip

    clip = write_clip(tmp_path / "red.mp4", [plain((200, 20, 20), width=32, height=32)] * 3)
    hits = asked(server, video=data_url(clip.read_bytes(), "video/mp4"), columns=["picture"], limit=5).json()["data"]
    assert "red" in [hit["row"]["name"] for hit in hits]


def test_what_is_wrong_is_named_and_no_path_is_opened(server):
    for body, wanted in (
        ({}, "either key, or one or more of query, image, audio, video and row"),
        ({"query": "red", "where": ["year > 5"]}, "no column 'year'"),
        ({"query": "red", "where": ["red; DROP TABLE rows"]}, "year > 2020"),
        ({"query": "red", "columns": ["sound"]}, "no input 'sound'"),
        ({"row": {"picture": "/etc/passwd"}}, "opens no path"),
        ({"image": "file:///etc/passwd"}, "opens no path"),
        ({"audio": data_url(b"RIFF....WAVEfmt ", "audio/wav")}, ""),
        ({"key": "nothing"}, "no row 'nothing'"),
        ({"query": "red", "limit": 0}, "limit"),
    ):
        answer = asked(server, **body)
        assert answer.status_code == 400, body
        assert wanted in answer.json()["error"]["message"], body
