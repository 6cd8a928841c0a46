"""How much of a pretrained trunk learns, and how fast, by hand."""

from typing import Literal

import pytest
import torch
from torch import nn

from tonggan.encoders.pretrained import PretrainedConfig, PretrainedEncoder
from tonggan.models.state import learned_state


class Config(PretrainedConfig):
    reads = "text"
    kind: Literal["example"]

    def build(self, modality, *, dim):
        raise NotImplementedError


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(4, 4)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)) for _ in range(3))
        self.norm = nn.LayerNorm(4)


class Encoder(PretrainedEncoder):
    def __init__(self, config):
        trunk = Trunk()
        super().__init__(config, trunk, blocks=list(trunk.blocks))
        self.projection = nn.Linear(4, 2)


def build(**settings):
    return Encoder(Config(kind="example", weights="none", **settings))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"tune": "frozen"}, set()),
        ({"tune": "last", "layers": 1}, {"trunk.blocks.2.0", "trunk.norm"}),
        ({"tune": "last", "layers": 3}, {"trunk.blocks.0.0", "trunk.blocks.1.0", "trunk.blocks.2.0", "trunk.norm"}),
        ({"tune": "low_rank"}, {f"trunk.blocks.{block}.0.lora_{part}.default" for block in range(3) for part in "AB"}),
        ({"tune": "full"}, {"trunk.stem", "trunk.norm", *(f"trunk.blocks.{block}.0" for block in range(3))}),
    ],
)
def test_what_learns_is_what_is_stored_and_in_training_mode(settings, expected):
    encoder = build(**settings).train()
    learning = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert {name.rpartition(".")[0] for name in learning} == expected | {"projection"}
    assert set(learned_state(encoder)) == learning
    assert set(encoder.learning_rate_scales) == {name for name in learning if name.startswith("trunk.")}
    drops = [block[1].training for block in encoder.trunk.blocks]
    assert drops == {"frozen": [False] * 3, "low_rank": [False] * 3, "full": [True] * 3}.get(
        settings["tune"], [settings.get("layers") == 3] * 2 + [True]
    )
    assert not any(block[1].training for block in encoder.eval().trunk.blocks)


def test_each_block_learns_slower_than_the_one_above_it():
    scales = build(tune="full", trunk_rate=0.1, layer_decay=0.5).learning_rate_scales
    places = {"trunk.norm": 1, "trunk.blocks.2.0": 0.5, "trunk.blocks.0.0": 0.125, "trunk.stem": 0.0625}
    assert {place: scales[f"{place}.weight"] for place in places} == pytest.approx(
        {place: 0.1 * scale for place, scale in places.items()}
    )


def test_adapters_learn_as_new_weights_do():
    scales = build(tune="low_rank", trunk_rate=0.1, layer_decay=0.5, rank=3).learning_rate_scales
    assert scales["trunk.blocks.2.0.lora_A.default.weight"] == 0.5
    assert scales["trunk.blocks.1.0.lora_B.default.weight"] == 0.25


def test_adapters_change_nothing_at_first():
    torch.manual_seed(0)
    plain = build(tune="frozen")
    torch.manual_seed(0)
    adapted = build(tune="low_rank")
    values = torch.randn(2, 4)
    torch.testing.assert_close(adapted.trunk.blocks[0][0](values), plain.trunk.blocks[0][0](values))
