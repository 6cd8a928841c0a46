"""What a body may hold, and what is said where it holds something else. No word of pydantic's reaches a client."""

import json
import re
import subprocess
import sys
import threading
import time

import httpx
import pytest

from generation_scene import language_model
from serving_scene import serving
from tonggan.serving.bodies import parse_body
from tonggan.serving.config import MAX_DEPTH, MAX_GRAMMAR, MAX_MESSAGES, MAX_STOPS, MAX_VALUES, ServerConfig
from tonggan.serving.failures import RefusedError
from tonggan.serving.requests import ChatRequest, CompletionRequest, InfillRequest, PredictRequest

CONFIG = ServerConfig()
HELLO = [{"role": "user", "content": "the cat sat"}]
LARGE = {
    "a prompt of 20 MB": (CompletionRequest, {"prompt": "hello world " * 1_700_000}),
    "8 million ids": (CompletionRequest, {"prompt": [1] * 8_000_000}),
    "empty lists": (CompletionRequest, {"prompt": [[]] * 8_000_000}),
    "prompts": (CompletionRequest, {"prompt": ["a"] * 129}),
    "infill of 20 MB": (InfillRequest, {"input_prefix": "x = 1\n" * 3_000_000}),
    "extras": (InfillRequest, {"input_extra": [{"text": "a"}] * 100_000}),
    "stops of llama.cpp": (InfillRequest, {"stop": ["a"] * 1_000_000}),
    "stops": (ChatRequest, {"messages": HELLO, "stop": ["a"] * (MAX_STOPS + 1)}),
    "a long stop": (ChatRequest, {"messages": HELLO, "stop": "a" * 1001}),
    "messages": (ChatRequest, {"messages": HELLO * (MAX_MESSAGES + 1)}),
    "200,000 messages": (ChatRequest, {"messages": HELLO * 200_000}),
    "parts": (ChatRequest, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 300}]}),
    "a long regex": (ChatRequest, {"messages": HELLO, "regex": "a" * (MAX_GRAMMAR + 1)}),
    "columns": (PredictRequest, {"rows": [{f"c{number}": 1 for number in range(MAX_VALUES)}]}),
    "names of columns": (PredictRequest, {"rows": [{"c" * 600_000: 1}]}),
    "a long cell": (PredictRequest, {"rows": [{"a": "b" * 600_000}]}),
    "tools": (ChatRequest, {"messages": HELLO, "tools": [{"type": "function"}] * 20_000}),
    "logit_bias": (ChatRequest, {"messages": HELLO, "logit_bias": {str(id_): 1 for id_ in range(20_000)}}),
    "an unknown name": (ChatRequest, {"messages": HELLO, "x" * 600_000: 1}),
    "a large schema": (
        ChatRequest,
        {
            "messages": HELLO,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {"enum": [f"v{number}" for number in range(10_000)]}},
            },
        },
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_too_much_is_refused_before_any_work(name):
    kind, body = LARGE[name]
    with pytest.raises(RefusedError) as caught:
        parse_body(json.dumps(body).encode(), kind, CONFIG)
    assert caught.value.status in (400, 413)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "got no JSON"),
        (b"{bad", "got no JSON: Expecting property name"),
        (b'{"messages": [' + b"[" * 100_000, "deeply nested lists"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "deeply nested lists"),
        (b'{"messages": ' + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + b"}", "deeply nested lists"),
        (b'{"seed": ' + b"1" * 5000 + b"}", "got no JSON: Exceeds the limit"),
        (b'{"temperature": NaN}', "got NaN, expected finite numbers"),
        (b'{"temperature": 1e999}', "expected finite numbers"),
        (b"[]", "got a list of 0, expected a JSON object"),
        (b'"\xff"', "got no JSON: 'utf-8' codec"),
    ],
)
def test_json_that_cannot_be_read(raw, message):
    with pytest.raises(RefusedError, match=re.escape(message)):
        parse_body(raw, ChatRequest, CONFIG)


PYDANTIC = re.compile(
    r"Input should|Field required|Extra inputs|valid (string|integer|list|dict)|pydantic|type=|Value error"
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "messages: got nothing, expected a value"),
        ({"messages": "hello"}, 'messages: got "hello", expected a list'),
        ({"messages": []}, "messages: got a list of 0, expected at least 1 of them"),
        ({"messages": [1]}, "messages[0]: got 1, expected an object"),
        ({"messages": [{"content": "a"}]}, "messages[0].role: got nothing"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content: got 5, expected a text or a list"),
        ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "messages[0].content[0]: got an object"),
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages[0].content[0].type: got nothing"),
        ({"messages": [{"role": "user", "contend": "a"}]}, "messages[0].contend: got a parameter of this name"),
        ({"messages": HELLO, "temprature": 1}, "expected 'temperature'"),
        ({"messages": HELLO, "temperature": "hot"}, 'temperature: got "hot", expected a number'),
        ({"messages": HELLO, "temperature": 3}, "temperature: got 3, expected at most 2"),
        ({"messages": HELLO, "top_p": 0}, "top_p: got 0, expected more than 0"),
        ({"messages": HELLO, "n": 1.5}, "n: got 1.5, expected a whole number"),
        ({"messages": HELLO, "top_k": 10**300}, "expected at most 2147483647"),
        ({"messages": HELLO, "stream": "maybe"}, 'stream: got "maybe", expected true or false'),
        ({"messages": HELLO, "logit_bias": {"5": 1}}, "logit_bias: got an object of 1, expected none"),
        ({"messages": HELLO, "response_format": {"type": "xml"}}, "one of 'text', 'json_object', 'json_schema'"),
        ({"messages": HELLO, "top_logprobs": 2}, "top_logprobs needs logprobs"),
        ({"messages": HELLO, "temperature": 3, "n": 0}, "(1 more of the body is wrong)"),
    ],
)
def test_faults_are_named_in_words_of_our_own(body, message):
    with pytest.raises(RefusedError) as caught:
        parse_body(json.dumps(body).encode(), ChatRequest, CONFIG)
    assert message in str(caught.value)
    assert not PYDANTIC.search(str(caught.value))


