"""Rows of a request: dates and durations in any writing that is read mean what they mean in a table."""

from __future__ import annotations

import base64
import io
from datetime import datetime, timedelta

import numpy as np
import pytest
import soundfile

import tonggan
from clips_scene import COLORS, plain, write_clip
from tonggan.serving.config import ServerConfig
from tonggan.serving.failures import RefusedError
from tonggan.serving.media import MediaLimits
from tonggan.serving.rows import RowModel

CONFIG = ServerConfig()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    starts = [datetime(2024, 3, 1) + timedelta(hours=7 * row) for row in range(60)]
    data = {
        "start": [f"{start:%m/%d/%Y %H:%M}" for start in starts],
        "took": [f"{row} min" for row in range(60)],
        "fare": [start.hour + row / 10 for row, start in enumerate(starts)],
    }
    settings = ["floor.preset=fast", "audit_alone=false"]
    predictor = tonggan.fit(data, target="fare", out=tmp_path_factory.mktemp("runs") / "run", settings=settings)
    return RowModel(predictor.bundle, config=CONFIG)


def predict(model, **cells):
    row = model.read(cells, param="rows[0]", media=MediaLimits(CONFIG))
    assert model.compare([row]) == []
    return model.predict([row])[0]["prediction"]


def test_a_date_and_a_duration_in_other_writings(model):
    assert model.columns == {"start": "date", "took": "duration"}
    usual = predict(model, start="03/15/2024 14:30", took="20 min")
    assert predict(model, start="2024-03-15T14:30:00", took="0:20:00") == usual
    assert predict(model, start="15/03/2024 14:30", took=1200) == usual
    assert predict(model, start="2024年3月15日 下午2:30", took="PT20M") == usual


@pytest.mark.parametrize(("cells", "kind"), [({"start": "soon"}, "date"), ({"took": "long"}, "duration")])
def test_what_is_not_read_is_refused(model, cells, kind):
    with pytest.raises(RefusedError, match=f"a cell of kind {kind}"):
        model.read(cells, param="rows[0]", media=MediaLimits(CONFIG))


@pytest.mark.parametrize("marker", ["n/a", "0000-00-00", "--", "未知"])
def test_what_says_that_there_is_none_is_absent(model, marker):
    row = model.read({"start": marker, "took": marker}, param="rows[0]", media=MediaLimits(CONFIG))
    assert ["are empty" in finding.message for finding in model.compare([row])] == [True, True]
    assert model.predict([row]) == model.predict([{}])


@pytest.fixture(scope="module")
def seen_and_heard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    tone = np.sin(np.arange(8_000, dtype=np.float32) / 5) / 2
    names = []
    for number in range(12):
        path = folder / f"{number}.mp4"
        names.append(str(write_clip(path, [plain(COLORS[number % 2])] * 5, sound=tone * (number % 3 == 0))))
    data = {"clip": names, "sound": names, "color": ["red", "green"] * 6}
    settings = ["floor=null", "training.epochs=1", "model.dim=8", "audit_alone=false", "columns.sound.kind=audio"]
    frame = "{kind: image_cnn, channels: [4, 8]}"
    settings += [
        "columns.clip.kind=video",
        "columns.clip.size=16",
        f"model.encoders.clip={{kind: video_cnn_rnn, frame: {frame}}}",
    ]
    with pytest.warns(tonggan.DataWarning):
        predictor = tonggan.fit(data, target="color", out=folder / "run", settings=settings)
    return RowModel(predictor.bundle, config=ServerConfig(max_pixels=10_000, max_seconds=5)), folder


def answered(model, **cells):
    media = MediaLimits(ServerConfig(max_pixels=10_000, max_seconds=5))
    rows = model.decode([model.read(cells, param="rows[0]", media=media)], param="rows")
    return model.predict(rows)[0]["prediction"]


def address(raw):
    return f"data:video/mp4;base64,{base64.b64encode(raw).decode()}"


def test_clips_and_their_sound(seen_and_heard):
    model, folder = seen_and_heard
    assert model.columns == {"clip": "video", "sound": "audio"}
    raw = (folder / "0.mp4").read_bytes()
    wave = io.BytesIO()
    soundfile.write(wave, np.zeros(8_000), 8_000, format="WAV")
    for cells in (
        {"clip": address(raw)},
        {"clip": raw, "sound": address(raw)},
        {"clip": raw, "sound": wave.getvalue()},
    ):
        assert answered(model, **cells) in ("red", "green")


def test_hostile_clips_are_refused(seen_and_heard, tmp_path):
    model, folder = seen_and_heard
    raw = (folder / "0.mp4").read_bytes()
    long = write_clip(tmp_path / "long.mp4", [plain(COLORS[0])] * 60).read_bytes()
    large = write_clip(tmp_path / "large.mp4", [plain(COLORS[0], width=128, height=128)] * 2).read_bytes()
    silent = write_clip(tmp_path / "silent.mp4", [plain(COLORS[0])] * 5).read_bytes()
    playlist = f"#EXTM3U\n#EXTINF:1,\n{folder / '0.mp4'}\n#EXT-X-ENDLIST\n".encode()
    for cells, said in (
        ({"clip": address(raw[:1_500])}, "truncated"),
        ({"clip": raw[:8] + bytes(2_000)}, "clip"),
        ({"clip": address(long)}, r"6\.0 s, expected at most 5 s"),
        ({"clip": address(large)}, "16,384 pixels"),
        ({"clip": playlist}, "bytes that begin with"),
        ({"clip": str(folder / "0.mp4")}, "fetches no address and opens no path"),
        ({"sound": silent}, "without a sound track"),
    ):
        with pytest.raises(RefusedError, match=said):
            answered(model, **cells)
