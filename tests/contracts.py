"""What every part must hold, checked the same way for each: call these from the part's own test."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

import forked
import recommendation_scene
from tonggan.alignment import AlignmentConfig, PairShape
from tonggan.config import Config
from tonggan.decoders import (
    TARGET,
    Context,
    Head,
    HeadConfig,
    Vector,
    default_head,
)
from tonggan.errors import ConfigError, DataError
from tonggan.floor import CannotFitError, Examples, Goal, Member, MemberConfig, Reading, Stored
from tonggan.floor.features import take_rows
from tonggan.language.causal_transformer import CausalTransformer
from tonggan.language.engine import Engine
from tonggan.language.engine_config import EngineConfig
from tonggan.language.pretrained import StoredModel
from tonggan.language.prompt import Prompt
from tonggan.language.settings import GenerationConfig
from tonggan.language.text_model import Capability, TextModel
from tonggan.modalities import Modality, load_modality
from tonggan.models import FusedModel
from tonggan.pretraining import Pretraining, PretrainingConfig
from tonggan.pretraining.base import Draw
from tonggan.recommendation import Histories, ScorerConfig
from tonggan.recommendation.blend import measured
from tonggan.tasks import Task, load_task
from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays, Batch, Masked, Prediction, Tokens
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
    """Gradients reach every parameter that learns and are finite."""
    module.train()
    module.zero_grad()
    values = output()
    # A weighted sum of squares: a plain sum is constant after a normalization.
    (values.pow(2) * torch.linspace(0.5, 1.5, values.numel()).view(values.shape)).sum().backward()
    learning = {name: each for name, each in module.named_parameters() if each.requires_grad}
    assert learning or not list(module.parameters()), "nothing learns"
    for name, parameter in learning.items():
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


class AsTokens(nn.Module):
    """An encoder of arrays that are Tokens already."""

    def forward(self, arrays: Arrays) -> Tokens:
        return Tokens(arrays.values, arrays.mask)


class OnlyInput(nn.Module):
    """The fusion of the only input ``x``: its Tokens as they are."""

    def forward(self, tokens: Mapping[str, Tokens]) -> Tokens:
        return tokens["x"]


def check_task(
    task: Task,
    values: Sequence[Any],
    *,
    perfect: Callable[[Arrays], Prediction],
    head: HeadConfig | None = None,
    of_all_rows: Collection[str] = (),
    encoder: nn.Module | None = None,
    shown: Arrays | None = None,
) -> None:
    """The task contract: targets, what a head learns of them, measure, constant answer, state, config.

    Args:
        task: not fitted yet.
        values: targets that differ.
        perfect: what says targets without a mistake.
        head: answers the task from Tokens alone; None for the default of its answer.
        of_all_rows: as for ``check_measure``.
        encoder: of the input ``x``, for a head that reads more of it than its Tokens.
        shown: the input ``x``, one row for each target, where answers lie in it; squares of the model's size.
    """
    check_config(task.config)
    task.fit(iter(values))
    targets = {TARGET: task.target.collate(values)}
    count = len(values)
    inputs = {"x": _words(count) if shown is None else shown}
    encoders = {"x": encoder or AsTokens()}
    _check_rows_of_targets(task, values)
    best = perfect(targets[TARGET])
    # An answer that is wrong in some rows: that of another row.
    said = best.take(torch.arange(count).roll(1))
    if isinstance(task.answer, Vector):
        said = Prediction({"outputs": torch.randn(count, task.answer.size, generator=torch.Generator().manual_seed(0))})
    built = (head or default_head(type(task.answer))).build(16, answer=task.answer, encoders=encoders)
    _check_learning(
        task, Batch(torch.arange(count), inputs, targets), FusedModel(encoders, fusion=OnlyInput(), head=built)
    )
    measure = task.measure(said, targets)
    each = [torch.tensor([row]) for row in range(count)]
    parts = [task.measure(said.take(row), _rows_of(targets, row)) for row in each]
    check_measure(measure, parts, of_all_rows=of_all_rows)
    _check_words(task, said, Batch(torch.arange(count), inputs, targets))
    right, constant = task.measure(best, targets), task.measure_constant(targets)
    sign = 1 if task.greater_is_better else -1
    assert sign * right.score() > sign * constant.score(), "the constant answer is as good as one without a mistake"
    assert sign * right.score() >= sign * measure.score()
    assert not right.differs(right).any()
    assert right.differs(constant).any()
    task.temperature = 1.5
    other = load_task(type(task.config).parse(task.config.to_dict(), who="task"), json.loads(json.dumps(task.state())))
    assert other.labels == task.labels
    assert other.measure(said, targets).metrics() == task.measure(said, targets).metrics()
    _assert_same_arrays(other.target.collate(values), targets[TARGET])
    _assert_same_prediction(other.constant(3), task.constant(3))
    if isinstance(task.answer, Vector):
        rows = [each.answer.loss(said["outputs"], targets[TARGET].values) for each in (task, other)]
        assert torch.equal(*rows)


def _words(count: int) -> Arrays:
    values = torch.randn(count, 48, 16, generator=torch.Generator().manual_seed(0))
    return Arrays(values, torch.ones(count, 48, dtype=torch.bool))


def _check_rows_of_targets(task: Task, values: Sequence[Any]) -> None:
    """The rows of a target are what each is by itself, but for padding, and all are there that say something."""
    target = task.target.collate(values)
    assert len(target) == len(values)
    for row, value in enumerate(values):
        one, own = task.target.collate([value]), target.take(torch.tensor([row]))
        assert own.present.all() or len(value) == 0
        length = one.mask.shape[-1]
        if one.mask.dim() > 1:
            assert not own.mask[:, length:].any()
            own = Arrays(own.values[:, :length], own.mask[:, :length])
        _assert_same_arrays(one, own)


def _check_learning(task: Task, batch: Batch, model: FusedModel) -> None:
    """The objective learns the mean of the rows' losses, each as the head weighs it; gradients reach everything."""
    count = len(batch.rows)
    objective = Supervised(model, task).eval()
    prediction = objective.predict(batch)
    assert len(prediction) == prediction["loss"].shape[0] == count
    # Of texts each token counts alike, and of boxes each box, so that rows with more of them count more.
    alone = [torch.tensor([row]) for row in range(count)]
    weights = torch.tensor([model.head.weight(_rows_of(batch.targets, row)) for row in alone])
    losses = objective.losses(batch)
    torch.testing.assert_close(sum(losses.values()), (prediction["loss"] * weights).sum() / weights.sum())
    assert objective.weight(batch) == weights.sum()
    check_gradients(model.head, lambda: torch.stack(list(objective.losses(batch).values())))
    assert len(task.measure(prediction.cpu(), batch.targets)) == count


