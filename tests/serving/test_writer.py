import httpx
import openai
import pytest

from generation_scene import gguf_file
from serving_scene import running, until
from tonggan.language.llamacpp import LlamaCppModel
from tonggan.language.settings import GenerationConfig
from tonggan.serving.config import ServerConfig
from tonggan.serving.services import Service, TextService

pytest.importorskip("xllamacpp", reason="the extra 'llamacpp' is not installed")

HELLO = [{"role": "user", "content": "the cat sat"}]
LONG = {"model": "tiny", "messages": HELLO, "max_tokens": 4000, "extra_body": {"regex": "a{3900}"}}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = gguf_file(tmp_path_factory.mktemp("llamacpp"), max_length=4096)
    return LlamaCppModel(path, num_parallel=2, num_threads=1)


@pytest.fixture(scope="module")
def server(model):
    config = ServerConfig(slots=2, queue=1, timeout=300)
    with running([Service("tiny", texts=TextService(model, config=config))], config=config) as started:
        yield started


def test_whole_and_streamed(server, model):
    client = server.client()
    options = {"model": "tiny", "messages": HELLO, "temperature": 0, "max_tokens": 12}
    answer = client.chat.completions.create(**options)
    chunks = list(client.chat.completions.create(**options, stream=True))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert answer.choices[0].message.content == text
    completion = client.completions.create(model="tiny", prompt="the cat sat", temperature=0, max_tokens=12)
    (expected,) = model.generate([model.prompt("the cat sat")], GenerationConfig(max_tokens=12))
    assert completion.choices[0].text == expected.text
    assert 0 < answer.usage.completion_tokens <= 12


def test_what_it_cannot_do_is_refused(server):
    client = server.client()
    with pytest.raises(openai.BadRequestError, match="the llamacpp engine keeps its tokens to itself"):
        client.chat.completions.create(model="tiny", messages=HELLO, logprobs=True)
    with pytest.raises(openai.BadRequestError, match="the llamacpp engine keeps its tokens to itself"):
        client.completions.create(model="tiny", prompt=[1, 2])
    filled = client.completions.create(model="tiny", prompt="the cat", suffix="b", temperature=0, max_tokens=8)
    assert "\n" not in filled.choices[0].text
    with pytest.raises(openai.BadRequestError, match="at most 4095 of the 4096"):
        client.completions.create(model="tiny", prompt="the cat " * 4000, stream=True)


def test_cancel_frees_the_slot_and_the_queue_is_bounded(server):
    client = server.client()
    streams = [client.chat.completions.create(**LONG, stream=True) for _ in range(2)]
    for stream in streams:
        next(iter(stream))
    assert server.metrics()['tonggan_texts_active{model="tiny"}'] == 2
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**LONG, n=2)
    for stream in streams:
        stream.close()
    # Within much less than the texts take (6 s and more), and much more than the cancelling (0.03 s).
    until(lambda: server.metrics()['tonggan_texts_active{model="tiny"}'] == 0, seconds=3)
    assert httpx.get(f"{server.url}/health", timeout=60).status_code == 200


def test_a_request_has_its_time(model):
    config = ServerConfig(slots=1, timeout=0.3)
    with running([Service("tiny", texts=TextService(model, config=config))], config=config) as server:
        with pytest.raises(openai.APIStatusError) as caught:
            server.client().chat.completions.create(**LONG)
        assert caught.value.status_code == 504
