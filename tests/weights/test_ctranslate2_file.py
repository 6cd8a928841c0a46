import struct

import numpy as np
import pytest
import torch

from tonggan.errors import DataError
from tonggan.weights.ctranslate2_file import joined_files, read_ctranslate2

WEIGHT = np.array([[1.0, -2.0, 0.5], [0.25, 0.125, -8.0]], dtype=np.float32)


def text(name):
    return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"


def variable(name, array, dtype):
    shape = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
    return text(name) + shape + struct.pack("<BI", dtype, array.nbytes) + array.tobytes()


def file_of(*variables, aliases=(), version=6):
    head = struct.pack("<I", version) + text("AnySpec") + struct.pack("<II", 1, len(variables))
    tail = b"".join(text(alias) + text(name) for alias, name in aliases)
    return head + b"".join(variables) + struct.pack("<I", len(aliases)) + tail


def read(content, **options):
    return read_ctranslate2(content, who="file model.bin", remedy="Copy it again", **options)


def test_every_dtype_becomes_float32():
    bfloat16 = (WEIGHT.view("<u4") >> 16).astype("<u2")
    found = read(
        file_of(
            variable("a", WEIGHT, 0),
            variable("b", WEIGHT.astype("<f2"), 4),
            variable("c", bfloat16, 5),
            variable("heads", np.array(8, dtype="<i2"), 2),
            aliases=[("d", "a")],
        )
    )
    for name in "abcd":
        torch.testing.assert_close(found[name], torch.from_numpy(WEIGHT), rtol=0, atol=0)
        assert found[name].dtype == torch.float32
    assert int(found["heads"]) == 8


@pytest.mark.parametrize("quantization", ["int8", "int16", "float16", "bfloat16"])
def test_equals_what_ctranslate2_wrote(tmp_path, quantization):
    pytest.importorskip("ctranslate2", reason="CTranslate2 writes the file")
    from ctranslate2.specs.whisper_spec import WhisperSpec

    from tonggan.encoders.whisper import WhisperConfig, whisper_from_ctranslate2
    from whisper_scene import fill_specification

    torch.manual_seed(0)
    encoder = WhisperConfig(
        num_mel_bins=8, d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24
    ).build()
    specification = WhisperSpec(2, 2, 1, 2)
    fill_specification(specification, encoder)
    specification.validate()
    specification.optimize(quantization=quantization)
    specification.save(str(tmp_path))
    found = read((tmp_path / "model.bin").read_bytes(), wanted=lambda name: name.startswith("encoder/"))
    again = whisper_from_ctranslate2(found, who="x", remedy="y")
    for name, weight in encoder.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=0.02, atol=0.02 * float(weight.abs().max()))


def test_only_what_is_wanted_is_kept():
    content = file_of(variable("encoder/a", WEIGHT, 0), variable("decoder/a", WEIGHT, 0))
    assert set(read(content, wanted=lambda name: name.startswith("encoder/"))) == {"encoder/a"}


def test_damaged_files_are_refused():
    whole = file_of(variable("a", WEIGHT, 0))
    with pytest.raises(DataError, match=r"file model.bin: got version 7, .*Copy it again"):
        read(file_of(version=7))
    for length in (0, 3, 10, len(whole) // 2, len(whole) - 1):
        with pytest.raises(DataError, match=f"got {length} bytes, expected at least"):
            read(whole[:length])
    with pytest.raises(DataError, match="got 1 more bytes"):
        read(whole + b"x")
    with pytest.raises(DataError, match=r"24 bytes of dtype 4 for the shape \[2, 3\]"):
        read(file_of(variable("a", WEIGHT, 4)))
    with pytest.raises(DataError, match="of 200 dimensions"):
        read(file_of(text("a") + b"\xc8"))


def test_parts_are_joined_in_their_order(tmp_path):
    files = {}
    for name, content in (("b/model.bin.part2", b"2"), ("a/model.bin.part1", b"1"), ("a/config.json", b"{}")):
        files[name] = tmp_path / name
        files[name].parent.mkdir(exist_ok=True)
        files[name].write_bytes(content)
    assert joined_files(files) == {"model.bin": b"12", "config.json": b"{}"}
