import json
import threading
from pathlib import Path

import httpx
import openai
import pytest
import torch

from doc_examples import blocks_of
from generation_scene import language_model
from serving_scene import data_url, endless_model, picture, recording, running, serving, until
from tonggan.language.chat import AudioPart, ImagePart, Message, TextPart
from tonggan.language.prompt import Prompt
from tonggan.language.settings import GenerationConfig
from tonggan.serving.config import ServerConfig
from tonggan.serving.services import Service, TextService

JSON = {"content-type": "application/json"}
HELLO = [{"role": "user", "content": "the cat sat"}]


@pytest.fixture(scope="module")
def server():
    with serving(language_model(max_length=256)) as running:
        yield running


@pytest.fixture
def chat(server):
    return lambda **options: server.client().chat.completions.create(
        **{"model": "tiny", "messages": HELLO, "temperature": 0, "max_tokens": 20, **options}
    )


def expected(max_tokens=20, **settings):
    model = language_model(max_length=256)
    prompt = model.prompt([Message("user", "the cat sat")])
    return model.generate([prompt], GenerationConfig(max_tokens=max_tokens, **settings))[0], prompt.length


def test_whole(chat):
    answer = chat()
    generation, prompt_tokens = expected()
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", generation.text)
    assert choice.finish_reason == generation.finish
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    tokens = answer.usage
    assert (tokens.prompt_tokens, tokens.completion_tokens) == (prompt_tokens, len(generation.token_ids))
    assert tokens.total_tokens == tokens.prompt_tokens + tokens.completion_tokens


def test_stream(chat):
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    generation, prompt_tokens = expected()
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == generation.text
    finishes = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    assert finishes == [None] * (len(finishes) - 1) + [generation.finish]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == prompt_tokens + len(generation.token_ids)
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_stream_ends_with_done(server):
    body = {"model": "tiny", "messages": HELLO, "stream": True, "max_tokens": 3}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("\n\ndata: [DONE]\n\n")


def test_several_choices_differ_by_their_seed(chat):
    answer = chat(n=3, seed=5, temperature=1.0)
    texts = [choice.message.content for choice in answer.choices]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert texts == [expected(temperature=1.0, seed=5 + number)[0].text for number in range(3)]
    streamed = ["", "", ""]
    for chunk in chat(n=3, seed=5, temperature=1.0, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts


def test_without_a_seed_answers_differ(chat):
    assert len({chat(temperature=1.5).choices[0].message.content for _ in range(3)}) > 1


def test_stop_cuts_the_answer(chat):
    text = chat().choices[0].message.content
    stop = text[5:8]
    answer = chat(stop=[stop, "never met"])
    assert answer.choices[0].message.content == text[: text.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    assert chat(stop="never met").choices[0].message.content == text


def test_log_probabilities(chat):
    answer = chat(logprobs=True, top_logprobs=2)
    generation, _ = expected(logprobs=2)
    content = answer.choices[0].logprobs.content
    assert [each.logprob for each in content] == pytest.approx([each.logprob for each in generation.logprobs], abs=1e-4)
    assert b"".join(bytes(each.bytes) for each in content).decode(errors="replace") == generation.text
    assert all(len(each.top_logprobs) == 2 and each.top_logprobs[0].logprob == each.logprob for each in content)
    streamed = [
        each
        for chunk in chat(logprobs=True, stream=True)
        for choice in chunk.choices
        if choice.logprobs
        for each in choice.logprobs.content
    ]
    assert [each.token for each in streamed] == [each.token for each in content]


def test_answers_obey_a_schema(chat):
    schema = {
        "type": "object",
        "properties": {"name": {"enum": ["a", "b"]}},
        "required": ["name"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True}}
    answer = chat(response_format=wanted, max_tokens=60, temperature=1.0, seed=1)
    assert json.loads(answer.choices[0].message.content)["name"] in ("a", "b")
    assert answer.choices[0].finish_reason == "stop"
    anything = chat(response_format={"type": "json_object"}, max_tokens=8)
    assert anything.choices[0].message.content.lstrip().startswith("{")
    match = chat(extra_body={"regex": "[0-9]{3}"})
    assert match.choices[0].message.content.isdigit()
    with pytest.raises(openai.BadRequestError, match="regex"):
        chat(extra_body={"regex": "(("})


def test_chinese_is_never_cut_within_a_character(chat):
    # Of three bytes a character, each a token of its own: U+4E00 to U+9FFF.
    answer = [
        choice.delta.content
        for chunk in chat(stream=True, extra_body={"regex": "[\u4e00-\u9fff]{9}"}, temperature=1, seed=3, max_tokens=60)
        for choice in chunk.choices
        if choice.delta.content
    ]
    assert len("".join(answer)) == 9
    assert all("\u4e00" <= char <= "\u9fff" for piece in answer for char in piece)
    assert len(answer) > 4


def test_parts_of_text_and_roles(chat):
    parts = [{"type": "text", "text": "the cat "}, {"type": "text", "text": "sat"}]
    same = chat(messages=[{"role": "user", "content": parts}])
    assert same.choices[0].message.content == chat().choices[0].message.content
    one, other = (chat(messages=[{"role": role, "content": "the dog"}, *HELLO]) for role in ("system", "developer"))
    assert one.choices[0].message.content == other.choices[0].message.content
    with pytest.raises(openai.BadRequestError, match="got role 'wizard', expected one of system, user"):
        chat(messages=[{"role": "wizard", "content": "a"}])


def image(url):
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, "detail": "low"}}]}]


