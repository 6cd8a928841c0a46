"""The range of pictures and recordings: found for a whole column, noted, and what is cut off is counted."""

import io

import numpy as np
import PIL.Image
import pytest
import soundfile

from tonggan.api import diagnose
from tonggan.data.kinds import guess_columns
from tonggan.data.media_range import settle_ranges
from tonggan.data.readers import open_table
from tonggan.errors import DataError
from tonggan.modalities import AudioConfig, ImageConfig
from tonggan.progress import Progress

LABELS = ["a", "b"] * 15


def picture(folder, name: str, greatest: float, dtype: type, suffix: str) -> str:
    path = folder / f"{name}.{suffix}"
    PIL.Image.fromarray(np.linspace(0, greatest, 256).reshape(16, 16).astype(dtype)).save(path)
    return path.name


def recording(folder, name: str, samples: np.ndarray, **options) -> str:
    path = folder / f"{name}.wav"
    soundfile.write(path, samples, 8_000, **options)
    return path.name


def written(folder, names: list[str]):
    path = folder / "table.csv"
    lines = [f"{name},{label}" for name, label in zip(names, LABELS, strict=True)]
    path.write_text("\n".join(["file,y", *lines]))
    return path


def settled(folder, path, declared=None):
    table = open_table(path, cache=folder / "cache", progress=Progress())
    return settle_ranges(table, guess_columns(table, target=["y"], declared=declared or {}))["file"].config


@pytest.mark.parametrize(
    ("greatest", "dtype", "suffix", "white"),
    [
        (255, np.uint8, "png", None),
        (4_000, np.uint16, "png", 4_095),
        (60_000, np.uint16, "tif", 65_535),
        (200, np.int32, "tif", 255),
        (0.9, np.float32, "tif", 1),
        (200, np.float32, "tif", 255),
        (1_000, np.float32, "tif", 1_023),
    ],
)
def test_white_of_a_column(tmp_path, greatest, dtype, suffix, white):
    # All but one are dark: decided one by one they would become as bright.
    names = [picture(tmp_path, str(row), greatest / (20 if row else 1), dtype, suffix) for row in range(30)]
    path = written(tmp_path, names)
    assert settled(tmp_path, path) == ImageConfig(white=white)
    assert settled(tmp_path, path, {"file": ImageConfig(white=9_999)}).white == 9_999
    notes = [finding for finding in diagnose(path, target="y").findings if "columns.file.white" in finding.remedy]
    assert len(notes) == (white is not None)
    assert all(f"{white} as white" in note.message for note in notes)


def test_full_scale_of_a_column(tmp_path):
    tone = np.sin(np.arange(4_000) / 5)
    loud = [recording(tmp_path, f"f{row}", tone * (20_000 if row else 200_000), subtype="FLOAT") for row in range(30)]
    assert settled(tmp_path, written(tmp_path, loud)) == AudioConfig(full_scale=2**23)
    usual = [recording(tmp_path, f"p{row}", tone * 0.5) for row in range(30)]
    assert settled(tmp_path, written(tmp_path, usual)) == AudioConfig()


def test_long_and_silent_recordings_are_noted(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000 * 12)
    names = [recording(tmp_path, str(row), noise[: 80_000 + row]) for row in range(28)]
    names += [recording(tmp_path, f"silent{row}", np.zeros(8_000)) for row in range(2)]
    findings = {finding.count: finding for finding in diagnose(written(tmp_path, names), target="y").findings}
    assert "27 of 30 recordings in 'file' of train are longer than the 10 s" in findings[27].message
    assert "--set columns.file.max_seconds=30" in findings[27].remedy
    assert "2 recordings in 'file' of train hold silence" in findings[2].message


@pytest.mark.parametrize("text", ["word " * 129, "字" * 500])
def test_texts_that_are_cut_are_noted(tmp_path, text):
    rows = [(f"{text} {row}" if row < 10 else f"a few words only {row}", label) for row, label in enumerate(LABELS)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["review,y", *(f"{review},{label}" for review, label in rows)]), encoding="utf-8")
    (note,) = [one for one in diagnose(path, target="y").findings if "max_tokens" in one.remedy]
    assert (note.severity, note.column, note.count) == ("note", "review", 10)


def test_photographs_that_cannot_be_read_stop_the_run(tmp_path):
    for row in range(30):
        (tmp_path / f"{row}.heic").write_bytes(
            b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic\x00\x00" + bytes([row])
        )
    diagnosis = diagnose(written(tmp_path, [f"{row}.heic" for row in range(30)]), target="y")
    assert ("file", "image") in [column[:2] for column in diagnosis.columns]
    assert len(diagnosis.quarantine) == 30
    with pytest.raises(DataError, match="No file can be used"):
        diagnosis.check(max_bad=0.05)


def test_embedded_pictures_and_missing_files(tmp_path):
    import pandas as pd

    file = io.BytesIO()
    PIL.Image.fromarray(np.full((8, 8), 3_000, np.uint16)).save(file, "PNG")
    rows = [{"bytes": file.getvalue(), "path": None}] * 28 + [{"bytes": None, "path": "gone.png"}, None]
    table = open_table(pd.DataFrame({"file": rows, "y": LABELS}), cache=tmp_path / "cache", progress=Progress())
    assert settle_ranges(table, guess_columns(table, target=["y"], declared={}))["file"].config.white == 4_095


def test_pictures_of_several_frames_are_noted(tmp_path):
    shades = [PIL.Image.fromarray(np.full((8, 8), shade, np.uint8)) for shade in range(0, 90, 3)]
    for row, shade in enumerate(shades):
        shade.save(tmp_path / f"{row}.gif", **({"save_all": True, "append_images": shades} if row < 3 else {}))
    names = [f"{row}.gif" for row in range(28)]
    for row in (28, 29):
        shades[row].save(tmp_path / f"{row}.tif", save_all=True, append_images=shades[:2])
        names.append(f"{row}.tif")
    diagnosis = diagnose(written(tmp_path, names), target="y")
    (note,) = [finding for finding in diagnosis.findings if "frames" in finding.message]
    assert (note.severity, note.column, note.count) == ("note", "file", 5)
    assert "Of 30 pictures in 'file' of train that were looked at, 5 have several frames or pages" in note.message


def test_clipped_recordings_and_those_off_zero_are_noted(tmp_path):
    tone = np.sin(np.arange(8_000) / 5)
    names = [recording(tmp_path, str(row), 0.5 * tone) for row in range(23)]
    names += [recording(tmp_path, f"clipped{row}", np.clip(2 * tone, -1, 1)) for row in range(4)]
    names += [recording(tmp_path, f"offset{row}", 0.5 * tone + 0.1) for row in range(3)]
    findings = {finding.count: finding for finding in diagnose(written(tmp_path, names), target="y").findings}
    assert "4 recordings in 'file' of train are clipped" in findings[4].message
    assert "3 recordings in 'file' of train are not centered on zero" in findings[3].message
    assert {findings[count].severity for count in (3, 4)} == {"note"}
