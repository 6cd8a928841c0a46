import json
import shutil

import numpy as np
import pytest
import torch

from embedder_scene import tiny_embedder
from tonggan.encoders.bert import Bert
from tonggan.errors import ConfigError, DataError
from tonggan.weights.text import open_text_weights

TEXTS = ["a cat", "解析 date"]


@pytest.fixture
def folder(tmp_path):
    tiny_embedder(TEXTS).save(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path, folder):
    with pytest.raises(ConfigError, match="which is no folder, expected 'minilm', 'e5'"):
        open_text_weights("nowhere")
    with pytest.raises(DataError, match=r"got no config\.json"):
        open_text_weights(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"got no weights, expected model\.safetensors"):
        open_text_weights(folder).tensors()


def test_a_pickle_is_read_only_where_it_holds_tensors_alone(folder):
    weights = open_text_weights(folder).tensors()
    (folder / "model.safetensors").unlink()
    torch.save({f"bert.{name}": weight for name, weight in weights.items()}, folder / "pytorch_model.bin")
    read = open_text_weights(folder).tensors()
    assert all(torch.equal(read[name], weight) for name, weight in weights.items())
    torch.save({"weights": shutil.copy}, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pytorch_model\.bin: .*expected tensors alone"):
        open_text_weights(folder).tensors()


def test_weights_in_parts_are_one(folder):
    from safetensors.torch import save_file

    weights = open_text_weights(folder).tensors()
    names = sorted(weights)
    (folder / "model.safetensors").unlink()
    for part, of in enumerate((names[:5], names[5:])):
        save_file({name: weights[name] for name in of}, folder / f"model-{part}.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}")
    read = open_text_weights(folder).tensors()
    assert all(torch.equal(read[name], weights[name]) for name in names)


def test_the_digest_is_of_the_weights(folder):
    first = open_text_weights(folder).sha256
    assert open_text_weights(folder).sha256 == first
    weights = tiny_embedder(TEXTS, seed=1)
    shutil.rmtree(folder)
    weights.save(folder)
    assert open_text_weights(folder).sha256 != first


def test_roberta_is_bert_whose_positions_begin_later(folder):
    library = pytest.importorskip("transformers", reason="transformers is the reference")
    torch.manual_seed(0)
    config = library.XLMRobertaConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=20, type_vocab_size=1, pad_token_id=1,
    )  # fmt: skip
    model = library.XLMRobertaModel(config, add_pooling_layer=False).eval()
    model.save_pretrained(folder)
    weights = open_text_weights(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "xlm-roberta"
    encoder = Bert.read(weights).eval()
    assert encoder.config.max_tokens == 18
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 1, 1]])
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    from tonggan.tokens import Arrays

    with torch.no_grad():
        expected = model(ids, attention_mask=mask.long()).last_hidden_state
        found = encoder(Arrays(ids, mask)).values
    np.testing.assert_allclose(found[mask], expected[mask], atol=1e-5)
    assert encoder.config.from_hugging_face(encoder.config.to_hugging_face()) == encoder.config
