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


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"avis", b"crx "])
def test_photographs_in_a_container_of_video_are_pictures(brand):
    assert kind_of_bytes(b"\x00\x00\x00\x18ftyp" + brand + bytes(100)) == "image"


@pytest.mark.parametrize(
    ("start", "sound", "pictures"),
    [
        (b"\x00\x00\x00\x18ftypisom", b"hdlr soun", b"hdlr vide"),
        (b"\x1a\x45\xdf\xa3 webm", b"A_OPUS", b"V_VP9"),
    ],
)
def test_a_container_with_sound_alone_is_a_recording(start, sound, pictures):
    assert kind_of_bytes(start + sound) == "audio"
    assert kind_of_bytes(start + pictures) == kind_of_bytes(start + sound + pictures) == kind_of_bytes(start) == "video"


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"8BPS", "image"), (bytes(128) + b"DICM", "image"), (b"<svg xmlns='x'/>", "image"), (b"#!AMR\n", "audio")],
)
def test_formats_that_are_not_read_are_of_their_kind(head, kind):
    assert kind_of_bytes(head) == kind


def test_paths():
    assert kind_of_path(" a/b.c/1.JPG ") == "image"
    assert kind_of_path("声音/1.wav") == "audio"
    assert kind_of_path("clip.mp4") == "video"
    assert kind_of_path("IMG_0001.HEIC") == kind_of_path("a.dng") == kind_of_path("scan.dcm") == "image"
    assert kind_of_path("voice.amr") == "audio"
    for path in ("", "a.jpg/readme", "file.txt", "jpg"):
        assert kind_of_path(path) is None
