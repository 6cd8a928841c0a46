import pytest
import torch
from torch.nn import functional as F

from contracts import check_head, example_context, example_tokens
from tonggan.decoders import TARGET, Context, LinearHeadConfig, Vector, default_head
from tonggan.tasks import BinaryConfig, MulticlassConfig, RegressConfig, TagConfig
from tonggan.tokens import Arrays, Tokens


def row_losses(outputs, target):
    return F.mse_loss(outputs, target, reduction="none").mean(dim=1)


ANSWER = Vector(3, row_losses)
TARGETS = {TARGET: Arrays.whole(torch.arange(15.0).view(5, 3) / 10)}


def build(config, answer=ANSWER):
    return config.build(16, answer=answer)


@pytest.mark.parametrize("config", [LinearHeadConfig(), LinearHeadConfig(hidden=8, dropout=0.1)])
def test_contract(config):
    check_head(config, build, example_context(), TARGETS)
    context = example_context()
    head = build(config).eval()
    with torch.no_grad():
        outputs = head(context)["outputs"]
        assert outputs.shape == (5, 3)
        torch.testing.assert_close(outputs[-1], outputs[-2])  # both absent


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (BinaryConfig(), ["no", "yes", "no", "no", "yes"]),
        (MulticlassConfig(class_weights="balanced", label_smoothing=0.1), ["a", "b", "c", "a", "a"]),
        (TagConfig(focal_gamma=2.0), ["a", "a|b", "|", "b", "c"]),
        (RegressConfig(loss="huber"), [{"x": 1, "y": 2}, {"x": 2, "y": 0}, {"x": 3, "y": 9}] + [{"x": 0, "y": 0}] * 2),
    ],
)
def test_contract_with_every_task_of_vectors(config, values):
    task = config.build()
    task.fit(values)
    targets = {TARGET: task.target.collate(values)}
    check_head(LinearHeadConfig(), lambda config: build(config, task.answer), example_context(), targets)


def test_against_torch():
    tokens = example_tokens()["picture"].take(torch.tensor([0]))
    head = LinearHeadConfig().build(16, answer=ANSWER).eval()
    pooled = F.layer_norm(tokens.values[tokens.mask].mean(dim=0), (16,))
    linear = head.layers[0]
    expected = pooled @ linear.weight.T + linear.bias
    prediction = head(Context(tokens, {}, {}), {TARGET: TARGETS[TARGET].take(torch.tensor([1]))})
    torch.testing.assert_close(prediction["outputs"][0], expected)
    torch.testing.assert_close(prediction["loss"][0], (expected - torch.tensor([0.3, 0.4, 0.5])).square().mean())


def test_a_row_without_a_target_counts_for_nothing():
    """Neither in the loss, nor in its weight, nor in a gradient; not even where its place holds no number."""
    context, kept = example_context(), torch.tensor([True, False, True, True, False])
    head = build(LinearHeadConfig()).eval()
    values = TARGETS[TARGET].values.masked_fill(~kept.unsqueeze(1), float("nan"))
    some = {TARGET: Arrays(values, kept)}
    loss = head.losses(context, some)["loss"]
    rows = head(context, TARGETS)["loss"]
    torch.testing.assert_close(loss, rows[kept].mean())
    assert head(context, some)["loss"].tolist() == rows.masked_fill(~kept, 0).tolist()
    assert head.weight(some) == 3
    loss.backward()
    own = head.layers[0].weight.grad.clone()
    head.zero_grad()
    row_losses(head.read(context.tokens)[kept], TARGETS[TARGET].values[kept]).mean().backward()
    torch.testing.assert_close(own, head.layers[0].weight.grad)


def test_the_class_of_a_row_without_one_may_be_any_number():
    task = MulticlassConfig().build()
    task.fit(["a", "b", "c"])
    head = build(LinearHeadConfig(), task.answer).eval()
    kept = torch.tensor([True, True, False, True, False])
    targets = {TARGET: Arrays(torch.tensor([0, 1, -1, 2, 99]), kept)}
    outputs = head(example_context())["outputs"]
    expected = F.cross_entropy(outputs[kept], torch.tensor([0, 1, 2]))
    torch.testing.assert_close(head.losses(example_context(), targets)["loss"], expected)


def test_a_batch_without_any_target_teaches_nothing():
    head = build(LinearHeadConfig())
    none = {TARGET: TARGETS[TARGET].keep(torch.zeros(5, dtype=torch.bool))}
    loss = head.losses(example_context(), none)["loss"]
    assert loss == 0
    loss.backward()
    assert not any(parameter.grad.any() for parameter in head.parameters())


def test_the_loss_of_half_precision_is_in_full_precision():
    context = example_context()
    halved = Context(Tokens(context.tokens.values.bfloat16(), context.tokens.mask), {}, {})
    head = build(LinearHeadConfig()).bfloat16()
    assert head(halved, TARGETS)["outputs"].dtype == torch.bfloat16
    assert head(halved, TARGETS)["loss"].dtype == torch.float32
    assert head.losses(halved, TARGETS)["loss"].dtype == torch.float32


def test_it_is_the_head_of_vectors_where_none_is_named():
    assert default_head(Vector) == LinearHeadConfig()
