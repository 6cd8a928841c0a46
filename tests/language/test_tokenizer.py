import json

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, processors

from generation_scene import SENTENCES, tokenizer
from tonggan.errors import DataError
from tonggan.language.checkpoint_folder import read_folder_tokenizer
from tonggan.language.tokenizer import Tokenizer

TEXTS = ["the cat", "你好, wörld 😀\n\n\tdef f(x): return 1234", "", "  two  spaces  ", "\x00\x7f", "<s> and </s>"]


def test_an_unpaired_surrogate_is_refused():
    with pytest.raises(DataError, match=r"got an unpaired surrogate in 'a\\ud83d b'"):
        tokenizer().encode("a\ud83d b")


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_comes_back(text):
    ids = tokenizer().encode(text)
    assert tokenizer().decode(ids) == text
    assert b"".join(tokenizer().bytes_of(id_) for id_ in ids) == text.encode()


def test_composed_and_decomposed_characters_are_one():
    assert tokenizer().encode("e\u0301") == tokenizer().encode("é")


def test_control_tokens_come_from_templates_only():
    assert tokenizer().encode("<s></s>", special=True) == [1, 2]
    assert not {0, 1, 2} & set(tokenizer().encode("<pad><s></s>"))
    assert tokenizer().decode([1, *tokenizer().encode("cat"), 2, 0]) == "cat"
    assert [tokenizer().bytes_of(id_) for id_ in range(3)] == [b"", b"", b""]


def test_trained_tokenizer():
    assert (tokenizer().size, tokenizer().start, tokenizer().ends) == (300, 1, (2,))
    assert Tokenizer.train([], vocab_size=10).size == 259  # bytes and control tokens are never left out
    assert Tokenizer.train(SENTENCES, vocab_size=300).state() == tokenizer().state()


def test_state_is_json_and_comes_back():
    state = tokenizer().state()
    again = Tokenizer.load(json.loads(json.dumps(state)))
    assert again.state() == state
    assert [again.encode(text) for text in TEXTS] == [tokenizer().encode(text) for text in TEXTS]


def sentence_piece(folder, **settings):
    """A folder with a vocabulary of the kind of Llama 2: ``▁`` for spaces, single bytes as a last resort."""
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a"]
    vocabulary = {name: id_ for id_, name in enumerate(names)}
    merges = [("▁", "a")]
    library = tokenizers.Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    library.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    library.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": {"content": "<s>"}, "eos_token": "</s>"} | settings
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_a_folder_of_hugging_face(tmp_path):
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))
    found = read_folder_tokenizer(sentence_piece(tmp_path, chat_template="T"))
    assert (found.start, found.ends, found.chat_template) == (1, (2, 0), "T")
    assert found.names == {"bos_token": "<s>", "eos_token": "</s>"}
    ids = found.encode("a ab 你")
    assert b"".join(found.bytes_of(id_) for id_ in ids).decode() == " a ab 你"
    assert found.decode(ids) == "a ab 你"
    assert ids == [262, 262, 261, 259, *(3 + byte for byte in "你".encode())]


@pytest.mark.parametrize(
    ("template", "expected"),
    [([{"name": "tool", "template": "U"}, {"name": "default", "template": "T"}], "T"), (None, None)],
)
def test_chat_templates_with_names(tmp_path, template, expected):
    assert read_folder_tokenizer(sentence_piece(tmp_path, chat_template=template)).chat_template == expected
    (tmp_path / "chat_template.jinja").write_text("from a file")
    assert read_folder_tokenizer(tmp_path).chat_template == "from a file"


def test_folders_without_a_sound_tokenizer(tmp_path):
    with pytest.raises(DataError, match=r"tokenizer.json: got no such file, expected the model's tokenizer"):
        read_folder_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match=r"expected a tokenizer in JSON"):
        read_folder_tokenizer(tmp_path)
    sentence_piece(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[")
    with pytest.raises(DataError, match=r"tokenizer_config.json: .* expected valid JSON"):
        read_folder_tokenizer(tmp_path)