def _check_words(task: Task, said: Prediction, batch: Batch) -> None:
    """What is told of each row, by the program and to a person."""
    constant = task.constant(3)
    assert len(constant) == len(task.decode(constant)) == 3
    assert len({str(answer) for answer in task.decode(constant)}) == 1
    decoded, told = task.decode(said), [answer["prediction"] for answer in task.answers(said)]
    assert len(decoded) == len(told) == len(json.loads(json.dumps(told))) == len(said)
    if not isinstance(decoded[0], np.ndarray):  # which JSON does not hold
        assert told == decoded
    described, true = task.describe(said), task.describe_targets(batch.targets)
    assert len(described) == len(true) == len(said)
    assert all(described)
    assert all(true)
    pairs = task.show(said, batch)
    assert len(pairs) == len(said)
    assert all(cell.content for pair in pairs for cell in pair)
    probabilities = task.probabilities(said)
    assert probabilities is None or probabilities.shape == (len(said), len(task.labels))


def _rows_of(arrays: Mapping[str, Arrays], rows: Tensor) -> dict[str, Arrays]:
    return {name: part.of_rows(rows) for name, part in arrays.items()}


def _assert_same_arrays(one: Arrays, other: Arrays) -> None:
    assert torch.equal(one.values, other.values)
    assert torch.equal(one.mask, other.mask)


def _assert_same_prediction(one: Prediction, other: Prediction, **tolerance: float) -> None:
    """Equal outputs, be they tensors or lists of tensors."""
    assert one.outputs.keys() == other.outputs.keys()
    for name, part in one.outputs.items():
        torch.testing.assert_close(part, other[name], **(tolerance or {"rtol": 0, "atol": 0}), msg=name)


