import contextlib
import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tonggan.data.fetch import RemoteFile, fetch, state_of
from tonggan.errors import CacheError, DataError
from tonggan.progress import Progress

CONTENT = bytes(range(256)) * 9000  # 2.3 MB, more than two chunks
FILE = RemoteFile("toy/data.bin", hashlib.sha256(CONTENT).hexdigest())


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder with ``Range``, and remembers what was asked for."""

    asked: list[str | None]

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        asked = self.headers.get("Range")
        self.server.asked.append(asked)  # type: ignore[attr-defined]
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str | None]]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(RangeHandler, directory=str(folder)))
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    (folder / "toy").mkdir(parents=True)
    (folder / FILE.path).write_bytes(CONTENT)
    return folder


def get(folder: Path, file: RemoteFile = FILE) -> Path:
    return fetch(file, folder=folder, source="https://example.org/toy", progress=Progress())


def test_a_mirror_folder_is_used_in_place(tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGGAN_MIRROR", str(mirror))
    assert get(tmp_path / "cache") == mirror / FILE.path
    assert not (tmp_path / "cache").exists()
    assert state_of(FILE, folder=tmp_path) == "ok"


def test_a_mirror_url_is_fetched_once(tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(mirror) as (url, asked):
        monkeypatch.setenv("TONGGAN_MIRROR", url)
        path = get(tmp_path / "cache")
        assert path.read_bytes() == CONTENT
        get(tmp_path / "cache")
    assert asked == [None]
    assert [item.name for item in path.parent.iterdir() if item.suffix != ".lock"] == ["data.bin"]


def test_an_interrupted_fetch_resumes(tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "cache" / "toy" / "data.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1_000_000])
    with serving(mirror) as (url, asked):
        monkeypatch.setenv("TONGGAN_MIRROR", url)
        assert get(tmp_path / "cache").read_bytes() == CONTENT
    assert asked == ["bytes=1000000-"]


def test_other_bytes_are_refused_and_not_kept(tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (mirror / FILE.path).write_bytes(CONTENT[:-1] + b"!")
    with serving(mirror) as (url, _):
        monkeypatch.setenv("TONGGAN_MIRROR", url)
        with pytest.raises(DataError, match="SHA-256"):
            get(tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("data.bin*[!k]"))
    monkeypatch.setenv("TONGGAN_MIRROR", str(mirror))
    assert state_of(FILE, folder=tmp_path) == "damaged"
    with pytest.raises(DataError, match="SHA-256"):
        get(tmp_path / "cache")


def test_errors_name_the_remedy(tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TONGGAN_MIRROR", raising=False)
    with pytest.raises(DataError, match="a folder or URL that holds toy/data"):
        get(tmp_path)
    with serving(mirror) as (url, _):
        monkeypatch.setenv("TONGGAN_MIRROR", url)
        with pytest.raises(DataError, match="HTTP 404"):
            get(tmp_path, RemoteFile("toy/none.bin", FILE.sha256))
    with pytest.raises(DataError, match="resumes"):
        get(tmp_path)  # the server is gone
    monkeypatch.setenv("TONGGAN_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no file toy/data"):
        get(tmp_path)
    monkeypatch.setenv("TONGGAN_MIRROR", "ftp://127.0.0.1")
    with pytest.raises(DataError, match="neither http nor https"):
        get(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with serving(mirror) as (url, _):
        monkeypatch.setenv("TONGGAN_MIRROR", url)
        with pytest.raises(CacheError, match="TONGGAN_CACHE"):
            get(tmp_path / "file")
