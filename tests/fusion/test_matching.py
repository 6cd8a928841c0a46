"""Tasks that no sum of what each input says can solve: do two inputs match, and what is where the question asks."""

import pytest
import torch
from torch import nn

from tonggan.decoders import LinearHeadConfig, Vector
from tonggan.fusion import AttentionConfig, FiLMConfig, GatedConfig, MLPConfig, SumConfig
from tonggan.tokens import Tokens

DIM = 32
ATTENTION = AttentionConfig(num_latents=2)


class Model(nn.Module):
    """Linear encoders, a fusion and the plain head."""

    def __init__(self, config, widths, *, num_outputs):
        super().__init__()
        self.encoders = nn.ModuleList(nn.Linear(width, DIM) for width in widths)
        self.fusion = config.build(["one", "other"], dim=DIM)
        self.head = LinearHeadConfig().build(DIM, answer=Vector(num_outputs, nn.functional.cross_entropy))

    def forward(self, inputs):
        encoded = [encoder(values) for encoder, values in zip(self.encoders, inputs, strict=True)]
        tokens = [Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool)) for values in encoded]
        return self.head.read(self.fusion({"one": tokens[0], "other": tokens[1]}))


def matching(rows, generator):
    """Two noisy one-hot vectors of 10 classes; the target is whether the classes are the same, half of the time."""
    first = torch.randint(10, (rows,), generator=generator)
    target = torch.randint(2, (rows,), generator=generator)
    shift = torch.randint(1, 10, (rows,), generator=generator)
    second = (first + shift * (1 - target)) % 10
    inputs = [
        nn.functional.one_hot(numbers, 10).float() + 0.2 * torch.randn(rows, 10, generator=generator)
        for numbers in (first, second)
    ]
    return [values.unsqueeze(1) for values in inputs], target


def asking(rows, generator):
    """Five places, each of one of four colors; the other input asks for the color of one place."""
    colors = torch.randint(4, (rows, 5), generator=generator)
    place = torch.randint(5, (rows,), generator=generator)
    places = torch.eye(5).expand(rows, 5, 5)
    picture = torch.cat([nn.functional.one_hot(colors, 4), places], dim=2)
    question = nn.functional.one_hot(place, 5).float().unsqueeze(1)
    picture, question = (part + 0.1 * torch.randn(part.shape, generator=generator) for part in (picture, question))
    return [picture, question], colors[torch.arange(rows), place]


def learned_accuracy(config, task, *, num_outputs, steps):
    """Accuracy on fresh rows after a short training."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    inputs, _ = task(2, generator)
    model = Model(config, [part.shape[2] for part in inputs], num_outputs=num_outputs)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        inputs, target = task(128, generator)
        loss = nn.functional.cross_entropy(model(inputs), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    inputs, target = task(2000, generator)
    with torch.no_grad():
        return float((model.eval()(inputs).argmax(dim=1) == target).float().mean())


@pytest.mark.parametrize(
    "config", [MLPConfig(), ATTENTION, GatedConfig(), FiLMConfig()], ids=lambda config: config.kind
)
def test_matching_is_learned(config):
    assert learned_accuracy(config, matching, num_outputs=2, steps=150) > 0.9


@pytest.mark.parametrize("config", [ATTENTION, FiLMConfig()], ids=lambda config: config.kind)
def test_asking_is_learned_where_tokens_stay_apart(config):
    assert learned_accuracy(config, asking, num_outputs=4, steps=250) > 0.95


def test_a_sum_cannot_learn_either():
    assert learned_accuracy(SumConfig(), matching, num_outputs=2, steps=150) < 0.6
    assert learned_accuracy(SumConfig(), asking, num_outputs=4, steps=150) < 0.6
