import numpy as np
import pytest
import torch

from contracts import check_encoder
from embedder_scene import tiny_embedder
from tonggan.encoders import TextPretrainedConfig
from tonggan.errors import ConfigError, DataError
from tonggan.modalities import TextConfig
from tonggan.models.state import learned_state

TEXTS = ["a cat sleeps [SEP] here", "a cat", None]
TUNES = ("frozen", "last", "low_rank", "full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny"
    tiny_embedder([*(text for text in TEXTS if text), "[ SEP ]"]).save(path)
    return path


def read(config, **settings):
    return config.prepare(TextConfig(max_tokens=16, **settings)).build()


def build(config):
    encoder = config.build(read(config), dim=8)
    for name, parameter in encoder.named_parameters():
        if "lora_B" in name:  # zero at first, so that nothing reaches what is before it
            torch.nn.init.normal_(parameter, std=0.1)
    return encoder


@pytest.mark.parametrize("tune", TUNES)
def test_contract(folder, tune):
    config = TextPretrainedConfig(weights=str(folder), tune=tune, layers=1)
    check_encoder(config, build, read(config).collate(TEXTS), dim=8)


def test_tokens_are_those_of_the_embedder(folder):
    config = TextPretrainedConfig(weights=str(folder))
    text, embedder = read(config), tiny_embedder([*(text for text in TEXTS if text), "[ SEP ]"])
    arrays = text.collate(TEXTS)
    assert arrays.values[1, arrays.mask[1]].tolist() == embedder.tokenizer.encode("a cat").ids
    encoder = config.build(text, dim=8)
    vector = encoder.trunk(arrays).mean()[1]
    np.testing.assert_allclose(vector / vector.norm(), embedder.embed(["a cat"])[0], atol=1e-6)
    assert not arrays.mask[2].any()
    end = embedder.tokenizer.token_to_id("[SEP]")
    assert arrays.values[0].tolist().count(end) == 1, "what people write is no control token"


@pytest.mark.parametrize("tune", TUNES)
def test_only_what_learns_is_stored(folder, tune):
    encoder = build(TextPretrainedConfig(weights=str(folder), tune=tune, layers=1))
    parts = {".".join(name.split(".")[:4]) for name in learned_state(encoder) if name.startswith("trunk.")}
    if tune == "full":
        assert "trunk.embeddings.word_embeddings.weight" in parts
    else:
        layers = {"frozen": (), "last": (1,), "low_rank": (0, 1)}[tune]
        assert parts == {f"trunk.encoder.layer.{layer}" for layer in layers}
    assert tune != "low_rank" or all(
        "lora" in name or name.startswith(("norm", "projection")) for name in learned_state(encoder)
    )


def count_readings(encoder):
    readings = []
    encoder.trunk.register_forward_hook(lambda _module, arguments, _output: readings.append(len(arguments[0])))
    return readings


def test_a_frozen_trunk_reads_a_text_once_and_alike_in_any_batch(folder):
    config = TextPretrainedConfig(weights=str(folder))
    arrays = read(config).collate([*TEXTS, "a cat"])
    encoder, other = build(config).train(), build(config).train()
    readings = count_readings(encoder)
    first = encoder(arrays).values
    assert readings == [1, 1]
    assert torch.equal(encoder(arrays).values, first)
    assert torch.equal(encoder(arrays.take(torch.tensor([1]))).values[0], first[1])
    assert torch.equal(encoder.eval()(arrays).values, first)
    assert len(readings) == 2
    others = count_readings(other)
    other(arrays)
    assert not others, "encoders of the same weights share what was read"


def test_what_was_read_is_kept_in_training_alone_and_within_bounds(folder, tmp_path, monkeypatch):
    config = TextPretrainedConfig(weights=str(folder))
    arrays = read(config).collate(TEXTS)
    encoder = build(config).eval()
    readings = count_readings(encoder)
    for expected in (2, 4):
        encoder(arrays)
        assert len(readings) == expected
    monkeypatch.setattr("tonggan.encoders.text_pretrained._ROOM", 1)
    encoder.train()
    for expected in (6, 7):  # the first of two texts has filled what room there is
        encoder(arrays)
        assert len(readings) == expected


def test_other_tokens_and_longer_texts_are_refused(folder, tmp_path):
    config = TextPretrainedConfig(weights=str(folder))
    with pytest.raises(ConfigError, match="got a text column in the tokens of a vocabulary of its own"):
        config.build(TextConfig().build(), dim=8)
    with pytest.raises(ConfigError, match=r"got texts of up to 128 tokens, expected at most 64, what"):
        config.build(config.prepare(TextConfig(max_tokens=128)).build(), dim=8)
    with pytest.raises(ConfigError, match="expected 'minilm', 'e5', or a folder"):
        TextPretrainedConfig(weights="nowhere").prepare(TextConfig()).build()
    with pytest.raises(DataError, match=r"got no config\.json"):
        TextPretrainedConfig(weights=str(tmp_path)).prepare(TextConfig()).build()
    with pytest.raises(ValueError, match="one vocabulary"):
        TextConfig(weights="e5", language="smollm2")
    with pytest.raises(ValueError, match="no <mask>"):
        TextConfig(weights="e5", word_dropout=0.1)


def foreign(library, kind):
    """A tiny model of another architecture with random weights."""
    small = {"vocab_size": 400, "max_position_embeddings": 64}
    torch.manual_seed(0)
    if kind == "distilbert":
        return library.DistilBertModel(library.DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64, **small))
    if kind == "t5":
        config = library.T5Config(vocab_size=400, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
        return library.T5Model(config)
    return library.ModernBertModel(
        library.ModernBertConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2, pad_token_id=0, **small
        )
    )


@pytest.mark.parametrize("kind", ["distilbert", "t5", "modernbert"])
@pytest.mark.parametrize("tune", ["frozen", "last", "low_rank"])
def test_contract_of_other_architectures(folder, tmp_path, kind, tune):
    library = pytest.importorskip("transformers", reason="transformers computes it")
    foreign(library, kind).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
    config = TextPretrainedConfig(weights=str(tmp_path), tune=tune, layers=1)
    check_encoder(config, build, read(config).collate(TEXTS), dim=8)


def test_incomplete_and_pickled_weights_of_other_architectures_are_refused(folder, tmp_path):
    library = pytest.importorskip("transformers", reason="transformers computes it")
    model = foreign(library, "distilbert")
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
    config = TextPretrainedConfig(weights=str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    build(config)
    torch.save({"weights": print}, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="expected tensors alone"):
        build(config)
    state = {name: weight for name, weight in model.state_dict().items() if "layer.1" not in name}
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"got no weight .*layer\.1.*expected all weights of its config"):
        build(config)