def sound(data):
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return [{"role": "user", "content": [part]}]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (image("https://example.com/cat.png"), "fetches no address and opens no path"),
        (image("file:///etc/passwd"), "fetches no address and opens no path"),
        (image("/etc/passwd"), "fetches no address and opens no path"),
        (image("data:image/png;base64,@@@"), "expected base64, all of it"),
        (image("data:image/png;base64,"), "no content"),
        (image("data:image/png"), "expected a data URL"),
        (image("data:text/plain,hello"), "holds the content in base64"),
        (image("data:text/plain;base64,aGVsbG8="), "bytes that begin with"),
        (image(data_url(recording())), "got audio bytes, expected image bytes"),
        (image(data_url(picture())), "ImagePart"),
        (sound("AAAA"), "bytes that begin with"),
        (sound(data_url(recording()).partition(",")[2]), "AudioPart"),
    ],
)
def test_media_that_cannot_be_read(chat, messages, message):
    with pytest.raises(openai.BadRequestError, match=message):
        chat(messages=messages)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"messages": []}, "messages"),
        ({"temperature": 3}, "temperature"),
        ({"n": 0}, "n"),
        ({"stop": ""}, "stop"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_logprobs": 3}, ""),
        ({"presence_penalty": 0.5}, ""),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, ""),
        ({"extra_body": {"temprature": 0}}, "temprature"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
    ],
)
def test_wrong_parameters_are_named(chat, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(**options)
    assert caught.value.type == "invalid_request_error"
    assert (caught.value.param or "").startswith(param)
    assert next(iter(options)).removeprefix("extra_") in str(caught.value) or param in str(caught.value)


def test_harmless_parameters_are_ignored(chat):
    plain = chat(seed=1)
    same = chat(
        seed=1, user="me", presence_penalty=0, logit_bias={}, tools=[], parallel_tool_calls=False, metadata={"a": "b"}
    )
    assert same.choices[0].message.content == plain.choices[0].message.content


def test_an_unknown_model_and_an_unknown_path(server, chat):
    with pytest.raises(openai.NotFoundError, match="got 'huge', expected one of tiny") as caught:
        chat(model="huge")
    assert caught.value.code == "model_not_found"
    answer = httpx.get(f"{server.url}/v2/none", timeout=60)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
    assert httpx.get(f"{server.url}/v1/chat/completions", timeout=60).status_code == 405
    broken = httpx.post(
        f"{server.url}/v1/chat/completions", content=b"{", headers={"content-type": "application/json"}, timeout=60
    )
    assert broken.status_code == 400
    assert "JSON" in broken.json()["error"]["message"]


def test_a_prompt_longer_than_the_context(chat):
    with pytest.raises(openai.BadRequestError, match="at most 255 of the 256") as caught:
        chat(messages=[{"role": "user", "content": "the cat " * 200}], stream=True)
    assert caught.value.code == "context_length_exceeded"


def test_many_clients_at_once_get_what_one_gets(server):
    texts, alone = {}, expected()[0].text

    def ask(number):
        client = server.client()
        answer = client.chat.completions.create(model="tiny", messages=HELLO, temperature=0, max_tokens=20)
        texts[number] = answer.choices[0].message.content

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(texts.values()) == {alone}
    assert len(texts) == 12


@pytest.mark.parametrize(
    "half", [{"model": "\ud83d"}, {"regex": "\ud83d"}, {"messages": [{"role": "\ud83d", "content": "a"}]}]
)
def test_an_unpaired_surrogate_is_refused(server, half):
    body = {"model": "tiny", "messages": HELLO, **half}
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=json.dumps(body), headers=JSON, timeout=60)
    assert answer.status_code == 400
    assert "an unpaired surrogate" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_slot(stream):
    body = {"model": "tiny", "messages": HELLO, "max_tokens": 3900, "stream": stream, "n": 2}
    with serving(endless_model(seconds=0.1), slots=2, timeout=300) as server:  # it would write for six minutes
        with httpx.Client(timeout=60) as client:
            request = client.build_request("POST", f"{server.url}/v1/chat/completions", json=body)
            if stream:
                answer = client.send(request, stream=True)
                assert next(answer.iter_lines()).startswith("data: ")
                answer.close()
            else:
                request.extensions["timeout"]["read"] = 0.2
                with pytest.raises(httpx.ReadTimeout):
                    client.send(request)
        until(lambda: server.metrics()['tonggan_texts_active{model="tiny"}'] == 0)
        short = server.client().chat.completions.create(model="tiny", messages=HELLO, max_tokens=2)
        assert short.usage.completion_tokens == 2


