"""What every part must hold, checked the same way for each: call these from the part's own test."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.tasks import Task, load_task
from tonggan.tokens import Arrays, Batch, Masked, Tokens

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def assert_same_tokens(actual: Tokens, expected: Tokens) -> None:
    """Equal where real; what lies under a False mask does not matter, nor does padding at the end."""
    length = max(actual.mask.shape[1], expected.mask.shape[1])
    one, other = _padded(actual, length), _padded(expected, length)
    assert torch.equal(one.mask, other.mask)
    hidden = ~one.mask.unsqueeze(-1)
    torch.testing.assert_close(one.values.masked_fill(hidden, 0), other.values.masked_fill(hidden, 0), **TOLERANCE)


def _padded(tokens: Tokens, length: int) -> Tokens:
    missing = length - tokens.mask.shape[1]
    return Tokens(
        nn.functional.pad(tokens.values, (0, 0, 0, missing)), nn.functional.pad(tokens.mask, (0, missing), value=False)
    )


def scramble_hidden(part: Masked) -> Masked:
    """The same with other numbers under the False part of the mask: no result may change."""
    hidden = ~part.mask
    hidden = hidden.view(hidden.shape + (1,) * (part.values.dim() - hidden.dim())).expand_as(part.values)
    other = part.values.flip(0).roll(1, dims=-1)
    if part.values.is_floating_point():
        other = other + 3.7
    return replace(part, values=torch.where(hidden, other, part.values))


def check_config(config: Config) -> None:
    """A config survives the round trip through plain data."""
    assert type(config).parse(config.to_dict(), who="round trip") == config


def check_gradients(module: nn.Module, output: Callable[[], Tensor]) -> None:
    """Gradients reach every parameter and are finite."""
    module.train()
    module.zero_grad()
    values = output()
    # A weighted sum of squares: a plain sum is constant after a normalization.
    (values.pow(2) * torch.linspace(0.5, 1.5, values.numel()).view(values.shape)).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite"
        assert parameter.grad.abs().sum() > 0, f"the gradient of {name} is zero"


def check_encoder(config: Config, build: Callable[[Config], nn.Module], arrays: Arrays, *, dim: int) -> None:
    """The encoder contract: shape, absence, padding and batching invariance, gradients, save/load, config.

    Args:
        config: what ``build`` builds the encoder from.
        build: makes a new encoder with random weights.
        arrays: at least three rows, the last of them absent, lengths ragged where the modality has lengths.
        dim: the width that Tokens must have.
    """
    check_config(config)
    torch.manual_seed(0)
    encoder = build(config)
    encoder.eval()
    with torch.no_grad():
        tokens = encoder(arrays)
        assert tokens.values.shape[0] == len(arrays)
        assert tokens.dim == dim
        assert torch.equal(tokens.present, arrays.present), "a row is present in Tokens where it is not in Arrays"
        assert torch.isfinite(tokens.values).all()
        assert_same_tokens(encoder(scramble_hidden(arrays)), tokens)
        for row in range(len(arrays)):
            single = encoder(arrays.take(torch.tensor([row])))
            assert_same_tokens(single, tokens.take(torch.tensor([row])))
        if arrays.mask.dim() == 2 and arrays.values.dim() == 2 and not _is_table(encoder):
            longer = Arrays(
                nn.functional.pad(arrays.values, (0, 5)), nn.functional.pad(arrays.mask, (0, 5), value=False)
            )
            assert_same_tokens(encoder(longer), tokens)
    check_gradients(encoder, lambda: encoder(arrays).mean())
    check_save_load(build(config), build(config), lambda module: module(arrays).mean())
    check_needs_no_memory(lambda: build(config))


def _is_table(encoder: nn.Module) -> bool:
    return bool(getattr(encoder, "fixed_length", False))


def check_needs_no_memory(build: Callable[[], nn.Module]) -> None:
    """``build`` works without values, as a bundle's shapes are checked before memory is taken for them."""
    shapes = [weight.shape for weight in build().state_dict().values()]
    with torch.device("meta"):
        assert [weight.shape for weight in build().state_dict().values()] == shapes


def check_save_load(one: nn.Module, other: nn.Module, output: Callable[[nn.Module], Tensor]) -> None:
    """Weights saved from ``one`` and loaded into ``other`` give the same numbers."""
    import tempfile
    from pathlib import Path

    one.eval()
    other.eval()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "weights.safetensors")
        save_model(one, path)
        load_model(other, path)
    with torch.no_grad():
        torch.testing.assert_close(output(other), output(one), rtol=0, atol=0)


def example_tokens(*, dim: int = 16, rows: int = 5, seed: int = 0) -> dict[str, Tokens]:
    """Three inputs of different lengths; row 1 lacks ``sound``, row -2 has nothing else, row -1 has nothing."""
    generator = torch.Generator().manual_seed(seed)
    tokens = {}
    for name, length in {"picture": 4, "words": 6, "sound": 1}.items():
        mask = torch.rand(rows, length, generator=generator) > 0.3
        mask[:, 0] = True
        mask[-1] = False
        mask[1 if name == "sound" else -2] = False
        tokens[name] = Tokens(torch.randn(rows, length, dim, generator=generator), mask)
    return tokens


