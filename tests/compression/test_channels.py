import pytest
import torch
from torch import nn

from small_networks import network
from tonggan.compression.channels import ChannelGraph, channels_of
from tonggan.layers.attention import Attention
from tonggan.layers.transformer import TransformerBlock


def graph_of(module, values, *, mask=None):
    graph = ChannelGraph(module)
    with torch.no_grad(), graph:
        result = module(values) if mask is None else module(values, mask=mask)
    graph.keep([result])
    return graph


def sizes(graph):
    return sorted(len(units) for units in graph.groups())


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.end = nn.Conv2d(6, 2, 1)

    def forward(self, values):
        values = self.stem(values)
        return self.end(torch.relu(values + self.inner(torch.relu(values))))


def test_what_a_residual_connection_adds_up_goes_together():
    graph = graph_of(Residual(), torch.randn(1, 3, 4, 4))
    assert sizes(graph) == [6]  # and the two of the last one are the answer
    units = {use.name: use.units.tolist() for use in graph.resolved() if use.makes}
    assert units["stem.weight"] == units["inner.weight"]


def test_what_is_not_known_keeps_its_channels():
    layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Conv2d(4, 6, 1), nn.ReLU(), nn.Conv2d(6, 2, 1))
    assert sizes(graph_of(layers, torch.randn(1, 3, 4, 4))) == [6]


def test_flattened_channels_are_those_of_each_place():
    layers = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(), nn.Linear(3 * 4, 2))
    graph = graph_of(layers, torch.randn(1, 1, 2, 2))
    (use,) = (use for use in graph.resolved() if use.axis == 1 and use.name == "2.weight")
    first = min(use.units.tolist())
    assert (use.units - first).tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_heads_go_whole():
    attention = Attention(12, num_heads=3)
    graph = graph_of(attention, torch.randn(2, 5, 12), mask=torch.ones(2, 5, dtype=torch.bool))
    assert sizes(graph) == [3]


def test_a_depthwise_convolution_follows_the_one_before():
    layers = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 2, 1))
    assert sizes(graph_of(layers, torch.randn(1, 3, 4, 4))) == [8]


def test_concatenated_channels_stay_their_own():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other, self.end = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1), nn.Conv2d(10, 2, 1)

        def forward(self, values):
            return self.end(torch.cat([self.one(values), self.other(values)], dim=1))

    assert sizes(graph_of(Two(), torch.randn(1, 3, 4, 4))) == [4, 6]


def test_frozen_weights_keep_their_channels():
    layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    layers[0].requires_grad_(False)
    assert sizes(graph_of(layers, torch.randn(1, 3, 4, 4))) == []


@pytest.mark.parametrize("absent", [0, 8])
def test_rows_without_the_input_are_left_out(absent):
    model, batch = network("cnn")
    mask = torch.arange(len(batch)) >= absent
    batch.inputs["x"].mask.copy_(mask)
    assert len(channels_of(model, batch).groups()) >= 3


def test_padding_changes_no_groups():
    class Framed(nn.Module):
        def __init__(self):
            super().__init__()
            self.start, self.block = nn.Linear(3, 12), TransformerBlock(12, num_heads=3, hidden=8)
            self.end = nn.Linear(12, 2)

        def forward(self, values, *, mask):
            return self.end(self.block(self.start(values), mask))

    whole = torch.ones(2, 5, dtype=torch.bool)
    for mask in (whole, whole.tril()):  # of the second three of ten
        graph = graph_of(Framed(), torch.randn(2, 5, 3), mask=mask)
        assert {use.name for use in graph.uses} >= {"block.mlp.0.weight", "end.weight"}
        assert sizes(graph) == [3, 8]
