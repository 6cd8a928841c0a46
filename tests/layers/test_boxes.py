import numpy as np
import pytest
import torch
from pycocotools import mask as reference

from tonggan.layers.boxes import box_areas, nms, pairwise_iou, roi_align


def random_boxes(count, generator, size=100.0):
    low = torch.rand(count, 2, generator=generator, dtype=torch.float64) * size
    return torch.cat([low, low + torch.rand(count, 2, generator=generator, dtype=torch.float64) * size / 4], dim=1)


def test_iou_is_that_of_pycocotools():
    generator = torch.Generator().manual_seed(0)
    boxes, others = random_boxes(40, generator), random_boxes(30, generator)
    crowd = torch.rand(30, generator=generator) < 0.3
    as_coco = [torch.cat([each[:, :2], each[:, 2:] - each[:, :2]], dim=1).numpy() for each in (boxes, others)]
    expected = reference.iou(*as_coco, crowd.numpy().astype(np.uint8))
    found = pairwise_iou(boxes, others, crowd=crowd)
    assert (found > 0).sum() > 20
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_iou_of_boxes_without_an_area():
    point = torch.tensor([[5.0, 5.0, 5.0, 5.0]])
    assert pairwise_iou(point, point).tolist() == [[0.0]]
    assert box_areas(torch.tensor([[4.0, 4.0, 2.0, 2.0]])).tolist() == [0.0]


def test_iou_of_none():
    assert pairwise_iou(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)


def greedy(boxes, scores, labels, max_iou):
    """The definition, one box after the other."""
    left = sorted(range(len(scores)), key=lambda place: -scores[place])
    kept = []
    while left:
        best, *left = left
        kept.append(best)
        overlap = pairwise_iou(boxes[[best]], boxes[left])[0] if left else []
        left = [each for each, iou in zip(left, overlap, strict=True) if labels[each] != labels[best] or iou <= max_iou]
    return kept


@pytest.mark.parametrize("count", [0, 1, 7, 700])
def test_nms_is_greedy_suppression(count):
    generator = torch.Generator().manual_seed(count)
    boxes = random_boxes(count, generator, size=30.0 if count < 100 else 60.0)
    scores = (torch.rand(count, generator=generator) * 50).round() / 50  # with ties
    labels = torch.randint(3, (count,), generator=generator)
    expected = greedy(boxes, scores.tolist(), labels.tolist(), 0.3)
    assert nms(boxes, scores, labels, max_iou=0.3).tolist() == expected
    assert nms(boxes, scores, labels, max_iou=0.3, limit=5).tolist() == expected[:5]
    assert count < 100 or 10 < len(expected) < count - 100


def test_nms_of_a_chain_keeps_what_only_a_suppressed_box_covers():
    boxes = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.int64), max_iou=0.3)
    assert kept.tolist() == [0, 2]


def test_nms_of_ten_thousand_boxes():
    grid = torch.cartesian_prod(torch.arange(100.0), torch.arange(100.0)) * 10
    boxes = torch.cat([grid, grid + 8], dim=1)
    scores = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(10_000, dtype=torch.int64)
    assert torch.equal(nms(boxes, scores, labels), scores.argsort(descending=True, stable=True))


def test_roi_align_by_hand():
    """The values that Detectron2 and torchvision document for a map that counts its cells, in pixels of its own."""
    features = torch.arange(25.0).view(1, 1, 5, 5)
    # The box from 1 to 3 in 4 x 4 cells of half a pixel: the first one's middle lies at 1.25, which is 0.75 from the
    # middle of the first pixel, so it has 5 * 0.75 + 0.75.
    expected = torch.tensor([[4.5, 5, 5.5, 6], [7, 7.5, 8, 8.5], [9.5, 10, 10.5, 11], [12, 12.5, 13, 13.5]])
    for samples in (1, 2):
        found = roi_align(features, torch.tensor([[[1.0, 1, 3, 3]]]), stride=1, side=4, samples=samples)
        torch.testing.assert_close(found[0, 0, 0], expected)


def test_roi_align_of_several_pictures_and_a_coarse_map():
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 3, 4, 6, generator=generator)
    boxes = torch.tensor([[[0.0, 0, 48, 32], [8, 8, 16, 16]], [[40.0, 24, 48, 32], [0, 0, 0, 0]]])
    found = roi_align(features, boxes, stride=8, side=1, samples=1)
    assert found.shape == (2, 2, 3, 1, 1)
    # The middle of a whole map of 4 x 6 cells lies between four of them; the others are a cell of their own.
    torch.testing.assert_close(found[0, 0, :, 0, 0], features[0, :, 1:3, 2:4].mean(dim=(1, 2)))
    torch.testing.assert_close(found[0, 1, :, 0, 0], features[0, :, 1, 1])
    torch.testing.assert_close(found[1, 0, :, 0, 0], features[1, :, 3, 5])
    torch.testing.assert_close(found[1, 1, :, 0, 0], features[1, :, 0, 0])  # a box of no size, at the border
