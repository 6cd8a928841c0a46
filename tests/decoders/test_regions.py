from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from contracts import check_head
from dense_scene import DIM, make_context, make_encoders, squares, targets_of, train_on
from tonggan.decoders.answers import UNLABELED, Regions
from tonggan.decoders.regions import RegionsHeadConfig, dice_loss
from tonggan.errors import ConfigError
from tonggan.tokens import Arrays

ANSWER = Regions(("background", "red", "green"), "photo")
SMALL = RegionsHeadConfig(width=10)


def build(config=SMALL, *, words=False):
    torch.manual_seed(0)
    encoders = make_encoders(words=words)
    head = config.build(DIM, answer=ANSWER, encoders=encoders)
    return encoders, head, nn.ModuleList([*encoders.values(), head])


@pytest.mark.parametrize("settings", [{}, {"finest": 4, "depth": 2, "activation": "silu", "dice": 0.0}])
def test_contract(settings):
    config = RegionsHeadConfig(width=10, **settings)
    pictures, _, masks = squares(4)
    encoders, head, _ = build(config)
    context = make_context(encoders, {"photo": pictures.keep(torch.arange(4) < 3)})
    with torch.no_grad():
        found = head.eval()(context, targets_of(masks))
    assert found["regions"].shape == (4, 48, 48)
    assert found["regions"].dtype == torch.int64
    assert found["extent"].tolist() == [[48, 48]] * 4

    def build_head(config):
        return config.build(DIM, answer=ANSWER, encoders=encoders)

    check_head(config, build_head, context, targets_of(masks), empty_teaches=True)


def test_it_learns_squares():
    pictures, _, masks = squares(8)
    encoders, head, model = build()
    losses = train_on(
        model, lambda: head.losses(make_context(encoders, {"photo": pictures}), targets_of(masks)), steps=60
    )
    assert losses[-1] < losses[0] / 4
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoders["photo"].trunk.parameters())
    with torch.no_grad():
        found = head.eval()(make_context({"photo": encoders["photo"].eval()}, {"photo": pictures}))["regions"]
    right = found == masks.values
    assert right[masks.values > 0].float().mean() > 0.9
    assert right.float().mean() > 0.95


def test_batches_and_absence_do_not_matter():
    pictures, _, masks = squares(5)
    encoders, head, model = build()
    model.eval()
    pictures = replace(pictures, mask=torch.tensor([True, True, False, True, True]))
    masks = replace(masks, mask=torch.tensor([True, True, True, False, True]))
    with torch.no_grad():
        whole = head(make_context(encoders, {"photo": pictures}), targets_of(masks))
        for row in range(5):
            rows = torch.tensor([row])
            alone = head(make_context(encoders, {"photo": pictures.take(rows)}), targets_of(masks.take(rows)))
            assert torch.equal(alone["regions"], whole["regions"][rows])
            torch.testing.assert_close(alone["loss"], whole["loss"][rows])
    assert not whole["regions"][2].any()
    assert whole["loss"][[2, 3]].tolist() == [0, 0]
    assert bool((whole["loss"][[0, 1, 4]] > 0).all())
    absent = replace(pictures, mask=torch.zeros(5, dtype=torch.bool))
    losses = head.train().losses(make_context(encoders, {"photo": absent}), targets_of(masks))
    assert [each.item() for each in losses.values()] == [0, 0]
    sum(losses.values()).backward()


def test_losses_of_parts_add_up_to_those_of_the_whole():
    pictures, _, masks = squares(6)
    masks = replace(masks, mask=torch.tensor([True, False, True, True, True, True]))
    encoders, head, model = build()
    model.eval()

    def losses(rows):
        given = targets_of(masks.take(rows))
        found = head.losses(make_context(encoders, {"photo": pictures.take(rows)}), given)
        return torch.stack(list(found.values())), head.weight(given)

    with torch.no_grad():
        whole, weight = losses(torch.arange(6))
        parts = [losses(torch.tensor(rows)) for rows in ([0], [1], [2, 3], [4, 5])]
    assert sum(each for _, each in parts) == weight == 5
    torch.testing.assert_close(sum(part * each for part, each in parts) / weight, whole)


def test_cross_entropy_is_that_of_the_labeled_pixels():
    pictures, _, masks = squares(2)
    values = masks.values.clone()
    values[0, :20] = UNLABELED
    values[1] = UNLABELED
    encoders, head, model = build()
    model.eval()
    with torch.no_grad():
        context = make_context(encoders, {"photo": pictures})
        _, logits = head._read(context)
        losses = head.losses(context, targets_of(Arrays(values, masks.mask)))
    expected = F.cross_entropy(logits[:1, :, 20:], values[:1, 20:].long()) / 2  # the second picture costs nothing
    torch.testing.assert_close(losses["pixels"], expected)
    part = dice_loss(logits[:1, :, 20:].softmax(dim=1), values[:1, 20:].long(), torch.ones(1, 28, 48, dtype=torch.bool))
    torch.testing.assert_close(losses["dice"], part[0] / 2)


def test_dice_by_hand():
    # Four pixels of classes 0, 1, 1 and not labeled; of three classes the last is not shown.
    shares = torch.tensor([[[[0.5, 0.25, 0.0, 1.0]], [[0.5, 0.75, 1.0, 0.0]], [[0.0, 0.0, 0.0, 0.0]]]])
    wanted = torch.tensor([[[0, 1, 1, 2]]])
    known = torch.tensor([[[True, True, True, False]]])
    first, second = 2 * 0.5 / (0.75 + 1), 2 * 1.75 / (2.25 + 2)
    torch.testing.assert_close(dice_loss(shares, wanted, known), torch.tensor([1 - (first + second) / 2]))
    perfect = F.one_hot(wanted, 3).movedim(-1, 1).float()
    torch.testing.assert_close(dice_loss(perfect, wanted, known), torch.zeros(1))
    assert dice_loss(shares, wanted, torch.zeros_like(known)).tolist() == [0]


def test_other_inputs_change_the_answer_and_their_absence_does_not():
    pictures, _, _ = squares(4)
    words = Arrays(torch.randn(4, 3, DIM), torch.ones(4, 3, dtype=torch.bool))
    absent = replace(words, mask=torch.zeros(4, 3, dtype=torch.bool))
    encoders, head, model = build(words=True)
    model.eval()

    def logits(words):
        with torch.no_grad():
            return head._read(make_context(encoders, {"photo": pictures, "words": words}))[1]

    before = logits(absent)
    torch.testing.assert_close(logits(words), before)  # nothing was learned yet
    nn.init.normal_(head.maps.modulation.weight, std=0.5)
    torch.testing.assert_close(logits(absent), before)
    assert not torch.allclose(logits(words), before)


def test_bfloat16():
    pictures, _, masks = squares(3)
    encoders, head, model = build()
    model.eval()
    with torch.no_grad():
        exact = head.losses(make_context(encoders, {"photo": pictures}), targets_of(masks))
        with torch.autocast("cpu", torch.bfloat16):
            rough = head.losses(make_context(encoders, {"photo": pictures}), targets_of(masks))
    for name, value in exact.items():
        assert rough[name].dtype == torch.float32
        torch.testing.assert_close(rough[name], value, rtol=0.05, atol=0.01)


def test_an_encoder_without_maps():
    with pytest.raises(ConfigError, match="no feature maps"):
        SMALL.build(DIM, answer=Regions(("a", "b"), "words"), encoders=make_encoders(words=True))
