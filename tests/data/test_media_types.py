import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from tonggan.data.media_types import kind_of_bytes, kind_of_path


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_pictures_by_their_first_bytes(name):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, name)
    assert kind_of_bytes(buffer.getvalue()[:16]) == "image"


@pytest.mark.parametrize("name", ["WAV", "FLAC", "OGG", "AIFF", "AU", "MP3", "CAF", "W64"])
def test_recordings_by_their_first_bytes(name):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(4000), 8000, format=name)
    assert kind_of_bytes(buffer.getvalue()[:16]) == "audio"


def test_other_bytes():
    assert kind_of_bytes(b"\x00\x00\x00\x18ftypisom") == "video"
    assert kind_of_bytes(b"\x00\x00\x00\x18ftypavif") == "image"
    assert kind_of_bytes(b"\x00\x00\x00\x18ftypM4A ") == "audio"
    for content in (b"", b"%PDF-1.7", b"PK\x03\x04", "通感".encode(), b"P1ain text"):
        assert kind_of_bytes(content) is None


def test_paths():
    assert kind_of_path(" a/b.c/1.JPG ") == "image"
    assert kind_of_path("声音/1.wav") == "audio"
    assert kind_of_path("clip.mp4") == "video"
    for path in ("", "a.jpg/readme", "file.txt", "jpg"):
        assert kind_of_path(path) is None
