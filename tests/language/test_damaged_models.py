"""Whatever stands in the files of a model, it opens and writes, or an error names the file and a remedy."""

import json
import shutil
import struct
from pathlib import Path

import pytest

from damage_scene import NESTED, bounded, cut_and_flipped, no_content, with_wrong_values
from embedder_scene import tiny_embedder
from generation_scene import gguf_file
from pretrained_scene import pretrained_folder, qwen_coder_folder
from tonggan.errors import DataError
from tonggan.language.chat import Message
from tonggan.language.gguf_file import read_header
from tonggan.language.opening import open_model
from tonggan.language.settings import GenerationConfig
from tonggan.models.text_embedder import TextEmbedder


def write_some(path: Path) -> None:
    """All that is read of a model."""
    model = open_model(str(path), engine="torch")
    settings = GenerationConfig(max_tokens=2, temperature=1.0)
    model.generate([model.prompt("the cat"), model.prompt([Message("user", "the cat")])], settings)


def refused(path: Path, contents, *, use=write_some) -> int:
    """How many of ``contents`` in the file ``path`` are refused; ``use`` must take the others."""
    whole = path.read_bytes()
    folder = path if path.suffix == ".gguf" else path.parent
    number = 0
    for content in contents:
        path.write_bytes(content)
        number += 1
        with bounded(path):
            use(folder)
            number -= 1
    path.write_bytes(whole)
    use(folder)
    return number


@pytest.fixture
def gguf(tmp_path) -> Path:
    return gguf_file(tmp_path)


def test_cut_and_flipped_gguf_files(gguf):
    content = gguf.read_bytes()
    header = content.index(b"blk.0.attn_norm.weight")
    assert refused(gguf, cut_and_flipped(content)) >= 8
    assert refused(gguf, (part + content[header:] for part in cut_and_flipped(content[:header], flips=60))) > 60
    assert refused(gguf, no_content()) == len(list(no_content()))


def field(key: bytes, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    ("counts", "rest", "message"),
    [
        ((2**63, 0), b"", "9,223,372,036,854,775,808 tensors and 0 fields, expected at most 1,000,000 each"),
        ((0, 2**62), b"", "fields, expected at most"),
        ((0, 1), field(b"a", 9, struct.pack("<IQ", 9, 1) * 100_000), "lists in lists, expected at most 4"),
        ((0, 1), field(b"a", 9, struct.pack("<IQ", 4, 2**61)), "ends in its header"),
        ((0, 1), field(b"a", 9, struct.pack("<IQ", 8, 2**61)), "ends in its header"),
        ((0, 1), field(b"general.alignment", 4, struct.pack("<I", 0)), "general.alignment 0, expected a whole number"),
        ((0, 1), field(b"general.alignment", 6, struct.pack("<f", 8)), "general.alignment 8.0, expected a whole"),
        ((1, 0), struct.pack("<Q", 1) + b"t" + struct.pack("<I", 2**32 - 1), "tensor t of 4,294,967,295 dimensions"),
        ((1, 0), struct.pack("<Q1sIQIQ", 1, b"t", 1, 0, 0, 0), "tensor t of shape"),
    ],
)
def test_counts_beyond_bounds(tmp_path, counts, rest, message):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, *counts) + rest)
    with pytest.raises(DataError, match=f"x.gguf: got .*{message}"):
        read_header(path)


@pytest.mark.parametrize("make", [pretrained_folder, qwen_coder_folder])
def test_cut_and_flipped_folders(tmp_path, make):
    folder = make(tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 3]}))
    for name in sorted(path.name for path in folder.iterdir()):
        content = (folder / name).read_bytes()
        assert refused(folder / name, (*cut_and_flipped(content), *no_content())) >= 10, name


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json"])
def test_every_value_may_be_any_other(tmp_path, name):
    folder = pretrained_folder(tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 3]}))
    content = json.loads((folder / name).read_bytes())
    if name == "tokenizer.json":
        content["model"]["vocab"] = dict(list(content["model"]["vocab"].items())[:5])  # of 300
    variants = (json.dumps(value).encode() for value in with_wrong_values(content))
    assert refused(folder / name, variants) > 5


@pytest.mark.parametrize(
    "weight_map",
    [NESTED, b'["a"]', b'{"model.norm.weight": "../away.safetensors"}', b'{"model.norm.weight": 5}', b"{}"],
)
def test_an_index_of_parts(tmp_path, weight_map):
    folder = pretrained_folder(tmp_path / "model")
    shutil.copy(folder / "model.safetensors", tmp_path / "away.safetensors")
    (folder / "model.safetensors.index.json").write_bytes(b'{"weight_map": ' + weight_map + b"}")
    with pytest.raises(DataError, match=f"{folder}"):
        open_model(str(folder), engine="torch")


def test_a_token_without_an_embedding_is_named(tmp_path):
    folder = pretrained_folder(tmp_path / "model")
    content = json.loads((folder / "tokenizer.json").read_bytes())
    vocabulary = content["model"]["vocab"]
    name = next(name for name, id_ in vocabulary.items() if id_ == max(vocabulary.values()))
    content["model"]["vocab"]["a"], content["model"]["vocab"][name] = 5_000, vocabulary["a"]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    model = open_model(str(folder), engine="torch")
    with pytest.raises(DataError, match=r"tokenizer of model: got token id 5000, expected ids below 267, for which"):
        model.prompt("a")


@pytest.mark.parametrize("source", ["{% for", "{{ 1 / 0 }}", "{{ none.x.y }}", "{{ (" * 3000, "\0"])
def test_a_damaged_chat_template(tmp_path, source):
    folder = pretrained_folder(tmp_path / "model")
    template = folder / "chat_template.jinja"
    template.write_text("{{ messages[0].content }}")
    assert refused(template, [source.encode()]) == 1


def test_a_damaged_folder_of_an_embedder(tmp_path):
    folder = tmp_path / "embedder"
    tiny_embedder(["the cat sat on the mat"]).save(folder)

    def embed(_: Path) -> None:
        TextEmbedder.load(folder).embed(["the cat"])

    for name in ("config.json", "sentence_bert_config.json", "1_Pooling/config.json", "tokenizer.json",
                 "model.safetensors"):  # fmt: skip
        path = folder / name
        content = path.read_bytes()
        assert refused(path, (*cut_and_flipped(content), *no_content()), use=embed) >= 8, name
        if name.endswith("config.json"):
            refused(path, (json.dumps(v).encode() for v in with_wrong_values(json.loads(content))), use=embed)
