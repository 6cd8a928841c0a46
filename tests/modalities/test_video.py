"""Clips: frames by the time at which they are shown, every kind of damage as an error, variation by a seed."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from clips_scene import BLUE, COLORS, GREEN, RED, plain, write_clip
from contracts import check_config, check_modality
from tonggan.errors import MissingExtraError, UnreadableError
from tonggan.modalities import clip_frames
from tonggan.modalities.image import ImageConfig
from tonggan.modalities.video import VideoAugment, VideoConfig


def decode(path: Path, **settings: object) -> np.ndarray:
    return VideoConfig(**{"size": 16, "frames": 3, "draws": 1, **settings}).build().decode(path)


def colors(frames: np.ndarray) -> list[int]:
    """The channel that each frame has most of."""
    return frames.mean(axis=(2, 3)).argmax(axis=1).tolist()


def error_of(path: Path, content: bytes | None = None) -> UnreadableError:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableError) as caught:
        decode(path)
    with pytest.raises(UnreadableError, match=r"expected .+\. .+\."):
        VideoConfig(size=16).build().decode(path.read_bytes())
    return caught.value


def test_contract(tmp_path: Path) -> None:
    check_config(VideoConfig())
    video = VideoConfig(size=16, frames=2, draws=2, augment=VideoAugment(brightness=0.5, contrast=0.5)).build()
    clips = [write_clip(tmp_path / f"{row}.mp4", [plain(color)] * 10) for row, color in enumerate(COLORS)]
    check_modality(video, "clip", {"clip": [*(video.decode(clip) for clip in clips), None]})


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"),
    [
        (".mp4", "libx264", "yuv420p"),
        (".mov", "mpeg4", "yuv420p"),
        (".mkv", "libx264", "yuv444p"),
        (".webm", "libvpx-vp9", "yuv420p"),
        (".avi", "mjpeg", "yuvj420p"),
        (".gif", "gif", "rgb8"),
    ],
)
def test_formats_from_a_path_and_from_bytes(tmp_path: Path, suffix: str, codec: str, pixels: str) -> None:
    pictures = [plain(color) for color in COLORS for _ in range(10)]
    path = write_clip(tmp_path / f"clip{suffix}", pictures, codec=codec, pixels=pixels)
    frames = decode(path)
    assert (frames.dtype, frames.shape) == (np.uint8, (3, 3, 16, 16))
    assert colors(frames) == [0, 1, 2]
    assert abs(frames[0, 0].mean() - 200) < 12
    assert np.array_equal(VideoConfig(size=16, frames=3, draws=1).build().decode(path.read_bytes()), frames)


def test_frames_are_those_that_pyav_shows_at_these_times(tmp_path: Path) -> None:
    pictures = [plain((8 * number, 255 - 8 * number, 0)) for number in range(30)]
    path = write_clip(tmp_path / "clip.mp4", pictures, options={"g": "7"})
    frames = decode(path, frames=5, draws=3, size=48)
    with av.open(str(path)) as file:
        shown = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    for number, frame in enumerate(frames):
        moment = (number + 0.5) / 15 * 3.0
        expected = next(pixels for time, pixels in reversed(shown) if time <= moment + 1e-6)
        assert abs(frame.mean(axis=(1, 2)) - expected.mean(axis=(0, 1))).max() < 1.5


def test_variable_frame_rate_is_by_time_and_not_by_index(tmp_path: Path) -> None:
    # Red for 4.9 of 6 seconds though it has one frame of eleven.
    pictures = [plain(RED), *[plain(GREEN)] * 9, plain(BLUE)]
    times = [0.0, *(4.9 + 0.01 * number for number in range(9)), 5.0, 6.0]
    path = write_clip(tmp_path / "clip.mkv", [*pictures, plain(BLUE)], times=times)
    assert colors(decode(path, frames=6)) == [0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_is_applied(tmp_path: Path, degrees: int) -> None:
    picture = plain((0, 0, 0))
    picture[:24, :32] = RED  # top left
    path = write_clip(tmp_path / "clip.mp4", [picture] * 5, rotation=degrees)
    (frame, *_) = decode(path, size=32)
    quarters = {(row, column): frame[0, 16 * row + 4, 16 * column + 4] for row in (0, 1) for column in (0, 1)}
    assert max(quarters, key=quarters.__getitem__) == {90: (1, 0), 180: (1, 1), -90: (0, 1)}[degrees]


def test_resize(tmp_path: Path) -> None:
    picture = plain((0, 0, 0), width=96, height=48)
    picture[:, 24:72] = GREEN
    path = write_clip(tmp_path / "clip.mp4", [picture] * 5)
    crop, pad = (decode(path, size=32, resize=resize)[0, 1] for resize in ("crop", "pad"))
    assert crop.min() > 150
    assert (pad[:7].max(), pad[-7:].max(), pad[:, :6].max()) == (0, 0, pad[:, :6].max())
    assert pad[12:20, 12:20].min() > 150


def test_one_frame_is_a_still_clip(tmp_path: Path) -> None:
    video = VideoConfig(size=16, frames=3).build()
    frames = video.decode(write_clip(tmp_path / "one.mp4", [plain(GREEN)]))
    assert colors(frames) == [1] * 9
    assert video.oddities(frames) == ["still"]
    moving = video.decode(write_clip(tmp_path / "moving.mp4", [plain(color) for color in COLORS]))
    assert video.oddities(moving) == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".gif"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), dtype=np.uint8)
    codec, pixels = {
        ".webm": ("libvpx", "yuv420p"),
        ".avi": ("mjpeg", "yuvj420p"),
        ".gif": ("gif", "rgb8"),
    }.get(suffix, ("libx264", "yuv420p"))
    # The index of an MP4 may stand before or after its pictures.
    raw = write_clip(tmp_path / f"clip{suffix}", list(noise), codec=codec, pixels=pixels).read_bytes()
    error = error_of(tmp_path / f"cut{suffix}", raw[: int(len(raw) * share)])
    assert "truncated" in error.got
    assert error.expected == "a complete clip"


def test_truncated_with_its_index_first(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as file:
        track = file.add_stream("libx264", rate=10)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for _ in range(20):
            file.mux(track.encode(av.VideoFrame.from_ndarray(plain(RED), format="rgb24")))
        file.mux(track.encode(None))
    raw = path.read_bytes()
    assert "are there" in error_of(tmp_path / "cut.mp4", raw[:-100]).got


def test_what_is_no_clip(tmp_path: Path) -> None:
    assert "0 bytes" in error_of(tmp_path / "empty.mp4", b"").got
    assert "not read" in error_of(tmp_path / "text.mp4", b"no clip at all " * 20).got
    for suffix in (".mkv", ".mp4", ".avi"):
        error = error_of(write_clip(tmp_path / f"none{suffix}", [], codec="mpeg4"))
        assert error.got in (
            "a file that ends before any content",
            "a track of pictures without a frame",
            "a file without a track of pictures",
        )
    with av.open(str(tmp_path / "sound.mp4"), "w") as file:
        voice = file.add_stream("aac", rate=16_000)
        voice.layout = "mono"
        part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        part.sample_rate = 16_000
        file.mux(voice.encode(part))
        file.mux(voice.encode(None))
    error = error_of(tmp_path / "sound.mp4")
    assert (error.got, error.expected) == ("a file with sound alone", "a clip with a track of pictures")
    raw = write_clip(tmp_path / "clip.mp4", [plain(RED)] * 5).read_bytes()
    assert "codec" in error_of(tmp_path / "other.mp4", raw.replace(b"avc1", b"xyz1")).got


def test_a_column_of_pictures_says_what_a_clip_is(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".avi"):
        raw = write_clip(tmp_path / f"clip{suffix}", [plain(RED)] * 3, codec="mpeg4").read_bytes()
        with pytest.raises(UnreadableError, match=r"got a clip: declare the column as video"):
            ImageConfig().build().decode(raw)


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    write_clip(tmp_path / "secret.mp4", [plain(RED)] * 5)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path / 'secret.mp4'}\n#EXT-X-ENDLIST\n"
    assert "not read" in error_of(tmp_path / "list.mp4", playlist.encode()).got
    assert (
        "not read"
        in error_of(tmp_path / "list.mkv", f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n".encode()).got
    )


def test_frames_that_are_too_large(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", [plain(RED)] * 5)
    with pytest.raises(UnreadableError, match="64 x 48 pixels, expected frames of at most 3,000"):
        decode(path, max_pixels=3000)


def test_training_sees_any_moment_of_each_part(tmp_path: Path) -> None:
    video = VideoConfig(size=8, frames=2, draws=3, augment=VideoAugment(shift=0)).build()
    item = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((6, 3, 8, 8), dtype=np.uint8)
    arrays = video.collate([item, None])
    assert arrays.mask.tolist() == [[False, True, False, False, True, False], [False] * 6]
    seen = set()
    for seed in range(40):
        varied = video.vary(arrays, torch.Generator().manual_seed(seed))
        assert varied.mask.tolist() == [[True, True], [False, False]]
        seen.add(tuple(varied.values[0, :, 0, 0, 0].tolist()))
    assert seen == {(first, second) for first in range(3) for second in range(3, 6)}


def test_describe_and_show(tmp_path: Path) -> None:
    video = VideoConfig(size=16, frames=2).build()
    silent = write_clip(tmp_path / "clip.mp4", [plain(RED)] * 20)
    heard = write_clip(tmp_path / "heard.mp4", [plain(RED)] * 20, sound=np.zeros(32_000, dtype=np.float32))
    assert video.describe(silent) == {"size": 48, "seconds": 2, "sound": "no sound track"}
    assert video.describe(heard.read_bytes()) == {"size": 48, "seconds": 2, "sound": "a sound track"}
    assert video.describe(b"none") == {}
    (cell,) = video.show("clip", video.decode(silent))
    assert cell.content is not None
    import base64

    import PIL.Image

    picture = PIL.Image.open(io.BytesIO(base64.b64decode(cell.content.split(",")[1])))
    assert picture.size == (32, 16)


def test_three_hours_are_read_by_time(tmp_path: Path) -> None:
    shades = [round(255 * number / 1080) for number in range(1080)]
    pictures = [plain((shade, shade, shade)) for shade in shades]
    path = write_clip(tmp_path / "long.mp4", pictures, rate=Fraction(1, 10), options={"g": "60", "preset": "ultrafast"})
    video = VideoConfig(size=8, frames=6, draws=2).build()
    assert video.describe(path)["seconds"] == 10_800
    found = video.decode(path).mean(axis=(1, 2, 3))
    assert np.abs(found - [shades[round(1080 * (number + 0.5) / 12)] for number in range(12)]).max() < 4


def test_a_frame_far_from_a_key_frame_is_not_decoded_where_that_costs_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [plain((8 * number, 8 * number, 8 * number)) for number in range(30)]
    path = write_clip(tmp_path / "clip.mp4", pictures, options={"g": "5", "bf": "0", "sc_threshold": "0"})
    exact = decode(path, frames=3, draws=1)[:, 0].mean(axis=(1, 2))
    monkeypatch.setattr(clip_frames, "_NEAR", 0)
    monkeypatch.setattr(clip_frames, "_AFFORDED", 0)
    near = decode(path, frames=3, draws=1)[:, 0].mean(axis=(1, 2))
    assert np.abs(exact - [8 * 5, 8 * 15, 8 * 25]).max() < 3
    assert np.abs(near - [8 * 5, 8 * 15, 8 * 25]).max() < 3
    # Parts begin at frames 0, 6, 12 … of which the key frames are 0, 10, 15, 20, 25; none is in the part of 6 to 11.
    dear = decode(path, frames=5, draws=1)[:, 0].mean(axis=(1, 2))
    assert np.abs(dear - [0, 8 * 9, 8 * 15, 8 * 20, 8 * 25]).max() < 3


def test_4k_needs_little_memory(tmp_path: Path) -> None:
    pictures = [plain(color, width=3840, height=2160) for color in (*COLORS, RED, GREEN)]
    path = write_clip(tmp_path / "large.mp4", pictures, options={"preset": "ultrafast"})
    del pictures
    code = f"""
import resource, pathlib, av
from tonggan.modalities.video import VideoConfig
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
frames = VideoConfig(size=64).build().decode(pathlib.Path({str(path)!r}))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, frames.shape)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split(" ", 1)
    assert said[1].strip() == "(24, 3, 64, 64)"
    assert int(said[0]) < 400  # MiB; unscaled the 24 frames would be 600


def test_without_pyav_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "clip.mp4", [plain(RED)])
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[video\]'"):
        decode(path)
