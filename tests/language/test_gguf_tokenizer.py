import pytest

from generation_scene import tokenizer
from tonggan.errors import DataError, UnsupportedModelError
from tonggan.language.gguf_tokenizer import describe, read_gguf_tokenizer
from tonggan.language.tokenizer import Tokenizer

# How llama.cpp cuts the same text, by the name of the split.
CUTS = {
    "gpt-2": ["It", "'s", " 1234", "\n\n", "\n", "x", "'", "LL", " !!", "\r\n"],
    "smollm": ["It", "'s", " ", "1", "2", "3", "4", "\n\n", "\n", "x", "'", "LL", " !!", "\r\n"],
    "llama-bpe": ["It", "'s", " ", "123", "4", "\n\n\n", "x", "'LL", " !!\r\n"],
    "qwen2": ["It", "'s", " ", "1", "2", "3", "4", "\n\n\n", "x", "'LL", " !!\r\n"],
}
TEXT = "It's 1234\n\n\nx'LL !!\r\n"


def test_description_and_back():
    metadata = describe(tokenizer(), size=310)
    assert metadata["tokenizer.ggml.pre"] == "gpt-2"
    assert metadata["tokenizer.ggml.token_type"][:4] == [3, 3, 3, 1]
    assert metadata["tokenizer.ggml.tokens"][309] == "[UNUSED309]"
    again = read_gguf_tokenizer(metadata)
    assert (again.start, again.ends, again.names) == (1, (2,), tokenizer().names)
    for text in ("the cat sat, 你好", "<s>", TEXT):
        for special in (False, True):
            assert again.encode(text, special=special) == tokenizer().encode(text, special=special)


@pytest.mark.parametrize("split", CUTS)
def test_splits(split):
    found = read_gguf_tokenizer(describe(tokenizer(), size=300) | {"tokenizer.ggml.pre": split})
    pieces = found.library.pre_tokenizer.pre_tokenize_str(TEXT)
    spelled = [piece.replace("Ġ", " ").replace("Ċ", "\n").replace("č", "\r") for piece, _ in pieces]
    assert "".join(spelled) == TEXT
    assert spelled == CUTS[split]
    assert describe(found, size=300)["tokenizer.ggml.pre"] == split


def test_ends_are_found_by_name_too():
    metadata = describe(tokenizer(), size=300)
    names, kinds = list(metadata["tokenizer.ggml.tokens"]), list(metadata["tokenizer.ggml.token_type"])
    found = read_gguf_tokenizer(
        metadata
        | {
            "tokenizer.ggml.tokens": [*names, "<|im_end|>", "<tool>", "<|eot_id|>"],
            "tokenizer.ggml.token_type": [*kinds, 3, 4, 1],
            "tokenizer.ggml.add_bos_token": False,
        }
    )
    assert found.ends == (2, 300)
    assert found.start is None
    # A token that users define is no control token: it is found in any text.
    assert found.encode("a<tool>")[-1] == 301
    assert found.bytes_of(301) == b"<tool>"


@pytest.mark.parametrize("change", [{"tokenizer.ggml.model": "t5"}, {"tokenizer.ggml.pre": "tekken"}])
def test_unknown_kinds_are_left_to_llama_cpp(change):
    with pytest.raises(UnsupportedModelError, match=r"expected kind 'gpt2', split one of gpt-2, smollm.*llamacpp"):
        read_gguf_tokenizer(describe(tokenizer(), size=300) | change)


def test_what_gguf_cannot_say_is_refused():
    from tokenizers import Tokenizer as Library
    from tokenizers import models

    library = Library(models.BPE({"a": 0}, []))
    with pytest.raises(DataError, match="a split without a name"):
        describe(Tokenizer(library, start=None, ends=[]), size=1)