@pytest.fixture(scope="module")
def server():
    with serving(language_model(max_length=256)) as running:
        yield running


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [*HELLO, {"role": "assistant", "content": None, "refusal": None}, *HELLO]},
        {"messages": [*HELLO, {"role": "assistant"}, *HELLO]},
        {"messages": [{"role": "user", "name": "bob", "content": "hi"}]},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "a"}]}, *HELLO]},
        {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "x"}}]}]},
        {"max_tokens": -1, "stop": ["the"]},
        {"max_completion_tokens": 2, "max_tokens": None},
        {"stream_options": {"include_usage": True, "include_obfuscation": False}},
        {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto", "parallel_tool_calls": True},
        {"tools": [], "tool_choice": "auto", "functions": [], "logit_bias": None, "n": None, "stop": None},
        {"presence_penalty": 0.0, "frequency_penalty": 0, "seed": -1, "top_k": -1, "repeat_penalty": 1.1},
        {"cache_prompt": True, "timings_per_token": False, "min_p": 0.05, "typical_p": 1.0, "mirostat": 0},
        {"response_format": {"type": "text"}, "logprobs": False, "top_logprobs": None, "reasoning_effort": None},
        {"model": ""},
        {"model": None},
    ],
)
def test_what_clients_send_is_taken(server, more):
    body = {"model": "tiny", "messages": HELLO, "max_tokens": 2, **more}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "tiny"


def test_a_body_of_another_kind(server):
    body = json.dumps({"messages": HELLO}).encode()
    for headers in ({}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
        answer = httpx.post(f"{server.url}/v1/chat/completions", content=body, headers=headers, timeout=60)
        assert (answer.status_code, "Content-Type" in answer.json()["error"]["message"]) == (415, True)
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=body, headers=packed, timeout=60)
    assert (answer.status_code, "'gzip'" in answer.text) == (415, True)


def test_token_ids_of_another_vocabulary_are_not_embedded(server):
    for ids in ([[15339, 1917]], [1, 2]):
        answer = httpx.post(f"{server.url}/v1/embeddings", json={"model": "tiny", "input": ids}, timeout=60)
        assert (answer.status_code, "expected texts" in answer.json()["error"]["message"]) == (400, True)


def test_an_answer_holds_a_bounded_number_of_log_probabilities():
    with serving(language_model(max_length=4096)) as server:
        body = {"messages": HELLO, "n": 64, "logprobs": True, "top_logprobs": 20}
        answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
        assert (answer.status_code, "log-probabilities" in answer.text) == (400, True)


def test_health_answers_beside_the_largest_requests():
    """In a process of its own: a test in the same one would wait for the lock that it is about."""
    code = (
        "import time\nfrom generation_scene import language_model\nfrom serving_scene import serving\n"
        "with serving(language_model(max_length=256)) as server:\n    print(server.url, flush=True)\n    input()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="tests"
    )
    try:
        url = process.stdout.readline().strip()
        bodies = [{"prompt": "字" * 499_000}, {"prompt": ["a,b"] * 128}, {"prompt": [1] * 99_000}]
        bodies += [{"prompt": "a", "stop": ["b" * 1000] * MAX_STOPS}, {"prompt": "a,[{" * 7_000_000}]
        waits, answers, stop = [], [], threading.Event()

        def watch():
            with httpx.Client(timeout=60) as client:
                while not stop.is_set():
                    start = time.monotonic()
                    assert client.get(f"{url}/health").status_code == 200
                    waits.append(time.monotonic() - start)
                    time.sleep(0.01)

        watching = threading.Thread(target=watch)
        watching.start()
        for body in bodies:
            start = time.monotonic()
            answer = httpx.post(f"{url}/v1/completions", json={**body, "max_tokens": 1}, timeout=60)
            answers.append(time.monotonic() - start)
            assert answer.status_code in (200, 400, 413, 429), answer.text
        stop.set()
        watching.join()
        # It once waited as long as the request beside it; where requests are quick, one wait says nothing.
        assert max(waits) < max(10, max(answers) / 2)
    finally:
        process.communicate("\n", timeout=60)
