"""Many texts to embed, beside texts to write."""

import threading

import openai
import pytest
import torch

from generation_scene import language_model
from serving_scene import running
from tonggan.serving.config import ServerConfig
from tonggan.serving.services import Passage, Service, TextService


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
