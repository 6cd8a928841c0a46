import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from contracts import check_gradients, check_head
from dense_scene import DIM, SIZE, make_context, make_encoders, squares, targets_of, train_on
from tonggan.decoders.answers import Boxes
from tonggan.decoders.dense import DenseHeadConfig, complete_iou_loss, distribution_focal_loss
from tonggan.encoders.image_inception import ImageInceptionConfig
from tonggan.encoders.image_vit import ImageViTConfig
from tonggan.errors import ConfigError
from tonggan.layers.boxes import pairwise_iou
from tonggan.modalities.image import Image, ImageConfig
from tonggan.tokens import Arrays

ANSWER = Boxes(("red", "green"), "photo")
SMALL = DenseHeadConfig(width=12, depth=1, bins=6)


def build(config=SMALL, *, words=False, size=48):
    torch.manual_seed(0)
    encoders = make_encoders(words=words, size=size)
    head = config.build(DIM, answer=ANSWER, encoders=encoders)
    return encoders, head, nn.ModuleList([*encoders.values(), head])


def assert_same_boxes(found, expected):
    assert [len(each) for each in found] == [len(each) for each in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_contract():
    pictures, boxes, _ = squares(4)
    encoders, head, _ = build()
    context = make_context(encoders, {"photo": pictures.keep(torch.arange(4) < 3)})
    with torch.no_grad():
        found = head.eval()(context, targets_of(boxes))
    assert [each.shape[1] for each in found["boxes"]] == [6] * 4
    assert not len(found["boxes"][3])
    assert found["extent"].tolist() == [[48, 48]] * 4

    def build_head(config):
        return config.build(DIM, answer=ANSWER, encoders=encoders)

    check_head(SMALL, build_head, context, targets_of(boxes), empty_teaches=True)


def test_the_gradient_reaches_the_trunk():
    pictures, boxes, _ = squares(4)
    encoders, head, _ = build()
    losses = head.losses(make_context(encoders, {"photo": pictures}), targets_of(boxes))
    assert set(losses) == {"classes", "boxes", "edges"}
    sum(losses.values()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoders["photo"].trunk.parameters())


@pytest.mark.parametrize(
    "config",
    [
        ImageViTConfig(num_layers=1, num_heads=2, stem_channels=8),
        ImageInceptionConfig(stem_channels=8, stem_stride=2, channels=(8, 12, 16), blocks=(0, 0, 0)),
    ],
    ids=lambda config: config.kind,
)
def test_boxes_from_the_maps_of_other_encoders(config):
    pictures, boxes, _ = squares(4)
    torch.manual_seed(0)
    encoders = {"photo": config.build(Image(ImageConfig(size=SIZE)), dim=DIM)}
    head = SMALL.build(DIM, answer=ANSWER, encoders=encoders)
    model = nn.ModuleList([*encoders.values(), head])
    losses = train_on(
        model,
        lambda: head.losses(make_context(encoders, {"photo": pictures}), targets_of(boxes)),
        steps=15,
        learning_rate=3e-3,
    )
    assert losses[-1] < losses[0]
    assert all(parameter.grad is not None for name, parameter in encoders["photo"].named_parameters() if "conv" in name)
    with torch.no_grad():
        found = head.eval()(make_context({"photo": encoders["photo"].eval()}, {"photo": pictures}))["boxes"]
    assert [each.shape[1] for each in found] == [6] * 4


def test_it_learns_squares():
    pictures, boxes, _ = squares(8)
    encoders, head, model = build()
    losses = train_on(
        model,
        lambda: head.losses(make_context(encoders, {"photo": pictures}), targets_of(boxes)),
        steps=100,
        learning_rate=3e-3,
    )
    assert losses[-1] < losses[0] / 3
    with torch.no_grad():
        found = head.eval()(make_context({"photo": encoders["photo"].eval()}, {"photo": pictures}))["boxes"]
    right = 0
    for row in range(8):
        there = boxes.values[row][boxes.mask[row]]
        best = found[row][: len(there)]
        iou = pairwise_iou(there[:, :4], best[:, :4])
        right += int(((iou > 0.7) & (there[:, 4:5] == best[:, 5])).any(dim=1).sum())
    assert right == 12


def test_batches_do_not_matter():
    pictures, boxes, _ = squares(5)
    encoders, head, model = build(SMALL.model_copy(update={"min_score": 0.1}))
    train_on(
        model, lambda: head.losses(make_context(encoders, {"photo": pictures}), targets_of(boxes)), steps=30
    )  # so that no two scores are almost equal
    model.eval()
    pictures = replace(pictures, mask=torch.tensor([True, True, False, True, True]))
    with torch.no_grad():
        whole = head(make_context(encoders, {"photo": pictures}), targets_of(boxes))
        for row in range(5):
            rows = torch.tensor([row])
            alone = head(make_context(encoders, {"photo": pictures.take(rows)}), targets_of(boxes.take(rows)))
            assert_same_boxes(alone["boxes"], whole["boxes"][row : row + 1])
            torch.testing.assert_close(alone["loss"], whole["loss"][rows], rtol=1e-4, atol=1e-4)


def test_losses_of_parts_add_up_to_those_of_the_whole():
    # Of accumulation and of several processes: each part counts by its weight.
    pictures, boxes, _ = squares(6)
    encoders, head, model = build()
    model.eval()

    def losses(rows):
        given = targets_of(boxes.take(rows))
        found = head.losses(make_context(encoders, {"photo": pictures.take(rows)}), given)
        return torch.stack(list(found.values())), head.weight(given)

    with torch.no_grad():
        whole, weight = losses(torch.arange(6))
        parts = [losses(torch.tensor(rows)) for rows in ([0], [1, 2, 3], [4, 5])]
    assert sum(each for _, each in parts) == weight == 6 + 9
    torch.testing.assert_close(sum(part * each for part, each in parts) / weight, whole, rtol=1e-4, atol=1e-5)


def test_rows_without_the_picture_and_without_boxes():
    pictures, boxes, _ = squares(4)
    encoders, head, model = build()
    pictures = replace(pictures, mask=torch.tensor([True, False, True, True]))
    boxes = replace(boxes, mask=boxes.mask & torch.tensor([[True], [True], [False], [True]]))
    model.eval()
    with torch.no_grad():
        found = head(make_context(encoders, {"photo": pictures}), targets_of(boxes))
    assert len(found["boxes"][1]) == 0
    assert found["loss"][1] == 0
    assert found["loss"][2] > 0  # there is nothing, and whoever says otherwise is wrong
    other = replace(boxes, values=torch.where(boxes.mask[..., None], boxes.values, 7.0))
    with torch.no_grad():
        again = head(make_context(encoders, {"photo": pictures}), targets_of(other))
    torch.testing.assert_close(again["loss"], found["loss"])
    # A batch of nothing at all gives losses that can be learned from, of 0.
    absent = replace(pictures, mask=torch.zeros(4, dtype=torch.bool))
    model.train()
    losses = head.losses(make_context(encoders, {"photo": absent}), targets_of(boxes))
    assert [each.item() for each in losses.values()] == [0, 0, 0]
    sum(losses.values()).backward()


def test_nothing_is_asked_where_a_box_is_ignored():
    pictures, boxes, _ = squares(2)
    encoders, head, model = build()
    model.eval()
    whole = torch.tensor([[[0.0, 0, 48, 48, 0, 1]]]).expand(2, 1, 6)
    ignored = Arrays(torch.cat([boxes.values, whole], dim=1), torch.cat([boxes.mask, boxes.mask[:, :1]], dim=1))
    alone = Arrays(whole, torch.ones(2, 1, dtype=torch.bool))
    with torch.no_grad():
        context = make_context(encoders, {"photo": pictures})
        assert head.losses(context, targets_of(alone))["classes"] == 0
        known, unknown = (head.losses(context, targets_of(each)) for each in (boxes, ignored))
    assert 0 < unknown["classes"] < known["classes"]


def test_other_inputs_change_the_answer_and_their_absence_does_not():
    pictures, boxes, _ = squares(4)
    words = Arrays(torch.randn(4, 3, DIM), torch.ones(4, 3, dtype=torch.bool))
    encoders, head, model = build(words=True)
    absent = replace(words, mask=torch.zeros(4, 3, dtype=torch.bool))

    def answer(words):
        model.eval()
        with torch.no_grad():
            return head(make_context(encoders, {"photo": pictures, "words": words}))["boxes"]

    before = answer(absent)
    assert_same_boxes(answer(words), before)  # nothing was learned yet
    nn.init.normal_(head.maps.modulation.weight, std=0.5)
    nn.init.normal_(head.maps.modulation.bias)
    assert_same_boxes(answer(absent), before)
    changed = answer(words)
    assert any(
        len(one) != len(other) or not torch.allclose(one, other) for one, other in zip(changed, before, strict=True)
    )
    context = make_context(encoders, {"photo": pictures, "words": words})
    check_gradients(head, lambda: torch.stack(list(head.losses(context, targets_of(boxes)).values())))


def test_ten_thousand_boxes():
    pictures, _, _ = squares(2)
    encoders, head, _ = build()
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(2, 10_000, 2, generator=generator) * 40
    values = torch.cat([low, low + 8, torch.ones(2, 10_000, 1), torch.zeros(2, 10_000, 1)], dim=2)
    many = Arrays(values, torch.ones(2, 10_000, dtype=torch.bool))
    losses = head.losses(make_context(encoders, {"photo": pictures}), targets_of(many))
    sum(losses.values()).backward()
    assert all(torch.isfinite(each) for each in losses.values())


def test_answers_are_few_sorted_and_within_the_picture():
    pictures, _, _ = squares(3)
    encoders, head, model = build(SMALL.model_copy(update={"min_score": 0.0, "limit": 7}))
    model.eval()
    with torch.no_grad():
        for boxes in head(make_context(encoders, {"photo": pictures}))["boxes"]:
            assert len(boxes) == 7
            assert bool((boxes[:-1, 4] >= boxes[1:, 4]).all())
            assert boxes[:, :4].min() >= 0
            assert boxes[:, :4].max() <= 48
            iou = pairwise_iou(boxes[:, :4], boxes[:, :4]).fill_diagonal_(0)
            assert iou[boxes[:, None, 5] == boxes[None, :, 5]].max() <= 0.6


def test_four_hundred_objects_that_many_cells_see():
    _, head, _ = build(SMALL.model_copy(update={"limit": 400}))
    corner = torch.stack(torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij"), dim=-1).view(-1, 2) * 10
    boxes = torch.cat([corner, corner + 8], dim=1).repeat_interleave(8, dim=0)
    scores = torch.linspace(0.99, 0.5, len(boxes))[:, None].repeat(1, 2) * torch.tensor([1.0, 0.0])
    found = head._surest(scores, boxes)
    assert len(found) == 400
    assert torch.equal(found[:, :4], boxes[::8])


def test_bfloat16():
    pictures, boxes, _ = squares(3)
    encoders, head, model = build()
    model.eval()
    with torch.no_grad():
        exact = head.losses(make_context(encoders, {"photo": pictures}), targets_of(boxes))
        with torch.autocast("cpu", torch.bfloat16):
            context = make_context(encoders, {"photo": pictures})
            rough = head.losses(context, targets_of(boxes))
            found = head(context)["boxes"]
    assert all(each.dtype == torch.float32 for each in [*rough.values(), *found])
    for name, value in exact.items():
        torch.testing.assert_close(rough[name], value, rtol=0.05, atol=0.01)


def test_pictures_that_rows_share():
    pictures, _, _ = squares(2)
    index = torch.tensor([1, 0, 1])
    shared = replace(pictures, index=index, extent=torch.tensor([[30, 48], [96, 96]]))
    encoders, head, model = build()
    model.eval()
    with torch.no_grad():
        found = head(make_context(encoders, {"photo": shared}))
        each = head(make_context(encoders, {"photo": pictures.take(index)}))
    assert_same_boxes(found["boxes"], each["boxes"])
    assert found["extent"].tolist() == [[96, 96], [30, 48], [96, 96]]


def test_middles_of_cells():
    pictures, _, _ = squares(1, size=50)
    encoders, head, _ = build(SMALL.model_copy(update={"levels": 2}), size=50)
    cells = head._read(make_context(encoders, {"photo": pictures}))
    assert head.maps.strides == (8, 16)
    assert cells.points[0].tolist() == [4, 4]
    assert cells.points[1].tolist() == [12, 4]
    assert cells.points[-1].tolist() == [56, 56]  # 50 pixels are four cells of 16, the last of them cut
    assert cells.strides.tolist() == [8] * 49 + [16] * 16


def test_an_encoder_without_enough_maps():
    with pytest.raises(ConfigError, match=r"stride 2, 4, 8, 16.*expected 5 of"):
        build(SMALL.model_copy(update={"levels": 5}))
    with pytest.raises(ConfigError, match="no feature maps"):
        SMALL.build(DIM, answer=Boxes(("red",), "words"), encoders=make_encoders(words=True))


def test_complete_iou_by_hand():
    boxes = torch.tensor([[0.0, 0, 4, 4], [0.0, 0, 4, 4], [0.0, 0, 4, 2]])
    found = torch.tensor([[0.0, 0, 4, 4], [2.0, 0, 6, 4], [0.0, 0, 2, 4]])
    same, beside, turned = complete_iou_loss(found, boxes)
    assert abs(float(same)) < 1e-5
    # Overlap 8 of 24; middles 2 apart, the diagonal around both is the root of 52.
    torch.testing.assert_close(beside, torch.tensor(1 - 8 / 24 + 4 / 52))
    shape = 4 / math.pi**2 * (math.atan(2) - math.atan(0.5)) ** 2
    iou = 4 / 12
    expected = 1 - iou + 2 / 32 + shape / (shape - iou + 1) * shape
    torch.testing.assert_close(turned, torch.tensor(expected))


def test_boxes_that_do_not_touch_learn_as_well():
    found = torch.tensor([[10.0, 10, 12, 12]], requires_grad=True)
    complete_iou_loss(found, torch.tensor([[0.0, 0, 2, 2]])).sum().backward()
    assert bool((found.grad > 0).any())


def test_a_box_without_area_costs_and_is_finite():
    found = torch.zeros(1, 4, requires_grad=True)
    loss = complete_iou_loss(found, torch.zeros(1, 4))
    loss.sum().backward()
    assert bool(torch.isfinite(loss).all())
    assert bool(torch.isfinite(found.grad).all())


def test_distribution_by_hand():
    logits = torch.zeros(1, 4, 5)
    logits[0, 0, 2] = 30.0
    distances = torch.tensor([[2.0, 1.25, 9.0, -3.0]])
    # The first is sure and right; the others are even over five distances, of which one lies between two.
    between = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    expected = torch.tensor([(0 + 3 * math.log(5) - between) / 4])
    torch.testing.assert_close(distribution_focal_loss(logits, distances), expected)


def test_the_best_distribution_has_the_true_mean():
    logits = torch.zeros(1, 4, 6, requires_grad=True)
    distances = torch.tensor([[0.0, 1.3, 4.75, 5.0]])
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(300):
        optimizer.zero_grad()
        distribution_focal_loss(logits, distances).sum().backward()
        optimizer.step()
    means = logits.softmax(dim=-1) @ torch.arange(6.0)
    torch.testing.assert_close(means, distances, atol=0.02, rtol=0)
    assert 0 <= distribution_focal_loss(logits, distances).item() < 0.01
