import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter

from generation_scene import engine, gguf_file
from tonggan.errors import DataError, UnsupportedModelError
from tonggan.language.gguf_file import KINDS, GGUFFile, read_header

KEY = "model.layers.1.self_attn.k_proj.weight"


@pytest.fixture
def path(tmp_path):
    return gguf_file(tmp_path)


def test_block_sizes_are_those_of_the_reference():
    for number, (name, numbers, size) in KINDS.items():
        assert gguf.GGML_QUANT_SIZES[GGMLQuantizationType(number)] == (numbers, size)
        assert GGMLQuantizationType(number).name == name


def test_header_equals_the_reference_reader(path):
    metadata, tensors = read_header(path)
    reference = gguf.GGUFReader(path)
    expected = {key: field.contents() for key, field in reference.fields.items() if not key.startswith("GGUF.")}
    assert metadata == expected
    assert [(name, stored.kind) for name, stored in tensors.items()] == [
        (tensor.name, tensor.tensor_type.name) for tensor in reference.tensors
    ]
    for tensor in reference.tensors:
        assert tensors[tensor.name].shape == tuple(reversed(tensor.shape.tolist()))
        assert tensors[tensor.name].data.tobytes() == tensor.data.tobytes()


def test_weights_come_back_in_the_order_of_hugging_face(path):
    file = GGUFFile(path)
    state = engine().model.state_dict()
    assert file.tensors.keys() == state.keys()
    for name, weight in state.items():
        torch.testing.assert_close(torch.from_numpy(file.dequantize(name)), weight, rtol=0, atol=0)
    assert file.config == engine().model.config.model_copy(update={"head_dim": 8})
    stored = file.tensors[KEY].stored.view(np.float32)
    assert not np.array_equal(stored, state[KEY].numpy()), "keys lie in another order in the file"


def write(path, *, arch="llama", kind=GGMLQuantizationType.F32, drop=(), add=None, **metadata):
    """The tiny model with some of its metadata and tensors changed."""
    former, tensors = read_header(path)
    writer = GGUFWriter(path.with_name("changed.gguf"), arch)
    for key, value in former.items():
        short = key.removeprefix("llama.")
        if short != key and short not in drop:
            value = metadata.get(short.replace(".", "_"), value)
            (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(f"{arch}.{short}", value)
    for key, value in (add or {}).items():
        (writer.add_string if isinstance(value, str) else writer.add_uint32)(f"{arch}.{key}", value)
    for name, stored in tensors.items():
        values = stored.data.view(np.float32).reshape(stored.shape)
        if name in drop:
            continue
        if values.ndim == 2 and kind != GGMLQuantizationType.F32 and values.shape[1] % 32 == 0:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.with_name("changed.gguf")


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_number_formats(path, kind):
    quantized = GGMLQuantizationType[kind]
    file = GGUFFile(write(path, kind=quantized))
    weight = engine().model.state_dict()[KEY].numpy()
    assert file.tensors[KEY].kind == kind
    expected = gguf.quants.dequantize(gguf.quants.quantize(weight, quantized), quantized)
    np.testing.assert_array_equal(file.dequantize(KEY), expected)
    assert file.tensors[KEY].data.tobytes() == gguf.quants.quantize(weight, quantized).tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "gemma3"}, r"architecture 'gemma3', expected .* 'llama' or 'qwen2'. Use the llamacpp engine: pip"),
        ({"add": {"expert_count": 8}}, r"expert_count 8, expected 0 or none"),
        ({"add": {"rope.scaling.type": "yarn"}}, r"rope.scaling.type 'yarn'"),
        ({"drop": ("token_embd.weight",)}, r"expected a language model of architecture"),
    ],
)
def test_other_models_are_left_to_llama_cpp(path, change, message):
    with pytest.raises(UnsupportedModelError, match=message):
        GGUFFile(write(path, **change))


def test_weights_that_do_not_fit(path):
    with pytest.raises(DataError, match=r"no weight model.layers.0.mlp.up_proj.weight"):
        GGUFFile(write(path, drop=("blk.0.ffn_up.weight",)))
    with pytest.raises(DataError, match=r"of shape \(48, 32\), expected shape \(64, 32\)"):
        GGUFFile(write(path, feed_forward_length=64))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.999])
def test_a_file_that_is_cut_short(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"(bytes that ends in its header|expected at least [\d,]+, for tensor)"):
        GGUFFile(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot mmap an empty file"),
        (b"PK\x03\x04 something else", r"begins with b'PK\\x03\\x04', expected b'GGUF'"),
        (b"GGUF\x01\x00\x00\x00", "version 1, expected version 2 or 3"),
        (b"GGUF\x00\x00\x00\x03", "version 50331648, expected version 2 or 3, little-endian"),
        (b"GGUF\x03\x00\x00\x00" + bytes(8) + b"\x01" + bytes(7) + bytes(8) + b"\x63\x00\x00\x00", "unknown type 99"),
        (b"GGUF\x03\x00\x00\x00" + bytes(8) + b"\x01" + bytes(7) + b"\xff" * 8, "ends in its header"),
    ],
)
def test_what_is_no_gguf_file(tmp_path, content, message):
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_header(path)


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match=r"nothing.gguf: got no such file"):
        GGUFFile(tmp_path / "nothing.gguf")
    with pytest.raises(DataError, match=r"expected a readable GGUF file"):
        GGUFFile(tmp_path)
