"""What every part must hold, checked the same way for each: call these from the part's own test."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.errors import ConfigError, DataError
from tonggan.language.engine import Engine
from tonggan.language.engine_config import EngineConfig
from tonggan.language.llama import Llama
from tonggan.language.pretrained import StoredModel
from tonggan.language.prompt import Prompt
from tonggan.language.settings import GenerationConfig
from tonggan.language.text_model import Capability, TextModel
from tonggan.tasks import Task, load_task
from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays, Batch, Masked, Tokens
from tonggan.training.supervised import Supervised

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


def check_task(
    task: Task, values: Sequence[Any], *, perfect: Callable[[Tensor], Tensor], of_all_rows: Collection[str] = ()
) -> None:
    """The task contract: shapes, loss and its gradient, measure, baseline, state, config.

    Args:
        task: not fitted yet.
        values: targets that differ.
        perfect: the outputs that say encoded targets without a mistake.
        of_all_rows: as for ``check_measure``.
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
    objective = Supervised(model, task)
    torch.testing.assert_close(objective.losses(batch)["loss"], (rows * weights).sum() / weights.sum())
    assert objective.weight(batch) == weights.sum()
    check_gradients(model, lambda: objective.losses(batch)["loss"])
    assert torch.equal(task.predict(model.eval(), batch), outputs)
    measure = task.measure(outputs, target)
    parts = [task.measure(outputs[row : row + 1], target[row : row + 1]) for row in range(len(values))]
    check_measure(measure, parts, of_all_rows=of_all_rows)
    baseline = task.baseline(target, 3)
    assert baseline.shape == (3, task.num_outputs)
    assert len(task.decode(baseline)) == 3
    assert [answer["prediction"] for answer in task.answers(outputs)] == task.decode(outputs)
    assert task.describe(outputs[0])
    assert task.describe_target(target[0])
    best, constant = task.measure(perfect(target), target), task.measure_constant(baseline[:1], target)
    sign = 1 if task.greater_is_better else -1
    assert sign * best.score() > sign * constant.score(), "the constant answer is as good as one without a mistake"
    assert sign * best.score() >= sign * measure.score()
    assert not best.differs(best).any()
    assert best.differs(constant).any()
    task.temperature = 1.5
    other = load_task(type(task.config).parse(task.config.to_dict(), who="task"), json.loads(json.dumps(task.state())))
    assert other.labels == task.labels
    assert other.measure(outputs, target).metrics() == task.measure(outputs, target).metrics()
    assert torch.equal(other.outputs_loss(outputs, target), task.outputs_loss(outputs, target))
    assert torch.equal(other.encode(values), target)


def check_measure(measure: Measure, rows: Sequence[Measure], *, of_all_rows: Collection[str] = ()) -> None:
    """The contract of measures: whole and in parts, by counts and by rows that stand several times, the worst rows.

    Args:
        measure: of at least three rows.
        rows: that of each of these rows alone.
        of_all_rows: metrics in which rows are weighted by what all rows are, drawn or not.
    """
    count = len(measure)
    assert count == len(rows) >= 3
    metrics = measure.metrics()
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics[measure.score_name] == measure.score()
    assert measure.metrics(np.ones(count)) == metrics, "counts of one change nothing"
    assert measure.metrics(names=[measure.score_name]) == {measure.score_name: measure.score()}
    assert Measure.cat(rows).metrics() == metrics, "batches do not add up to the whole"
    forth = np.random.default_rng(0).permutation(count)
    _assert_equal(measure.take(forth).metrics(), metrics)
    longer = Measure.cat([measure.take(forth), measure.take(forth[:1])])
    _assert_equal(longer.take(np.argsort(forth)).metrics(), metrics)
    counts = np.arange(count) % 3 + 1.0
    several = measure.take(np.repeat(np.arange(count), counts.astype(int)))
    again = several.metrics()
    drawn = {name: value for name, value in measure.metrics(counts).items() if name not in of_all_rows}
    _assert_equal(drawn, {name: again[name] for name in drawn})  # more rows may define more metrics
    assert abs(measure.score(counts) - several.score()) < 1e-9
    badness = measure.badness()
    worst = measure.worst(count)
    assert (np.diff(badness[worst]) <= 0).all()
    assert set(worst.tolist()) == set(np.flatnonzero(badness > 0).tolist())
    assert measure.worst(1).tolist() == worst[:1].tolist()
    assert set(measure.leading) <= {measure.score_name, *metrics}


