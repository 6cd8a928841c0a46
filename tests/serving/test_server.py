import socket
import sys

import pytest

from generation_scene import engine, language_model, tokenizer
from serving_scene import serving
from tonggan.errors import ConfigError, MissingExtraError
from tonggan.language.gguf_export import export_gguf
from tonggan.progress import Progress
from tonggan.serving.authentication import Keys
from tonggan.serving.config import ServerConfig
from tonggan.serving.open import open_services
from tonggan.serving.server import bind, require_packages, serve


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
    assert any("everyone who reaches this machine" in line for line in progress.lines) == is_warned
    assert "http://0.0.0.0:" in progress.lines[0]


def test_models_are_called_by_the_last_part_of_their_path(tmp_path):
    paths = [tmp_path / name / "tiny.gguf" for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        export_gguf(engine().model, tokenizer(), path, name="tiny", kind="f32")
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