def test_what_does_not_fit_the_queue_is_told_to_come_back():
    with serving(endless_model(seconds=0.002), slots=1, queue=1) as server:
        client = server.client()
        streams = [client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=3900, stream=True)]
        waiting = threading.Thread(
            target=lambda: client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=2)
        )
        waiting.start()
        until(lambda: server.metrics()['tonggan_texts_waiting{model="tiny"}'] == 1)
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="tiny", messages=HELLO)
        assert caught.value.response.headers["retry-after"] == "1"
        assert caught.value.code == "queue_full"
        streams[0].close()
        waiting.join()


def test_a_request_has_its_time():
    with serving(endless_model(seconds=0.002), timeout=0.3) as server:
        client = server.client()
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=3900)
        assert (caught.value.status_code, caught.value.code) == (504, "timeout")
        received = []
        with pytest.raises(openai.APIError, match=r"no end within 0\.3 s"):
            received.extend(client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=3900, stream=True))
        assert 0 < len(received) < 1000


def test_a_stop_finishes_what_was_begun():
    with serving(endless_model(seconds=0.005), slots=1) as server:
        client = server.client()
        first = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=40, stream=True)
        counts = {}

        def wait():
            answer = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=10)
            counts["waiting"] = answer.usage.completion_tokens

        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: server.metrics()['tonggan_texts_waiting{model="tiny"}'] == 1)
        server.stop()
        finishes = [choice.finish_reason for chunk in first for choice in chunk.choices]
        waiting.join()
        server.thread.join(60)
        assert not server.thread.is_alive()
    assert finishes[-1] == "length"
    assert counts == {"waiting": 10}


def test_pictures_and_recordings_are_part_of_a_conversation():
    """A run that reads them turns each into embeddings; here, the brightness of a picture's bytes."""
    model = language_model()

    def conversation(messages):
        (message,) = messages
        parts = [
            torch.tensor(model.tokenizer.encode(part.text))
            if isinstance(part, TextPart)
            else torch.full((2, model.engine.dim), len(part.content) / 1000)
            for part in message.parts
        ]
        return Prompt(tuple(parts))

    config = ServerConfig(timeout=60)
    content = [{"type": "text", "text": "a cat "}, *image(data_url(picture()))[0]["content"]]
    content += sound(data_url(recording()).partition(",")[2])[0]["content"]
    service = TextService(model, config=config, conversation=conversation)
    with running([Service("tiny", texts=service)], config=config) as server:
        answer = server.client().chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": content}], temperature=0, max_tokens=9
        )
    parts = (TextPart("a cat "), ImagePart(picture()), AudioPart(recording()))
    (wanted,) = model.generate([conversation([Message("user", parts)])], GenerationConfig(max_tokens=9))
    assert answer.choices[0].message.content == wanted.text


def test_the_page_on_serving_works_as_it_stands(capsys):
    page = Path(__file__).parents[2] / "docs" / "serve.md"
    (block,) = (each for each in blocks_of(page) if each.note == "file: chat.py")
    config = ServerConfig(timeout=60)
    with running(
        [Service("smollm2", texts=TextService(language_model(max_length=256), config=config))], config=config
    ) as server:
        exec(compile(block.text.replace("http://127.0.0.1:8000", server.url), str(page), "exec"), {})
    assert capsys.readouterr().out