def _assert_equal(one: Mapping[str, float], other: Mapping[str, float]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert abs(value - other[name]) < 1e-9, name


def check_engine(config: EngineConfig, stored: StoredModel, *, tolerance: float) -> None:
    """The engine contract: what it says it can do it does, and nothing else; weights in memory step by step.

    Args:
        config: of the engine, for a short context.
        stored: a small model with a tokenizer that it can open.
        tolerance: how far, relative to the whole, its hidden states may be from those in float32.
    """
    check_config(config)
    assert config.can_open(stored)
    assert config.obstacle(stored) is None
    text = config.open(stored)
    assert text.capabilities == config.capabilities
    _check_text_model(text)
    model = stored.pretrained.build().eval().requires_grad_(False)
    assert config.can_open(model) == (config.obstacle(model) is None)
    if config.can_open(model):
        with torch.no_grad():
            _check_passes(config.wrap(model), model, tolerance=tolerance)
    else:
        with pytest.raises(ConfigError, match=f"engine {config.kind}"):
            config.wrap(model)


def _check_text_model(model: TextModel) -> None:
    settings = GenerationConfig(max_tokens=6, logprobs=1)
    prompts = [model.prompt(text) for text in ("a", "the cat", "the dog sat")]
    whole = model.generate(prompts, settings)
    for prompt, generation in zip(prompts, whole, strict=True):
        pieces = list(model.stream(prompt, settings))
        assert pieces[-1].finish == generation.finish
        assert "".join(piece.text for piece in pieces) == generation.text
        assert [id_ for piece in pieces for id_ in piece.token_ids] == generation.token_ids
        assert [each.token_id for each in generation.logprobs] == generation.token_ids
    assert all(piece.finish is None for piece in model.stream(prompts[0], settings, cancelled=lambda: True))
    vectors = model.embed(["the cat", "a", "the cat"])
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors[0], vectors[2], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(vectors[0], vectors[1], rtol=1e-2)
    with pytest.raises(DataError, match="tokens"):
        model.generate([Prompt((torch.ones(model.max_length, dtype=torch.int64),))], settings)
    asks: dict[str, Callable[[], object]] = {
        "beams": lambda: model.generate(prompts[:1], GenerationConfig(max_tokens=3, num_beams=2)),
        "lookup": lambda: model.generate(prompts[:1], GenerationConfig(max_tokens=3, lookup=2)),
        "log_probabilities": lambda: model.log_probabilities(prompts[-1]),
        "embeddings": lambda: model.generate([Prompt((torch.zeros(2, vectors.shape[1]),))], settings),
    }
    assert set(asks) == set(get_args(Capability))
    for capability, ask in asks.items():
        if capability in model.capabilities:
            assert ask()
        else:
            with pytest.raises(ConfigError, match=capability):
                ask()


def _check_passes(engine: Engine, model: Llama, *, tolerance: float) -> None:
    """Every way to the same hidden states and logits gives them: at once, in a batch, step by step, going back."""
    ids = torch.randint(3, engine.vocab_size, (3, 9), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([7, 3, 1])
    mask = torch.arange(9) < lengths[:, None]

    def near(found: Tensor, expected: Tensor) -> None:
        assert found.dtype == torch.float32
        assert found.shape == expected.shape
        assert (found.cpu() - expected).norm() <= tolerance * expected.norm()

    values = engine.embed(ids)
    assert values.shape == (*ids.shape, engine.dim)
    expected = model(model.embed(ids), mask=mask)
    hidden = engine.hidden(values, mask=mask)
    near(hidden[mask], expected[mask])
    assert not hidden[~mask].any(), "padding has hidden states"
    full = model.logits(model(model.embed(ids)))
    near(engine.logits(hidden)[mask], full[mask])
    session, rows = engine.session(4, capacity=12), torch.tensor([2, 0, 3])
    assert session.lengths.tolist() == [0, 0, 0, 0]
    near(session.prefill(values, mask=mask, rows=rows), full[torch.arange(3), lengths - 1])
    assert session.lengths.tolist() == [3, 0, 7, 1]
    following = torch.stack([ids[row, length : length + 2] for row, length in enumerate(lengths.tolist())])
    steps = session.step(following, rows=rows)
    near(steps, torch.stack([full[row, length : length + 2] for row, length in enumerate(lengths.tolist())]))
    session.truncate(lengths[:1], rows=rows[:1])
    session.copy(rows[:1], rows=torch.tensor([1]))
    assert session.lengths.tolist() == [5, 7, 7, 3]
    again = session.step(following[:1], rows=torch.tensor([1]))
    near(again, full[:1, 7:9])
    with pytest.raises(AssertionError):
        session.step(ids[:1, :6], rows=torch.tensor([1]))
