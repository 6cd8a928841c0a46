import copy

import pytest
import torch

from small_networks import network
from tonggan.compression.int8 import Int8Encoder, quantize, with_int8
from tonggan.errors import ConfigError, DataError
from tonggan.models.state import learned_state, load_learned_state

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module", params=["audio", "sound"])
def scene(request):
    model, batch = network(request.param)
    whole = copy.deepcopy(model)
    assert quantize(model, [batch.inputs]) == ["x"]
    return whole, model, batch


def test_tokens_are_near_those_of_the_encoder(scene):
    whole, model, batch = scene
    with torch.no_grad():
        expected, found = (each.encode(batch.inputs)["x"] for each in (whole, model))
    assert torch.equal(found.mask, expected.mask)
    near = torch.nn.functional.cosine_similarity(found.values.flatten(1), expected.values.flatten(1))
    assert near.min() > 0.97


def test_absent_rows_cost_and_change_nothing(scene):
    _, model, batch = scene
    arrays = batch.inputs["x"]
    some = arrays.keep(torch.arange(len(batch)) % 2 == 0)
    with torch.no_grad():
        whole, part = (model.encode({"x": each})["x"] for each in (arrays, some))
        none = model.encode({"x": arrays.keep(torch.zeros(len(batch), dtype=torch.bool))})["x"]
    assert not part.mask[1::2].any()
    torch.testing.assert_close(part.values[::2], whole.values[::2])
    assert not none.mask.any()


def test_it_is_stored_and_loaded_as_weights(scene):
    whole, model, batch = scene
    state = learned_state(model)
    other = copy.deepcopy(whole)
    with_int8(other, state)
    load_learned_state(other, state)
    with torch.no_grad():
        torch.testing.assert_close(other(batch.inputs)["outputs"], model(batch.inputs)["outputs"])


def test_a_graph_that_is_none_is_named(scene):
    _, _, batch = scene
    with pytest.raises(DataError, match="a model that ONNX Runtime opens"):
        Int8Encoder(16)(batch.inputs["x"])


def test_nothing_to_gain_is_named():
    model, batch = network("cnn")
    model.encoders[0] = torch.nn.Identity()
    with pytest.raises(ConfigError, match="without a convolution or a product of matrices"):
        quantize(model, [batch.inputs])
