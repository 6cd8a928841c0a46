import math

import pytest
import torch

from architecture_scene import KINDS, reference
from generation_scene import engine, gguf_file, needs_smollm2, tokenizer
from tonggan.errors import ConfigError, DataError, UnsupportedModelError
from tonggan.language.causal_transformer import CausalTransformerConfig
from tonggan.language.chat import Message
from tonggan.language.opening import engine_for, open_model
from tonggan.language.settings import GenerationConfig
from tonggan.progress import Progress

PLAIN_ENGLISH = (
    "The history of the city begins in the Middle Ages, when a small group of merchants settled near the river. They "
    "built houses and a church, and soon the village became an important place of trade."
)


@pytest.fixture
def path(tmp_path):
    return gguf_file(tmp_path)


class Said(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_a_folder_writes_what_transformers_writes(tmp_path):
    from generation_scene import hugging_face

    hugging_face().save_pretrained(tmp_path)
    tokenizer().library.save(str(tmp_path / "tokenizer.json"))
    model = open_model(str(tmp_path), engine="torch")
    assert model.name == tmp_path.name
    prompt = model.prompt("the cat")
    found = model.generate([prompt], GenerationConfig(max_tokens=8))[0]
    expected = hugging_face().generate(
        torch.tensor([prompt.ids]), do_sample=False, max_new_tokens=8, eos_token_id=2, pad_token_id=0
    )
    assert found.token_ids == expected[0, prompt.length :].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_every_architecture(tmp_path, kind):
    reference(kind).save_pretrained(tmp_path)
    tokenizer().library.save(str(tmp_path / "tokenizer.json"))
    model = open_model(str(tmp_path), engine="torch")
    ids = model.prompt("the cat sat on the mat").ids
    expected = reference(kind).generate(torch.tensor([ids]), do_sample=False, max_new_tokens=12, eos_token_id=[])
    settings = GenerationConfig(max_tokens=12, logprobs=0)
    found = model.generate([model.prompt("the cat sat on the mat")], settings)[0].token_ids
    assert found == expected[0, len(ids) : len(ids) + len(found)].tolist()
    assert len(found) > 4


def test_max_length_limits_the_context(path):
    assert open_model(str(path), engine="torch", max_length=9).max_length == 9
    with pytest.raises(ConfigError, match=r"max_length=129, expected 1 to 128, what it was trained for"):
        open_model(str(path), engine="torch", max_length=129)


def test_auto_without_kernels_says_why(path, monkeypatch):
    from tonggan import native

    monkeypatch.setattr(native, "available", lambda: "no compiler was found")
    said = Said()
    assert open_model(str(path), progress=said).engine.name == "torch"
    assert said.lines == ["Engine torch, because the native kernels are missing: no compiler was found."]


def test_bits_are_for_the_native_engine(path):
    with pytest.raises(ConfigError, match="engine torch: got bits=4"):
        open_model(str(path), engine="torch", bits=4)
    with pytest.raises(ConfigError, match="engine llamacpp: got bits=4"):
        open_model(str(path), engine="llamacpp", bits=4)


def test_llamacpp_wants_a_file(tmp_path):
    with pytest.raises(ConfigError, match=f"got folder {tmp_path}, expected a GGUF file"):
        open_model(str(tmp_path), engine="llamacpp")


def test_an_architecture_that_only_llama_cpp_runs(tmp_path, monkeypatch):
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "x.gguf", "gemma3")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnsupportedModelError, match=r"architecture 'gemma3'.*llamacpp"):
        open_model(str(tmp_path / "x.gguf"), engine="torch")
    said = Said()
    with pytest.raises(DataError, match=r"llama\.cpp"):  # there is nothing in the file
        open_model(str(tmp_path / "x.gguf"), progress=said)
    assert said.lines == ["Engine llamacpp, because the model has architecture 'gemma3'."]


@needs_smollm2
def test_smollm2_answers():
    model = open_model("smollm2", engine="torch")
    prompt = model.prompt([Message("user", "What is the capital of France?")])
    assert model.generate([prompt], GenerationConfig(max_tokens=12))[0].text == "The capital of France is Paris."
    each = model.log_probabilities(model.prompt(PLAIN_ENGLISH))
    assert math.exp(-sum(each) / len(each)) == pytest.approx(9.6, abs=0.1)


def test_an_engine_that_is_none(path):
    with pytest.raises(ConfigError, match=r"engine: got 'fast', expected one of auto, llamacpp, native, torch"):
        open_model(str(path), engine="fast")


def test_a_model_in_memory_is_no_file():
    with pytest.raises(ConfigError, match=r"engine llamacpp: got a model of 2 layers in memory, expected a file"):
        engine_for(engine().model, engine="llamacpp")


def test_sizes_that_the_kernels_do_not_do_go_to_torch():
    said = Said()
    shape = {"hidden_size": 20, "intermediate_size": 30, "num_hidden_layers": 1}
    model = CausalTransformerConfig(vocab_size=50, num_attention_heads=2, num_key_value_heads=2, **shape).build()
    assert engine_for(model, progress=said).name == "torch"
    assert any("native kernels" in line for line in said.lines)
