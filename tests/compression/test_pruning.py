import pytest
import torch
from torch import nn

from small_networks import NAMES, losses_of, network
from tonggan.compression.channels import channels_of
from tonggan.compression.pruning import prune, shrink
from tonggan.errors import ConfigError
from tonggan.models.state import learned_state, load_learned_state


def halved(name):
    model, batch = network(name)
    prune(model, channels_of(model, batch), [batch], share=0.5, losses=lambda part: losses_of(model, part))
    return model, batch


@pytest.mark.parametrize("name", NAMES)
def test_half_of_the_channels_is_really_gone(name):
    whole, _ = network(name)
    model, batch = halved(name)
    assert model.num_parameters < 0.75 * whole.num_parameters
    model.train()
    sum(losses_of(model, batch).values()).backward()
    assert all(weight.grad is not None for weight in model.encoders.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_the_config_takes_the_sizes_that_were_stored(name):
    model, batch = halved(name)
    other, _ = network(name)
    state = learned_state(model)
    shrink(other, state)
    load_learned_state(other, state)
    with torch.no_grad():
        torch.testing.assert_close(other(batch.inputs)["outputs"], model(batch.inputs)["outputs"])


def test_what_contributes_nothing_goes_first_and_changes_nothing():
    model, batch = network("cnn")
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        dead = torch.arange(norm.num_features) % 2 == 0
        norm.weight.data[dead] = 0
        norm.bias.data[dead] = 0
        norm.running_mean.normal_()
    with torch.no_grad():
        expected = model.encode(batch.inputs)["x"].values
        prune(model, channels_of(model, batch), [batch], share=0.5, losses=lambda part: losses_of(model, part))
        torch.testing.assert_close(model.encode(batch.inputs)["x"].values, expected, rtol=1e-4, atol=1e-5)
    assert all(norm.num_features % 2 == 0 and (norm.weight != 0).all() for norm in norms)


def test_sizes_that_pruning_cannot_leave_are_refused():
    model, _ = network("cnn")
    state = learned_state(model)
    name = next(name for name, tensor in state.items() if tensor.dim() == 4 and name.endswith("weight"))
    for shape in ((1000, *state[name].shape[1:]), (0, *state[name].shape[1:]), (3,)):
        with pytest.raises(ValueError, match="no part of"):
            shrink(model, {**state, name: torch.zeros(shape)})


def test_a_model_without_such_layers_is_named():
    model, batch = network("text")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ConfigError, match="no layer to make narrower in TextTransformer"):
        prune(model, channels_of(model, batch), [batch], share=0.5, losses=lambda part: losses_of(model, part))
