import http.client
import io
import urllib.parse

import httpx
import openai
import pytest

from generation_scene import language_model
from serving_scene import serving
from tonggan.errors import ConfigError
from tonggan.serving.authentication import Keys

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def server():
    with serving(language_model(), keys=["first-key", "second-key"], max_bytes=2000) as running:
        yield running


@pytest.mark.parametrize("key", ["first-key", "second-key"])
def test_a_known_key_opens(server, key):
    assert [model.id for model in server.client(api_key=key).models.list()] == ["tiny"]


@pytest.mark.parametrize("key", ["third-key", "first-ke", "first-keys", "clé"])
def test_another_does_not(server, key):
    if key.isascii():
        with pytest.raises(openai.AuthenticationError) as caught:
            server.client(api_key=key).models.list()
        assert caught.value.code == "invalid_api_key"
    answer = httpx.get(f"{server.url}/v1/models", headers={"Authorization": f"Bearer {key}".encode()}, timeout=60)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_only_health_needs_no_key(server):
    assert httpx.get(f"{server.url}/health", timeout=60).json() == {"status": "ok"}
    for path in ("/v1/models", "/metrics", "/openapi.json", "/none"):
        assert httpx.get(server.url + path, timeout=60).status_code == 401
    assert httpx.get(f"{server.url}/v1/models", headers={"Authorization": "first-key"}, timeout=60).status_code == 401
    second = {"Authorization": "bearer second-key"}
    assert httpx.get(f"{server.url}/metrics", headers=second, timeout=60).status_code == 200


def connection(server):
    opened = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=60)
    opened.putrequest("POST", "/v1/chat/completions")
    opened.putheader("Authorization", "Bearer first-key")
    opened.putheader("Content-Type", "application/json")
    return opened


def test_a_large_body_is_refused_by_its_length_alone(server):
    opened = connection(server)
    opened.putheader("Content-Length", str(10**12))
    opened.endheaders()
    answer = opened.getresponse()
    assert (answer.status, b"at most 2,000 bytes" in answer.read()) == (413, True)


def test_reading_stops_where_a_body_of_no_stated_length_grows_too_large(server):
    opened = connection(server)
    opened.putheader("Transfer-Encoding", "chunked")
    opened.endheaders()
    for _ in range(3):
        opened.send(b"400\r\n" + b" " * 1024 + b"\r\n")  # and no end
    answer = opened.getresponse()
    assert (answer.status, b'"code": "too_large"' in answer.read()) == (413, True)


def test_a_chunked_body_within_the_limit_is_read(server):
    def chunks():
        yield b'{"model": "tiny", "max_tokens": 2, '
        yield b'"messages": [{"role": "user", "content": "hello"}]}'

    headers = {"Authorization": "Bearer first-key", "Content-Type": "application/json"}
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=chunks(), headers=headers, timeout=60)
    assert answer.status_code == 200


def test_a_name_that_leads_here_is_not_enough(server):
    for host in (
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost:evil.com",
        "localhost:80@evil",
        "[::1]evil",
        "localhost.",
        "localhost:",
        "",
    ):
        answer = httpx.get(f"{server.url}/health", headers={"Host": host}, timeout=60)
        assert (answer.status_code, answer.json()["error"]["code"]) == (421, "wrong_host")
    for host in ("localhost", "LOCALHOST:1", "[::1]:80", "127.0.0.1"):
        assert httpx.get(f"{server.url}/health", headers={"Host": host}, timeout=60).status_code == 200


def test_web_pages_of_others_may_not_read(server):
    headers = {"Origin": "https://evil.example", "Authorization": "Bearer first-key"}
    answer = httpx.get(f"{server.url}/v1/models", headers=headers, timeout=60)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_metrics_count_what_was_done(server):
    client = server.client(api_key="first-key")
    usage = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=4).usage
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="none", messages=HELLO)
    text = httpx.get(f"{server.url}/metrics", headers={"Authorization": "Bearer first-key"}, timeout=60).text
    values = dict(line.rsplit(" ", 1) for line in io.StringIO(text).read().splitlines() if not line.startswith("#"))
    assert float(values['tonggan_requests_total{route="/v1/chat/completions",status="404"}']) == 1
    assert float(values['tonggan_requests_total{route="/v1/chat/completions",status="200"}']) >= 1
    assert float(values['tonggan_tokens_total{kind="completion",model="tiny"}']) >= usage.completion_tokens
    assert 'tonggan_request_seconds_count{route="other"}' in values  # refused at the door, without a route
    assert values['tonggan_texts_active{model="tiny"}'] == "0.0"


def test_key_files(tmp_path):
    path = tmp_path / "keys.txt"
    path.write_text("# of the team\n\n one \ntwo\n")
    keys = Keys.from_file(path)
    assert [keys.allow(f"Bearer {key}".encode()) for key in ("one", "two", "# of the team", "")] == [
        True,
        True,
        False,
        False,
    ]
    path.write_bytes("\ufeffone\r\ntwo\r\n".encode())
    assert Keys.from_file(path).allow(b"Bearer one")
    path.write_text("# none\n")
    with pytest.raises(ConfigError, match="got no key, expected one key a line"):
        Keys.from_file(path)
    with pytest.raises(ConfigError, match="No such file"):
        Keys.from_file(tmp_path / "none")
    assert Keys().allow(b"")


def test_head_is_answered_as_get_without_the_body(server):
    for path in ("/health", "/docs"):
        asked, whole = (httpx.request(method, f"{server.url}{path}", timeout=60) for method in ("HEAD", "GET"))
        assert (asked.status_code, asked.content) == (200, b"")
        assert asked.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
    assert httpx.head(f"{server.url}/v1/models", timeout=60).status_code == 401