def example_context(*, dim: int = 16, rows: int = 5) -> Context:
    """Fused Tokens as those of ``example_tokens``'s picture, in which the last two rows have nothing."""
    tokens = example_tokens(dim=dim, rows=rows)["picture"]
    return Context(tokens, {"picture": tokens}, {})


def check_head(
    config: HeadConfig,
    build: Callable[[HeadConfig], Head],
    context: Context,
    targets: Mapping[str, Arrays],
    *,
    check: Callable[[nn.Module, Callable[[], Tensor]], None] = check_gradients,
    empty_teaches: bool = False,
) -> None:
    """The head contract: a Prediction of each row by itself, its losses and their weight, absence, gradients, saving.

    Args:
        config: what ``build`` builds the head from.
        build: makes a new head with random weights.
        context: at least three rows, the last of them without a token.
        targets: of these rows; all have one.
        check: of the gradients, where not all parameters learn.
        empty_teaches: whether a target with nothing in it is one, as that of a picture without objects: then no row
            is without a target, and the losses need not be means of rows alike.
    """
    check_config(config)
    torch.manual_seed(0)
    head = build(config).eval()
    assert type(head).__mro__.index(Head) > 0
    assert type(head.answer) is config.gives
    count = len(context.tokens)
    with torch.no_grad():
        plain, prediction = head(context), head(context, targets)
        assert len(plain) == len(prediction) == count
        assert "loss" not in plain
        assert prediction["loss"].shape == (count,)
        _assert_same_prediction(Prediction({name: prediction[name] for name in plain.outputs}), plain)
        assert all(_is_finite(part) for part in prediction.outputs.values()), "a row without a token is not finite"
        if not empty_teaches:
            _check_means(head, context, targets)
            _check_absent_targets(head, context, targets)
        hidden = replace(
            context,
            tokens=scramble_hidden(context.tokens),
            encoded={name: scramble_hidden(part) for name, part in context.encoded.items()},
        )
        _assert_same_prediction(head(hidden, targets), prediction, **TOLERANCE)
        for row in range(count):
            rows = torch.tensor([row])
            single = head(_rows_of_context(context, rows), _rows_of(targets, rows))
            _assert_same_prediction(single, prediction.take(rows), **TOLERANCE)
    check(head, lambda: torch.stack(list(head.losses(context, targets).values())))
    check_save_load(build(config), build(config), lambda module: module(context, targets)["loss"])
    check_needs_no_memory(lambda: build(config))


def _check_means(head: Head, context: Context, targets: Mapping[str, Arrays]) -> None:
    """The losses are the means of the rows' own, each row or each of its tokens counted alike."""
    prediction = head(context, targets)
    weights = prediction["num_tokens"] if "num_tokens" in prediction else targets[TARGET].present.float()
    expected = (prediction["loss"] * weights).sum() / weights.sum().clamp(min=1)
    torch.testing.assert_close(sum(head.losses(context, targets).values()), expected)
    assert 0 <= head.weight(targets) == weights.sum()


def _check_absent_targets(head: Head, context: Context, targets: Mapping[str, Arrays]) -> None:
    """A row without a target counts for nothing, whatever stands in its place; a batch of such rows teaches nothing."""
    count = len(context.tokens)
    kept = torch.arange(count) % 2 == 1
    some = {name: scramble_hidden(part.keep(kept)) for name, part in targets.items()}
    rows = kept.nonzero().squeeze(1)
    own, rest = _rows_of_context(context, rows), _rows_of(targets, rows)
    assert head.weight(some) == head.weight(rest) < head.weight(targets)
    losses, expected = head.losses(context, some), head.losses(own, rest)
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], **TOLERANCE)
    assert not head(context, some)["loss"][~kept].any()
    none = {name: part.keep(torch.zeros(count, dtype=torch.bool)) for name, part in targets.items()}
    assert head.weight(none) == 0
    assert all(loss == 0 for loss in head.losses(context, none).values())


def _rows_of_context(context: Context, rows: Tensor) -> Context:
    encoded = {name: part.take(rows) for name, part in context.encoded.items()}
    return Context(context.tokens.take(rows), encoded, _rows_of(context.inputs, rows))


def _is_finite(part: Any) -> bool:
    return bool(torch.isfinite(part).all()) if isinstance(part, Tensor) else all(map(_is_finite, part))


