import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tonggan.errors import ConfigError, DataError
from tonggan.language.checkpoint_folder import CheckpointFolder


def save(folder, *, tied=False, **options):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
    )
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(folder, **options)
    return model


@pytest.mark.parametrize("options", [{}, {"max_shard_size": "5KB"}, {"tied": True}])
def test_folders_of_transformers(tmp_path, options):
    model = save(tmp_path, **options)
    folder = CheckpointFolder(tmp_path)
    assert (len(folder.files) > 1) == ("max_shard_size" in options)
    state = {name: weight for name, weight in model.state_dict().items() if "tied" not in options or "head" not in name}
    own = folder.config.build()
    own.load_state_dict({name: folder.read(name) for name in state})
    ids = torch.arange(10)[None]
    torch.testing.assert_close(own.logits(own(own.embed(ids))), model(ids).logits, rtol=0, atol=1e-4)


def test_a_second_copy_of_tied_embeddings_is_left_out(tmp_path):
    save(tmp_path, tied=True)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    save_file(state | {"lm_head.weight": state["model.embed_tokens.weight"].clone()}, file)
    folder = CheckpointFolder(tmp_path)
    assert folder.config.tie_word_embeddings
    with pytest.raises(KeyError):
        folder.read("lm_head.weight")


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(DataError, match=r"got no config.json, expected a model in Hugging Face's layout"):
        CheckpointFolder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigError, match=r"config.json: got model_type 'bert'"):
        CheckpointFolder(tmp_path)


def test_pickled_weights_are_not_opened(tmp_path):
    save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(DataError, match="got no weights, expected"):
        CheckpointFolder(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"pytorch_model.bin, which can run any program .*safe_serialization=True"):
        CheckpointFolder(tmp_path)


def test_missing_and_damaged_files(tmp_path):
    save(tmp_path, max_shard_size="5KB")
    shard = sorted(tmp_path.glob("*.safetensors"))[1]
    content = shard.read_bytes()
    shard.write_bytes(content[:-10])
    with pytest.raises(DataError, match=f"{shard.name}: .* expected weights in safetensors"):
        CheckpointFolder(tmp_path)
    shard.unlink()
    with pytest.raises(DataError, match=f"got no file {shard.name}, expected it, as model.safetensors.index.json says"):
        CheckpointFolder(tmp_path)


def test_weights_that_do_not_fit_the_config(tmp_path):
    save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 51}))
    with pytest.raises(DataError, match=r"of shape \(50, 16\), expected shape \(51, 16\)"):
        CheckpointFolder(tmp_path)
