"""Many texts to embed, beside texts to write."""

import threading

import httpx
import openai
import pytest
import torch

from generation_scene import language_model
from serving_scene import Running, running, until
from tonggan.codelm.editor.indexing import Indexing
from tonggan.codelm.editor.launch import open_indexing
from tonggan.codelm.search.code_index import CodeIndex
from tonggan.progress import Progress
from tonggan.serving.config import ServerConfig
from tonggan.serving.services import CodeService, Passage, Service, TextService

SOURCE = '''def parse_date(text):
    """Read a date with its time zone."""
    return text


def unrelated():
    return 1
'''


@pytest.fixture
def service():
    made = TextService(language_model(max_length=4096), config=ServerConfig())
    yield made
    made.close()


def test_few_tokens_go_through_the_model_at_a_time(service, monkeypatch):
    model, calls = service.model, []
    embed = model.embed
    monkeypatch.setattr(model, "embed", lambda texts: calls.append(list(texts)) or embed(texts))
    texts = ["the cat " * (1 + 40 * (number % 7)) for number in range(40)]
    passages = [Passage(text, model.prompt(text).length) for text in texts]
    vectors = service.embeddings.submit(passages).result(60)
    torch.testing.assert_close(torch.stack(vectors), embed(texts), rtol=1e-4, atol=1e-5)
    assert len(calls) > 1
    for call in calls:
        assert len(call) == 1 or len(call) * max(model.prompt(text).length for text in call) <= 2048


def test_a_text_that_nobody_waits_for_is_not_embedded(service, monkeypatch):
    calls = []
    embed = service.model.embed
    monkeypatch.setattr(service.model, "embed", lambda texts: calls.append(list(texts)) or embed(texts))
    passages = [Passage("the cat", 3), Passage("the dog", 3, cancelled=True)]
    assert len(service.embeddings.submit(passages).result(60)) == 2
    assert calls == [["the cat"]]


def test_a_request_has_its_time_even_where_the_model_is_busy_with_something_else():
    config, busy = ServerConfig(timeout=0.3), threading.Event()
    texts = TextService(language_model(), config=config)
    with running([Service("tiny", texts=texts)], config=config) as server:
        waits = []
        texts.writer.call(lambda: waits.append(busy.wait(60)))
        with pytest.raises(openai.APIStatusError) as caught:
            server.client().completions.create(model="tiny", prompt="the cat", max_tokens=2)
        assert not waits, "the answer came while the model was busy"
        busy.set()
        assert (caught.value.status_code, caught.value.code) == (504, "timeout")


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
    indexing = open_indexing(tmp_path, embedder="no such embedder", progress=Progress())
    assert indexing.current({}) is None
