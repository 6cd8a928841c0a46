import json
import logging
import socket
import sys
import time

import pytest

from generation_scene import gguf_file, language_model
from serving_scene import endless_model, serving, until
from tonggan.errors import ConfigError, MissingExtraError
from tonggan.progress import Progress
from tonggan.serving.authentication import Keys
from tonggan.serving.config import ServerConfig
from tonggan.serving.server import bind, require_packages, serve
from tonggan.serving.services import open_services

HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = json.dumps({"prompt": "the cat", "max_tokens": 4000, "stream": True}).encode()


def connect(server, content):
    host, port = server.url.removeprefix("http://").split(":")
    opened = socket.create_connection((host, int(port)), timeout=60)
    opened.sendall(content)
    return opened


def answer(opened):
    """All that comes until the server closes; a timeout here means that it does not."""
    received = b""
    while part := opened.recv(65536):
        received += part
    return received


@pytest.mark.parametrize("half", [b"", b"POST /v1/comp", HEAD, HEAD + b"X-Long: aaaa"])
def test_headers_that_never_end(half):
    with serving(language_model(), read_timeout=0.3) as server, connect(server, half) as opened:
        assert answer(opened) == b""


@pytest.mark.parametrize(
    "half",
    [b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"Content-Length: 9\r\n\r\n"],
)
def test_a_body_that_never_ends(half):
    with serving(language_model(), read_timeout=0.3) as server, connect(server, HEAD + half) as opened:
        received = answer(opened)
    assert received.startswith(b"HTTP/1.1 408")
    assert b"and no more in time" in received


def drip(opened):
    for _ in range(900):
        opened.sendall(b" ")
        time.sleep(0.05)


def test_a_body_that_drips_has_the_time_of_a_request():
    head = HEAD + b"Content-Length: 1000\r\n\r\n"
    with serving(language_model(), timeout=0.6) as server, connect(server, head) as opened, pytest.raises(OSError):
        drip(opened)


def test_a_client_that_never_reads_is_given_up():
    """Its answer fills the buffers, and what writes it would wait for ever."""
    with serving(language_model(max_length=4096), read_timeout=0.3) as server:
        body = {"prompt": "the cat sat " * 30_000, "max_tokens": 0, "echo": True, "n": 64, "stream": True}
        body = json.dumps(body).encode()
        with connect(server, HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body):
            counted = 'tonggan_requests_total{route="/v1/completions",status="200"}'
            until(lambda: server.metrics().get(counted))
            assert server.metrics()[counted] == 1


def test_what_is_not_http_is_answered_in_the_same_shape():
    with serving(language_model()) as server, connect(server, b"nonsense\r\n\r\n") as opened:
        head, _, body = answer(opened).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_a_stop_waits_for_no_body(caplog):
    with serving(language_model(), timeout=300) as server:
        halves = [connect(server, HEAD + b"Content-Length: 100\r\n\r\n{") for _ in range(50)]
        until(lambda: server.metrics() is not None)
        with caplog.at_level(logging.WARNING):
            server.stop()
            server.thread.join(60)
        assert not server.thread.is_alive()
        assert all(answer(each).startswith(b"HTTP/1.1 503") for each in halves)
        for each in halves:
            each.close()
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


def test_a_stop_ends_what_was_begun_in_its_own_time(caplog):
    with serving(endless_model(seconds=0.005), timeout=300, stop_timeout=0.5) as server:
        opened = connect(server, HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        opened.recv(10)
        with caplog.at_level(logging.WARNING):
            server.stop()
            received = answer(opened)
            server.thread.join(60)
        assert not server.thread.is_alive()
        opened.close()
    assert b"no end within" in received
    assert not [record for record in caplog.records if record.exc_info]


class Lines(Progress):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_an_address_that_cannot_be_had():
    with bind("127.0.0.1", 0) as taken, pytest.raises(ConfigError, match="of this machine with a free port"):
        bind("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ConfigError, match=r"address 203\.0\.113\.1:80"):
        bind("203.0.113.1", 80)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[serve\]'"):
        require_packages()


@pytest.mark.parametrize(("host", "keys", "is_warned"), [("0.0.0.0", [], True), ("0.0.0.0", ["a"], False)])
def test_an_open_door_is_told(monkeypatch, host, keys, is_warned):
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)
    progress = Lines()
    with bind(host, 0) as listening:
        serve([], listening=listening, config=ServerConfig(), keys=Keys(keys), progress=progress)
    assert any("anyone who can reach this machine" in line for line in progress.lines) == is_warned
    assert "http://0.0.0.0:" in progress.lines[0]


def test_models_are_called_by_the_last_part_of_their_path(tmp_path):
    paths = [tmp_path / name / "tiny.gguf" for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        gguf_file(path.parent)
    (service,) = open_services([str(paths[0])], engine="torch", config=ServerConfig(), progress=Progress())
    service.close()
    assert (service.name, service.texts.model.max_length, service.rows) == ("tiny", 128, None)
    with pytest.raises(ConfigError, match="two that are called 'tiny'"):
        open_services([str(path) for path in paths], config=ServerConfig(), progress=Progress())
    with pytest.raises(ConfigError, match="no such file or folder"):
        open_services([str(tmp_path / "none")], config=ServerConfig(), progress=Progress())


def test_idle_connections_do_not_hold_up_a_stop():
    with serving(language_model()) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))):
            server.stop()
            server.thread.join(60)
            assert not server.thread.is_alive()