def check_modality(modality: Modality[Any], name: str, columns: Mapping[str, Sequence[Any]]) -> None:
    """The modality contract: columns to items to Arrays, absence, variation by a seed, state, what a person sees.

    Args:
        modality: not fitted yet.
        name: of the input.
        columns: at least three rows of each column of the input, files decoded; the last has nothing.
    """
    check_config(modality.config)
    modality.learn(name, columns.__getitem__)
    assert list(modality.columns(name)) == list(columns)
    assert set(modality.cells) <= columns.keys()
    items = modality.gather(name, columns.__getitem__)
    count = len(next(iter(columns.values())))
    assert len(items) == count >= 3
    arrays = modality.collate(items)
    assert len(arrays) == count
    assert arrays.present.tolist() == [True] * (count - 1) + [False]
    if modality.cells:
        assert {place for positions in modality.positions for place in positions} == set(range(arrays.mask.shape[1]))
        hidden = modality.hide(arrays, torch.ones(count, dtype=torch.bool), torch.Generator().manual_seed(0))
        assert len(modality.positions) == len(modality.cells)
        for own, *others in modality.positions:
            for mask in (arrays.mask, hidden.mask):
                assert not mask[~mask[:, own]][:, others].any(), "a column is absent, and what depends on it is not"
    _assert_same_arrays(modality.collate([*items[:-1], None]), arrays)
    for row, item in enumerate(items):
        single, own = modality.collate([item]), arrays.take(torch.tensor([row]))
        length = single.mask.shape[-1] if single.mask.dim() > 1 else 1
        assert torch.equal(single.mask, own.mask[:, :length] if own.mask.dim() > 1 else own.mask)
        assert single.mask.sum() == own.mask.sum(), "padding is under a False mask"
        torch.testing.assert_close(single.values[single.mask], own.values[own.mask], rtol=0, atol=0)
    config = type(modality.config).parse(modality.config.to_dict(), who=name)
    _assert_same_arrays(load_modality(config, json.loads(json.dumps(modality.state()))).collate(items), arrays)
    _assert_same_arrays(modality.reading({}).collate(items), arrays)
    _check_variation(modality, arrays)
    for item in items:
        cells = modality.show(name, item)
        assert [cell.name for cell in cells] == list(columns)
    assert all(cell.content is None for cell in modality.show(name, items[-1]))
    assert any(cell.content for cell in modality.show(name, items[0]))


def _check_variation(modality: Modality[Any], arrays: Arrays) -> None:
    """All randomness comes from the generator; nothing appears where nothing was, and what was given stays as it is."""
    values, mask = arrays.values.clone(), arrays.mask.clone()
    rows = torch.arange(len(arrays)) % 2 == 0
    changes: list[Callable[[torch.Generator], Arrays]] = [
        lambda generator: modality.vary(arrays, generator),
        lambda generator: modality.hide(arrays, rows, generator),
    ]
    for change in changes:
        one, same = (change(torch.Generator().manual_seed(3)) for _ in range(2))
        _assert_same_arrays(one, same)
        assert (one.values.dtype, len(one)) == (arrays.values.dtype, len(arrays))
        assert not one.present[-1], "an absent row has become present"
    hidden = modality.hide(arrays, rows, torch.Generator().manual_seed(3))
    _assert_same_arrays(hidden.take(torch.arange(1, len(arrays), 2)), arrays.take(torch.arange(1, len(arrays), 2)))
    assert not (hidden.mask & ~arrays.mask).any()
    assert torch.equal(arrays.values, values)
    assert torch.equal(arrays.mask, mask)


def check_alignment(config: AlignmentConfig, *, dim: int = 8) -> None:
    """The alignment contract: a scalar of pairs in any order, less for true ones; other partners; gradients, saving."""
    check_config(config)
    shape = PairShape(dim, widths=(5, 7), num_labels=3)
    torch.manual_seed(0)
    loss = config.build(shape)
    left = torch.randn(6, dim)
    right = left + 0.1 * torch.randn(6, dim)
    labels = torch.tensor([0, 1, 2, 0, 1, -1])
    features = (torch.randn(6, 5), torch.randn(6, 7))

    def of(one, other, places=slice(None), matches=None):
        own = (features[0][places], features[1][places])
        return loss(one, other, matches=matches, labels=labels[places], features=own)

    found = of(left, right)
    assert found.shape == ()
    assert torch.isfinite(found)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(of(left[order], right[order], order), found)
    own = torch.eye(6, dtype=torch.bool)
    torch.testing.assert_close(of(left, right, matches=own), found)
    if config.compares_pairs:
        assert of(left, right[order]) > found, "true pairs are no better than others"
        twice = left[[0, 0, 2, 3, 4, 5]]
        both = own.clone()
        both[0, 1] = both[1, 0] = True
        assert of(twice, twice, matches=both) <= of(twice, twice) + 1e-5, "another partner is a negative"
    towers = nn.ModuleList([nn.Linear(dim, dim), nn.Linear(dim, dim), loss])
    check_gradients(towers, lambda: of(towers[0](left), towers[1](right)))
    check_save_load(
        config.build(shape),
        config.build(shape),
        lambda module: module(left, right, labels=labels, features=features),
    )
    check_needs_no_memory(lambda: config.build(shape))


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


