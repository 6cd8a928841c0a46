import httpx
import pytest

from generation_scene import language_model
from serving_scene import Running, running, until
from tonggan.codelm.editor.indexing import Indexing
from tonggan.codelm.editor.open import open_indexing
from tonggan.codelm.search.code_index import CodeIndex
from tonggan.progress import Progress
from tonggan.serving.code import CodeService
from tonggan.serving.config import ServerConfig
from tonggan.serving.services import Service, TextService

SOURCE = '''def parse_date(text):
    """Read a date with its time zone."""
    return text


def unrelated():
    return 1
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("code")
    (root / "日 期.py").write_text(SOURCE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        index = CodeIndex.open(root)
        index.refresh()
        index.close()
        indexing = Indexing(root, embedder="none", open_index=lambda: CodeIndex.open(root), progress=Progress())
        config = ServerConfig(timeout=60)
        service = Service("tiny", texts=TextService(language_model(), config=config))
        with running([service], config=config, code=CodeService(indexing)) as started:
            yield started


def search(server: Running, **body):
    return httpx.post(f"{server.url}/v1/code/search", json=body, timeout=60)


def test_until_the_index_is_there_a_client_is_told_so(server):
    answer = search(server, query="anything")
    assert answer.status_code in (200, 503)
    if answer.status_code == 503:
        assert answer.json()["error"]["code"] == "index_not_ready"


def test_search(server):
    until(lambda: search(server, query="parse date").status_code == 200)
    hit, *_ = search(server, query="parse a date with timezone", kinds=["function"]).json()["data"]
    assert (hit["path"], hit["name"], hit["start_line"], hit["language"]) == ("日 期.py", "parse_date", 1, "python")
    assert hit["uri"].endswith("%E6%97%A5%20%E6%9C%9F.py")
    assert hit["reasons"][0]["words"]
    assert search(server, query="parse date", language="go").json()["data"] == []


@pytest.mark.parametrize("body", [{"query": " "}, {"query": "a", "limit": 0}, {"query": "a", "kinds": ["planet"]}])
def test_wrong_parameters_are_named(server, body):
    answer = search(server, **body)
    assert answer.status_code == 400
    assert list(body)[-1] in answer.json()["error"]["message"]


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    open_indexing(tmp_path, embedder="no such embedder", progress=Progress())
