import pytest
import torch

from tonggan.decoders.box_assignment import assign, at_least, lies_within
from tonggan.layers.boxes import pairwise_iou


def middles(side, stride=8.0):
    places = (torch.arange(side) + 0.5) * stride
    y, x = torch.meshgrid(places, places, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def around(points, half):
    return torch.cat([points - half, points + half], dim=1)


def test_worked_by_hand():
    # Four cells in a row with middles at 4, 12, 20, 28; one box from 0 to 16 of class 1.
    points = torch.tensor([[4.0, 4.0], [12.0, 4.0], [20.0, 4.0], [28.0, 4.0]])
    found = torch.tensor([[0.0, 0, 8, 8], [0.0, 0, 16, 8], [0.0, 0, 16, 8], [24.0, 0, 32, 8]])
    scores = torch.tensor([[0.9, 0.25], [0.9, 0.16], [0.9, 0.9], [0.9, 0.9]])
    boxes, labels = torch.tensor([[0.0, 0, 16, 8]]), torch.tensor([1])
    chosen = assign(scores, found, points, boxes, labels, candidates=3, least=8)
    # Only the middles of the first two lie in it. Alignments: 0.25^0.5 * 0.5^6 and 0.16^0.5 * 1^6.
    order = torch.argsort(chosen.cells)
    assert chosen.cells[order].tolist() == [0, 1]
    assert chosen.boxes.tolist() == [0, 0]
    torch.testing.assert_close(chosen.quality[order], torch.tensor([0.5 * 0.5**6 / 0.4, 1.0]))
    assert assign(scores, found, points, boxes, labels, candidates=1, least=8).cells.tolist() == [1]


def test_a_cell_of_two_boxes_learns_the_one_that_it_fits():
    points = torch.tensor([[8.0, 8.0]])
    found, scores = torch.tensor([[0.0, 0, 16, 16]]), torch.full((1, 1), 0.5)
    boxes = torch.tensor([[0.0, 0, 12, 12], [0.0, 0, 16, 14]])
    chosen = assign(scores, found, points, boxes, torch.tensor([0, 0]), candidates=5, least=8)
    assert (chosen.cells.tolist(), chosen.boxes.tolist()) == ([0], [1])
    torch.testing.assert_close(chosen.quality, torch.tensor([14 / 16]))


def test_no_boxes():
    points = middles(4)
    nothing = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    chosen = assign(torch.full((16, 2), 0.1), around(points, 8), points, *nothing, candidates=5, least=8)
    assert [each.tolist() for each in chosen] == [[], [], []]


def test_a_box_between_the_middles_is_learned():
    points = middles(4)
    boxes = torch.tensor([[7.0, 7.0, 9.0, 9.0]])
    assert not lies_within(points, boxes).any()
    torch.testing.assert_close(at_least(boxes, 8.0), torch.tensor([[4.0, 4.0, 12.0, 12.0]]))
    chosen = assign(
        torch.full((16, 1), 0.1), around(points, 8), points, boxes, torch.tensor([0]), candidates=5, least=8
    )
    assert sorted(chosen.cells.tolist()) == [0, 1, 4, 5]


def straight(scores, found, points, boxes, labels, candidates):
    """The paper's rule, box by box and cell by cell."""
    iou = pairwise_iou(boxes, found)
    wanted: dict[int, list[int]] = {}
    alignment = torch.zeros_like(iou)
    for box in range(len(boxes)):
        for cell in range(len(points)):
            x, y = points[cell].tolist()
            if boxes[box, 0] <= x <= boxes[box, 2] and boxes[box, 1] <= y <= boxes[box, 3]:
                alignment[box, cell] = scores[cell, labels[box]] ** 0.5 * iou[box, cell] ** 6
        for cell in alignment[box].argsort(descending=True)[:candidates].tolist():
            if alignment[box, cell] > 0:
                wanted.setdefault(cell, []).append(box)
    owner = {cell: max(those, key=lambda box: iou[box, cell].item()) for cell, those in wanted.items()}
    quality = {}
    for cell, box in owner.items():
        own = [each for each, other in owner.items() if other == box]
        quality[cell] = alignment[box, cell] / alignment[box, own].max() * iou[box, own].max()
    return owner, quality


@pytest.mark.parametrize("count", [1, 7, 40])
def test_against_the_rule(count):
    generator = torch.Generator().manual_seed(count)
    points = middles(10)
    low = torch.rand(count, 2, generator=generator) * 60
    boxes = torch.cat([low, low + 8 + torch.rand(count, 2, generator=generator) * 20], dim=1)
    labels = torch.randint(3, (count,), generator=generator)
    scores = torch.rand(100, 3, generator=generator)
    found = around(points, 4 + 12 * torch.rand(100, 2, generator=generator))
    chosen = assign(scores, found, points, boxes, labels, candidates=4, least=1)
    owner, quality = straight(scores, found, points, boxes, labels, 4)
    assert dict(zip(chosen.cells.tolist(), chosen.boxes.tolist(), strict=True)) == owner
    for cell, value in zip(chosen.cells.tolist(), chosen.quality, strict=True):
        torch.testing.assert_close(value, quality[cell])


def test_ten_thousand_boxes_in_little_memory():
    generator = torch.Generator().manual_seed(0)
    points = middles(40)
    low = torch.rand(10_000, 2, generator=generator) * 300
    boxes = torch.cat([low, low + 12], dim=1)
    scores, found = torch.rand(1600, 1, generator=generator), around(points, 6)
    labels = torch.zeros(10_000, dtype=torch.int64)
    chosen = assign(scores, found, points, boxes, labels, candidates=10, least=8)
    assert len(set(chosen.cells.tolist())) == len(chosen.cells) > 1000
    assert bool(((chosen.quality > 0) & (chosen.quality <= 1)).all())