def _check_passes(engine: Engine, model: CausalTransformer, *, tolerance: float) -> None:
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


def example_rows(form: str, *, rows: int = 240, seed: int = 0) -> tuple[Examples, Goal]:
    """Rows whose cells, vectors and texts each say what is wanted; a tenth of inputs and cells is absent."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, rows)
    names = np.array(["sunny", "rainy", "foggy"])
    cells = np.stack([truth + generator.normal(0, 0.3, rows), generator.normal(size=rows), truth + 1.0], axis=1)
    cells[generator.random(cells.shape) < 0.1] = np.nan
    readings = {
        "table": Reading(np.ones(rows, dtype=bool), cells=cells.astype(np.float32), categories=[0, 0, 4]),
        "photo": Reading(
            generator.random(rows) > 0.1,
            vectors=(np.eye(3, 40)[truth] + generator.normal(0, 0.2, (rows, 40))).astype(np.float32),
        ),
        "note": Reading(
            generator.random(rows) > 0.1,
            texts=np.array([f"a {names[k]} day of {k % 2} 天气{'晴雨雾'[k]}" for k in truth], dtype=object),
        ),
    }
    aims: dict[str, tuple[Any, int]] = {
        "classes": (truth, 3),
        "labels": (np.stack([truth == 0, truth == 2], axis=1).astype(np.float64), 2),
        "numbers": (np.stack([truth - 1.0, 1.0 - truth], axis=1) + generator.normal(0, 0.1, (rows, 2)), 2),
    }
    targets, size = aims[form]
    return Examples(readings, targets, np.ones(rows)), Goal(form, size)  # type: ignore[arg-type]


def check_member(config: MemberConfig) -> None:
    """The contract of members: shapes, absence, rows on their own, save/load elsewhere, seeds, difficult rows."""
    check_config(config)
    assert config.words.english
    assert config.words.chinese
    for form in ("numbers", "labels", "classes"):
        examples, goal = example_rows(form)
        member = config.fit(examples, goal, seed=0, seconds=float("inf"))
        fresh, _ = example_rows(form, seed=1)
        predictions = member.predict(fresh.features)
        _check_predictions(predictions, goal, len(fresh))
        _check_rows_on_their_own(member, fresh, predictions)
        constant = np.eye(3)[examples.targets] if form == "classes" else examples.targets
        wanted = np.eye(3)[fresh.targets] if form == "classes" else fresh.targets
        assert np.square(predictions - wanted).mean() < 0.6 * np.square(constant.mean(0) - wanted).mean(), form
        hidden = {
            name: reading.keep(torch.zeros(len(fresh), dtype=torch.bool)) for name, reading in fresh.features.items()
        }
        doubt = member.predict(hidden)
        assert np.abs(doubt - constant.mean(0)).max() < (0.6 if form == "numbers" else 0.35), (
            f"{form}: sure of rows of which nothing is known"
        )
    again = config.fit(examples, goal, seed=0, seconds=float("inf"))
    np.testing.assert_array_equal(again.predict(fresh.features), predictions)
    _check_fresh_process(config, member, goal, fresh, predictions)
    _check_difficult_rows(config)
    _check_what_is_read(config)


def _check_predictions(predictions: np.ndarray, goal: Goal, rows: int) -> None:
    assert predictions.shape == (rows, goal.size)
    assert np.isfinite(predictions).all()
    if goal.form != "numbers":
        assert (predictions >= 0).all()
        assert (predictions <= 1).all()
    if goal.form == "classes":
        np.testing.assert_allclose(predictions.sum(1), 1, atol=1e-9)


def _check_rows_on_their_own(member: Member, rows: Examples, predictions: np.ndarray) -> None:
    for row in (0, 7, len(rows) - 1):
        single = member.predict(take_rows(rows.features, np.array([row])))
        np.testing.assert_allclose(single, predictions[[row]], atol=1e-6)
    under = {
        name: reading if reading.vectors is None
        else replace(reading, vectors=np.where(reading.present[:, None], reading.vectors, np.float32(7.0)))
        for name, reading in rows.features.items()
    }  # fmt: skip
    np.testing.assert_allclose(member.predict(under), predictions, atol=1e-9)


def _check_what_is_read(config: MemberConfig) -> None:
    examples, goal = example_rows("classes")
    for name, part in (("table", "cells"), ("photo", "vectors"), ("note", "texts")):
        alone = replace(examples, features={name: examples.features[name]})
        if part in config.reads:
            config.fit(alone, goal, seed=0, seconds=30.0)
        else:
            with pytest.raises(CannotFitError):
                config.fit(alone, goal, seed=0, seconds=30.0)


def _check_difficult_rows(config: MemberConfig) -> None:
    for form in ("classes", "numbers"):
        examples, goal = example_rows(form)
        one = np.zeros(40, dtype=np.int64)
        table = examples.features["table"]
        empty = replace(table, cells=np.full_like(table.cells, np.nan), present=np.zeros(len(table), dtype=bool))
        constant = replace(table, cells=np.ones_like(table.cells))
        little = {
            "two rows": Examples(take_rows(examples.features, np.arange(2)), examples.targets[:2], np.ones(2)),
            "one row many times": Examples(take_rows(examples.features, one), examples.targets[one], np.ones(40)),
            "no cells": replace(examples, features={"table": empty}),
            "constant cells": replace(examples, features={"table": constant}),
        }
        for name, rows in little.items():
            for seconds in (0.0, 30.0):
                try:
                    member = config.fit(rows, goal, seed=0, seconds=seconds)
                except CannotFitError:
                    continue
                fresh = {key: examples.features[key] for key in rows.features}
                assert np.isfinite(member.predict(fresh)).all(), name


_PREDICTING = """
import json, pathlib, sys
for name in ["sklearn", "lightgbm", *sys.modules]:
    if name.partition(".")[0] in ("sklearn", "lightgbm"):
        sys.modules[name] = None  # whatever imports it fails