def check_fusion(config: Config, build: Callable[[Config], nn.Module], *, dim: int = 16) -> None:
    """The fusion contract: every presence pattern, what is hidden does not matter, batching, gradients, save/load.

    ``build(config)`` must give a fusion of the inputs ``picture``, ``words`` and ``sound`` at width ``dim``.
    """
    check_config(config)
    torch.manual_seed(0)
    fusion = build(config)
    fusion.eval()
    tokens = example_tokens(dim=dim)
    with torch.no_grad():
        fused = fusion(tokens)
        assert fused.dim == dim
        assert torch.isfinite(fused.values).all()
        assert not fused.present[-1], "a row with no modality must be absent after fusion too"
        assert fused.present[:-1].all()
        assert_same_tokens(fusion({name: scramble_hidden(part) for name, part in tokens.items()}), fused)
        for row in range(len(fused)):
            single = fusion({name: part.take(torch.tensor([row])) for name, part in tokens.items()})
            assert_same_tokens(single, fused.take(torch.tensor([row])))
        _check_subsets(fusion, tokens)
    # Each input is absent in some row that has another, so parameters for its absence get a gradient too.
    check_gradients(fusion, lambda: fusion(tokens).mean())
    check_save_load(build(config), build(config), lambda module: module(tokens).mean())
    check_needs_no_memory(lambda: build(config))


def _check_subsets(fusion: nn.Module, tokens: Mapping[str, Tokens]) -> None:
    names = list(tokens)
    outputs = []
    for pattern in range(2 ** len(names)):
        kept = {
            name: part.keep(torch.full((len(part),), bool(pattern >> index & 1)))
            for index, (name, part) in enumerate(tokens.items())
        }
        fused = fusion(kept)
        assert torch.isfinite(fused.values).all()
        expected = torch.stack([part.present for part in kept.values()]).any(dim=0)
        assert torch.equal(fused.present, expected)
        outputs.append(fused.mean()[0])
    for index in range(1, len(outputs)):
        assert not torch.allclose(outputs[0], outputs[index]), "a present modality changes nothing"


class ConstantModel(nn.Module):
    """A model whose outputs are its one parameter, whatever the input."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = nn.Parameter(outputs)

    def forward(self, _inputs: Mapping[str, Arrays]) -> Tensor:
        return self.outputs


class ConstantWriter(nn.Module):
    """A model whose losses are its one parameter, and whose texts are given."""

    def __init__(self, losses: Tensor, outputs: Tensor) -> None:
        super().__init__()
        self.losses = nn.Parameter(losses)
        self.outputs = outputs

    def forward(self, _inputs: Mapping[str, Arrays], target: Tensor | None = None) -> Tensor:
        return self.losses if self.training and target is not None else self.outputs.clone()


def check_task(task: Task, values: Sequence[Any]) -> None:
    """The task contract: shapes, loss and its gradient, score among the metrics, baseline, state, config.

    ``task`` is not fitted yet; ``values`` are targets among which there is something to tell apart.
    """
    check_config(task.config)
    task.fit(iter(values))
    target = task.encode(values)
    if task.text is None:
        outputs = torch.randn(len(values), task.num_outputs, generator=torch.Generator().manual_seed(0))
        model: nn.Module = ConstantModel(outputs)
    else:
        losses = torch.stack([torch.linspace(1, 2, len(values)), (target >= 0).sum(dim=1).float()], dim=1)
        outputs = task.text.outputs(target.roll(1, dims=0), losses=losses)
        model = ConstantWriter(losses, outputs)
    batch = Batch(torch.arange(len(values)), {}, target)
    rows = task.outputs_loss(outputs, target)
    assert rows.shape == (len(values),)
    # Of texts each token counts alike, so longer ones count more.
    weights = torch.ones(len(values)) if task.text is None else outputs[:, 1]
    torch.testing.assert_close(task.loss(model, batch), (rows * weights).sum() / weights.sum())
    check_gradients(model, lambda: task.loss(model, batch))
    assert torch.equal(task.predict(model.eval(), batch), outputs)
    metrics = task.metrics(outputs, target)
    assert abs(metrics[task.score_name] - task.score(outputs, target)) < 1e-6
    baseline = task.baseline(target, 3)
    assert baseline.shape == (3, task.num_outputs)
    assert len(task.decode(baseline)) == 3
    assert task.describe(outputs[0])
    task.temperature = 1.5
    other = load_task(type(task.config).parse(task.config.to_dict(), who="task"), json.loads(json.dumps(task.state())))
    assert other.labels == task.labels
    assert other.metrics(outputs, target) == task.metrics(outputs, target)
    assert torch.equal(other.outputs_loss(outputs, target), task.outputs_loss(outputs, target))
    assert torch.equal(other.encode(values), target)
