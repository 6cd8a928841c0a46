import copy

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from architecture_scene import KINDS, own, random_ids, reference
from generation_scene import engine
from tonggan.language.low_rank import LowRankLinear, add_adapters, merge_adapters

MAPS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapted(*, dropout=0.0, dtype=torch.float32):
    """A tiny Llama with adapters that change something, and the same with peft's."""
    own = copy.deepcopy(engine().model).to(dtype).requires_grad_(False)
    other = inject_adapter_in_model(
        LoraConfig(r=4, lora_alpha=8, lora_dropout=dropout, target_modules=MAPS), copy.deepcopy(own)
    )
    add_adapters(own, rank=4, dropout=dropout)
    torch.manual_seed(0)
    for parameter in own.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1)
    for name, parameter in other.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    other.load_state_dict(own.state_dict(), strict=True)
    return own, other


def outputs_and_gradients(model, values):
    values = values.clone().requires_grad_()
    hidden = model(values, mask=torch.ones(values.shape[:2], dtype=torch.bool))
    weights = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))
    (hidden.float() * weights).sum().backward()
    learned = {name: each.grad for name, each in model.named_parameters() if each.requires_grad}
    return {"hidden": hidden.detach(), "values": values.grad, **learned}


def test_outputs_and_gradients_are_those_of_peft():
    own, other = adapted()
    values = torch.randn(2, 7, own.config.hidden_size, generator=torch.Generator().manual_seed(1))
    found, expected = outputs_and_gradients(own, values), outputs_and_gradients(other, values)
    assert found.keys() == expected.keys()
    assert sum("lora_" in name for name in found) == 2 * len(MAPS) * own.config.num_hidden_layers
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert distance(found[name], tensor) < 1e-5, name


def test_in_half_precision_they_are_as_near_to_the_truth_as_those_of_peft():
    own, other = adapted(dtype=torch.bfloat16)
    values = torch.randn(2, 7, own.config.hidden_size, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = outputs_and_gradients(own, values), outputs_and_gradients(other, values)
    truth = outputs_and_gradients(own.float(), values)
    assert found.keys() == expected.keys() == truth.keys()
    errors = [(distance(found[name], truth[name]), distance(expected[name], truth[name])) for name in truth]
    own_errors, other_errors = zip(*errors, strict=True)
    assert all(found[name].dtype == expected[name].dtype for name in truth)
    assert max(own_errors) < 0.2
    assert sum(own_errors) < 1.1 * sum(other_errors)


def distance(one, other):
    return float((one.float() - other.float()).norm() / other.float().norm())


def test_dropout_drops_what_the_adapter_reads_in_training_alone():
    own, _ = adapted(dropout=0.5)
    linear = own.model.layers[0].mlp.up_proj
    values = torch.randn(64, linear.base_layer.in_features).requires_grad_()
    whole = linear.eval()(values)
    torch.testing.assert_close(whole, linear(values))
    torch.manual_seed(3)
    dropped = linear.train()(values)
    torch.manual_seed(3)
    read = nn.functional.dropout(values, 0.5)
    expected = linear.base_layer(values) + 2 * read @ linear.down.T @ linear.up.T
    torch.testing.assert_close(dropped, expected, atol=1e-5, rtol=1e-5)
    mine = torch.autograd.grad(dropped.square().sum(), [values, linear.down, linear.up])
    theirs = torch.autograd.grad(expected.square().sum(), [values, linear.down, linear.up])
    for one, two in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-4)


def test_a_bias_and_one_row_are_welcome():
    linear = LowRankLinear(nn.Linear(8, 6).requires_grad_(False), rank=2, dropout=0.0)
    nn.init.normal_(linear.up)
    values = torch.randn(8)
    expected = linear.base_layer(values) + values @ linear.delta().T
    torch.testing.assert_close(linear(values), expected)


def test_new_adapters_change_nothing_and_merged_ones_compute_the_same():
    plain = copy.deepcopy(engine().model)
    values = torch.randn(1, 5, plain.config.hidden_size)
    fresh = copy.deepcopy(plain).requires_grad_(False)
    add_adapters(fresh, rank=2)
    torch.testing.assert_close(fresh(values), plain(values))
    own, _ = adapted()
    merged = merge_adapters(own)
    assert merged.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(merged(values), own(values), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_of_every_architecture_are_those_of_peft_on_transformers(kind):
    """On models with biases, with tied embeddings, and with a window that is shorter than the rows."""
    model = own(kind).requires_grad_(False)
    add_adapters(model, rank=4)
    settings = LoraConfig(r=4, lora_alpha=8, target_modules=MAPS)
    other = inject_adapter_in_model(settings, copy.deepcopy(reference(kind)).requires_grad_(False))
    torch.manual_seed(0)
    adapters = {name: each for name, each in model.named_parameters() if each.requires_grad}
    for parameter in adapters.values():
        nn.init.normal_(parameter.requires_grad_(False), std=0.1).requires_grad_(True)
    assert not other.load_state_dict(adapters, strict=False).unexpected_keys
    ids = random_ids(2, 15)
    logits, expected = model.logits(model(model.embed(ids))), other(ids).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=2e-4)
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    for found in (logits, expected):
        (found * weights).sum().backward()
    gradients = dict(other.named_parameters())
    for name, parameter in adapters.items():
        assert distance(parameter.grad, gradients[name].grad) < 1e-4, name
    merged = merge_adapters(model)
    assert merged.state_dict().keys() == own(kind).state_dict().keys()
    torch.testing.assert_close(merged.logits(merged(merged.embed(ids))), expected, rtol=0, atol=2e-4)