import numpy as np
from safetensors.numpy import load_file
from tonggan.floor import Goal, MemberConfig, Reading, Stored
said = json.loads(pathlib.Path("member.json").read_text())
config = MemberConfig.model_validate(said["config"])
member = config.load(Stored(said["plain"], load_file("member.safetensors")), Goal(said["form"], said["size"]))
held = load_file("rows.safetensors")
features = {}
for name, about in said["inputs"].items():
    parts = {part: held[f"{name}.{part}"] for part in ("present", "vectors", "cells") if f"{name}.{part}" in held}
    texts = None if about["texts"] is None else np.array(about["texts"], dtype=object)
    features[name] = Reading(**parts, texts=texts, categories=about["categories"])
np.save("predictions.npy", member.predict(features))
"""


def _check_fresh_process(
    config: MemberConfig, member: Member, goal: Goal, rows: Examples, predictions: np.ndarray
) -> None:
    stored = member.store()
    inputs = {
        name: {
            "texts": None if reading.texts is None else reading.texts.tolist(),
            "categories": list(reading.categories),
        }
        for name, reading in rows.features.items()
    }
    said = {"config": config.to_dict(), "plain": stored.plain, "form": goal.form, "size": goal.size, "inputs": inputs}
    arrays = {
        f"{name}.{part}": getattr(reading, part)
        for name, reading in rows.features.items()
        for part in ("present", "vectors", "cells")
        if getattr(reading, part) is not None
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "member.json").write_text(json.dumps(said), encoding="utf-8")
        save_file(
            {name: np.ascontiguousarray(array) for name, array in stored.arrays.items()}, f"{folder}/member.safetensors"
        )
        save_file(arrays, f"{folder}/rows.safetensors")
        done = forked.run([sys.executable, "-c", _PREDICTING], cwd=folder)
        assert done.returncode == 0, done.stderr
        np.testing.assert_allclose(np.load(f"{folder}/predictions.npy"), predictions, atol=1e-6)


def check_scorer(config: ScorerConfig) -> None:
    """The contract of a recommender's members: shapes, users on their own, newcomers, seeds, reasons, save and load."""
    check_config(config)
    assert config.words.english
    assert config.words.chinese
    examples, held = recommendation_scene.examples(), recommendation_scene.held()
    variants = config.variants(examples)
    assert variants
    scorer = variants[0].fit(examples, seed=0, seconds=float("inf"), held=held)
    scores = scorer.score(examples.histories)
    assert scores.shape == (len(examples.histories), examples.histories.num_items)
    assert np.isfinite(scores).all()
    some = np.array([7, 3])
    np.testing.assert_allclose(scorer.score(examples.histories.take(some)), scores[some], rtol=1e-5, atol=1e-6)
    newcomers = Histories.of([[], examples.histories[5]], num_items=examples.histories.num_items)
    assert np.isfinite(scorer.score(newcomers)).all()
    if config.is_personal:  # items of the user's own genre come first
        found = measured(scorer.score, held, k=5, popularity=examples.histories.counts()).metrics()
        assert found["hit_rate"] > 0.9, found
        assert np.ptp(scorer.score(newcomers.take(np.array([0])))) < np.ptp(scores)
        added = scorer.contributions(examples.histories[5], held.wanted[5])
        assert added is not None
        assert added.shape == (2, 7)
        assert (added.sum(axis=1) > 0).all()
    again = scorer.config.fit(examples, seed=0, seconds=float("inf"))
    assert again.score(examples.histories).shape == scores.shape
    same = variants[0].fit(examples, seed=0, seconds=float("inf"), held=held)
    np.testing.assert_array_equal(same.score(examples.histories), scores)
    stored = scorer.store()
    plain = json.loads(json.dumps(stored.plain))
    loaded = ScorerConfig.parse(scorer.config.to_dict(), who="stored").load(
        Stored(plain, {name: array.copy() for name, array in stored.arrays.items()})
    )
    np.testing.assert_allclose(loaded.score(examples.histories), scores, rtol=1e-6, atol=1e-9)


