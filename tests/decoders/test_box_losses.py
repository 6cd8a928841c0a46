import math

import torch

from tonggan.decoders.box_losses import complete_iou_loss, distribution_focal_loss


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
