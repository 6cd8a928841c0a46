import itertools

import pytest
import torch
from torch import nn

from contracts import check_gradients, check_save_load, example_tokens
from tonggan.decoders import LinearHeadConfig, Vector
from tonggan.fusion import FiLMConfig, SumConfig
from tonggan.models.fused import FusedModel, drop_modalities
from tonggan.tokens import Arrays, Tokens

NAMES = ["picture", "words", "sound"]


class Encoder(nn.Module):
    """A linear map of every number of the arrays to a token."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 16)

    def forward(self, arrays):
        return Tokens(self.linear(arrays.values.unsqueeze(-1)), arrays.mask)


def numbers(size):
    return Vector(size, lambda outputs, target: (outputs - target).square().mean(dim=1))


def build(modality_dropout=0.0):
    fusion = FiLMConfig().build(NAMES, dim=16)
    head = LinearHeadConfig().build(16, answer=numbers(3))
    encoders = {name: Encoder() for name in NAMES}
    return FusedModel(encoders, fusion=fusion, head=head, modality_dropout=modality_dropout)


def outputs_of(model, inputs):
    return model(inputs)["outputs"]


def example_inputs():
    """The values and masks of ``example_tokens``, one number for each token."""
    return {name: Arrays(part.values[:, :, 0], part.mask) for name, part in example_tokens().items()}


def test_dropout_never_takes_everything_and_never_adds():
    tokens = example_tokens(rows=2000)
    before = torch.stack([part.present for part in tokens.values()], dim=1)
    torch.manual_seed(0)
    dropped = drop_modalities(tokens, 0.9)
    after = torch.stack([part.present for part in dropped.values()], dim=1)
    assert not (after & ~before).any()
    assert torch.equal(after.any(dim=1), before.any(dim=1))
    assert (after.sum(dim=1) < before.sum(dim=1)).any()
    for name, part in tokens.items():
        kept = dropped[name]
        assert torch.equal(kept.mask, part.mask & kept.present.unsqueeze(1)), "a present input keeps all of its tokens"


def test_dropout_hides_at_the_rate_that_was_asked_for():
    rows = 20_000
    tokens = {name: Tokens(torch.zeros(rows, 1, 1), torch.ones(rows, 1, dtype=torch.bool)) for name in ("one", "other")}
    torch.manual_seed(0)
    dropped = drop_modalities(tokens, 0.3)
    # Of two inputs one is hidden with chance 0.3 * 0.7; where both would be (0.09), both stay.
    assert float((~dropped["one"].present).float().mean()) == pytest.approx(0.21, abs=0.01)
    assert drop_modalities(tokens, 0.0)["one"].present.all()


def test_dropout_is_for_training_and_repeats_under_its_seed():
    torch.manual_seed(0)
    model, inputs = build(modality_dropout=0.5), example_inputs()
    torch.manual_seed(1)
    first, second = outputs_of(model, inputs), outputs_of(model, inputs)
    torch.manual_seed(1)
    assert torch.equal(outputs_of(model, inputs), first)
    assert not torch.equal(first, second)
    model.eval()
    assert torch.equal(outputs_of(model, inputs), outputs_of(model, inputs))


def test_every_subset_is_defined_and_different():
    torch.manual_seed(0)
    model, inputs = build().eval(), example_inputs()
    outputs = []
    for pattern in itertools.product([False, True], repeat=3):
        kept = {name: inputs[name].keep(torch.full((5,), keep)) for name, keep in zip(NAMES, pattern, strict=True)}
        outputs.append(outputs_of(model, kept)[0])
        assert outputs_of(model, kept).shape == (5, 3)
    assert torch.isfinite(torch.stack(outputs)).all()
    for one, other in itertools.combinations(outputs, 2):
        assert not torch.allclose(one, other)


def test_parts_compose_to_the_whole():
    torch.manual_seed(0)
    model, inputs = build().eval(), example_inputs()
    tokens = model.encode(inputs)
    fused, context = model.fuse(tokens), model.context(tokens, inputs)
    torch.testing.assert_close(context.tokens.values, fused.values)
    assert torch.equal(context.tokens.mask, fused.mask)
    assert context.encoded is tokens
    assert context.inputs is inputs
    torch.testing.assert_close(model.head(context)["outputs"], outputs_of(model, inputs))
    assert model.embed(inputs).shape == (5, 16)
    torch.testing.assert_close(model.embed(inputs), fused.mean())
    assert not model.embed(inputs)[-1].any(), "a row without any input embeds as zeros"


def test_gradients_and_saved_weights():
    inputs = example_inputs()
    model = build()
    check_gradients(model, lambda: outputs_of(model, inputs))
    check_save_load(build(), build(), lambda other: outputs_of(other, inputs))


def test_names_of_columns_may_hold_any_character():
    encoders = {"the picture.path": Encoder(), "价格": Encoder()}
    fusion = SumConfig().build(list(encoders), dim=16)
    model = FusedModel(encoders, fusion=fusion, head=LinearHeadConfig().build(16, answer=numbers(1)))
    arrays = Arrays(torch.randn(2, 3), torch.ones(2, 3, dtype=torch.bool))
    assert outputs_of(model, {"the picture.path": arrays, "价格": arrays}).shape == (2, 1)


def test_what_rows_share_is_encoded_once_and_predicts_the_same():
    torch.manual_seed(0)

    class Counting(nn.Module):
        rows = 0

        def forward(self, arrays):
            self.rows += len(arrays)
            return Tokens(arrays.values, arrays.mask)

    encoder = Counting()
    head = LinearHeadConfig().build(8, answer=numbers(2))
    model = FusedModel({"one": encoder}, fusion=SumConfig().build(("one",), dim=8), head=head)
    shared = Arrays(torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool), torch.tensor([0, 1, 0, 0]))
    once = outputs_of(model, {"one": shared})
    assert encoder.rows == 2
    torch.testing.assert_close(once, outputs_of(model, {"one": shared.expand()}))