def draw(count: int, *, seed: int = 0) -> Draw:
    """Random numbers of so many rows."""
    return Draw(torch.arange(count), seed=seed)


def check_pretraining(
    config: PretrainingConfig, build: Callable[[PretrainingConfig], Pretraining], arrays: Arrays
) -> None:
    """The contract of pretraining: gradients in the encoder, absence, repeatable guesses, one sum of losses.

    Args:
        config: of the objective.
        build: the objective with a small encoder.
        arrays: three rows or more, the last of them absent.
    """
    check_config(config)
    torch.manual_seed(0)
    objective = build(config)
    batch = Batch(torch.arange(len(arrays)), {"input": arrays})
    objective.train()
    losses = objective.losses(batch)
    loss = torch.stack(list(losses.values())).sum()
    assert loss.dim() == 0
    assert torch.isfinite(loss)
    loss.backward()
    reached = [each.grad is not None and bool(each.grad.abs().sum() > 0) for each in objective.encoder.parameters()]
    assert sum(reached) > len(reached) / 2, "the encoder hardly learns"
    objective.eval()
    with torch.no_grad():
        one, other = objective.predict(batch), objective.predict(batch)
        for name in one.outputs:
            assert torch.equal(one[name], other[name]), f"{name} differs from call to call"
        assert float(one["count"][-1]) == 0, "something is guessed of what is absent"
        assert bool((one["count"][:-1] > 0).any()), "nothing is guessed"
        scrambled = objective.predict(Batch(batch.rows, {"input": scramble_hidden(arrays)}))
        torch.testing.assert_close(scrambled["loss"], one["loss"], **TOLERANCE)
        nothing = Batch(batch.rows, {"input": arrays.keep(torch.zeros(len(arrays), dtype=torch.bool))})
        assert float(torch.stack(list(objective.losses(nothing).values())).sum()) == 0
    measure = objective.measure(one, {})
    expected = float((one["loss"] * one["count"]).sum() / one["count"].sum())
    assert measure.metrics()["loss"] == pytest.approx(expected, rel=1e-5)
    assert objective.greater_is_better is False
