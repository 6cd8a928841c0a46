"""Movements: where a picture goes, a box painted into it goes too."""

from __future__ import annotations

import pytest
import torch

from tonggan.modalities.movement import Movement, compose, mosaic, scaled, turned

SIZE = 32
WHOLE = torch.tensor([0.0, 0, SIZE, SIZE])
RECTANGLES = [(4, 2, 12, 22), (10, 8, 28, 14), (0, 0, 6, 32), (20, 24, 32, 32)]


def painted(rectangles=RECTANGLES, *, size=SIZE):
    """uint8 [B, 3, size, size]: black pictures, each with one white rectangle."""
    pictures = torch.zeros(len(rectangles), 3, size, size, dtype=torch.uint8)
    for picture, (left, top, right, bottom) in zip(pictures, rectangles, strict=True):
        picture[:, top:bottom, left:right] = 255
    return pictures


def boxes_of(rectangles=RECTANGLES):
    """[B, 1, 6] and its mask: the rectangles, with their number as a class, and a further number."""
    boxes = torch.tensor([[*sides, number, 7] for number, sides in enumerate(rectangles)]).float()
    return boxes.unsqueeze(1), torch.ones(len(rectangles), 1, dtype=torch.bool)


def bright(picture):
    """[4]: the box around what is more white than black."""
    rows, columns = (picture[0] > 127).nonzero(as_tuple=True)
    return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


def of_one(matrices):
    """The movement of pictures that each stay one."""
    count = len(matrices)
    return Movement(torch.arange(count)[None], matrices[None], WHOLE.expand(1, count, 4))


def identity(count):
    return scaled(torch.ones(count), offset=torch.zeros(count, 2))


def every_turn():
    """[8, 2, 3]: the four turns by quarters, and those of the mirror image."""
    found: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(0)
    while len(found) < 8:
        for matrix in turned(SIZE, 16, flip=True, flip_vertical=True, turn=True, generator=generator):
            found.setdefault(str(matrix.tolist()), matrix)
    return torch.stack(list(found.values()))


def test_what_does_not_move_is_the_same():
    movement = of_one(identity(4))
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (4, 3, SIZE, SIZE), generator=generator).to(torch.uint8)
    assert torch.equal(movement.pictures(pictures), pictures)
    assert torch.equal(movement.pictures(pictures, nearest=True), pictures)
    boxes, mask = movement.boxes(*boxes_of())
    assert torch.equal(boxes, boxes_of()[0])
    assert mask.all()
    nothing = turned(SIZE, 4, flip=False, flip_vertical=False, turn=False, generator=generator)
    assert torch.equal(nothing, identity(4))


def test_a_mirror_image():
    movement = of_one(torch.tensor([[-1.0, 0, SIZE], [0, 1, 0]]).expand(4, 2, 3))
    pictures = painted()
    moved, (boxes, mask) = movement.pictures(pictures), movement.boxes(*boxes_of())
    assert torch.equal(moved, pictures.flip(3))
    assert boxes[0, 0].tolist() == [SIZE - 12, 2, SIZE - 4, 22, 0, 7], "the class and what follows it stay"
    assert mask.all()


def test_turns_and_mirror_images_are_exact_for_pictures_and_boxes():
    matrices = every_turn()
    for rectangle in RECTANGLES:
        movement = of_one(matrices)
        moved = movement.pictures(painted([rectangle] * 8))
        boxes, mask = movement.boxes(*boxes_of([rectangle] * 8))
        assert mask.all()
        for picture, box in zip(moved, boxes[:, 0, :4], strict=True):
            assert torch.equal(box, bright(picture))
    generator = torch.Generator().manual_seed(1)
    picture = torch.randint(0, 256, (1, 3, SIZE, SIZE), generator=generator).to(torch.uint8).expand(8, -1, -1, -1)
    expected = [picture[0].rot90(quarters, (1, 2)) for quarters in range(4)]
    expected += [each.flip(2) for each in expected]
    found = [[torch.equal(one, other) for other in expected] for one in of_one(matrices).pictures(picture)]
    assert sorted(row.index(True) for row in found) == list(range(8))


@pytest.mark.parametrize(("factor", "offset"), [(2.0, (0, 0)), (0.5, (8, 4)), (1.5, (-8, -4)), (1.0, (3, -5))])
def test_scaled_and_shifted_boxes_are_where_the_pixels_are(factor, offset):
    movement = of_one(scaled(torch.full((4,), factor), offset=torch.tensor(offset).float().expand(4, 2)))
    moved, (boxes, mask) = movement.pictures(painted()), movement.boxes(*boxes_of(), least_part=0)
    compared = 0
    for picture, box, is_seen in zip(moved, boxes[:, 0, :4], mask[:, 0], strict=True):
        if is_seen:
            torch.testing.assert_close(box, bright(picture), atol=0.5, rtol=0)
            compared += 1
        else:
            assert not (picture > 127).any()
    assert compared >= 2


def test_a_shift_by_whole_pixels_is_exact_and_black_beyond():
    movement = of_one(scaled(torch.ones(1), offset=torch.tensor([[5.0, -3.0]])))
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(1, 256, (1, 3, SIZE, SIZE), generator=generator).to(torch.uint8)
    moved = movement.pictures(picture)
    assert torch.equal(moved[:, :, : SIZE - 3, 5:], picture[:, :, 3:, : SIZE - 5])
    assert not moved[:, :, :, :5].any()
    assert not moved[:, :, SIZE - 3 :].any()
    assert (movement.pictures(picture, fill=9)[:, :, :, :5] == 9).all()


def test_class_numbers_are_never_mixed():
    numbers = torch.randint(0, 5, (2, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(0)) * 50
    movement = of_one(scaled(torch.tensor([1.3, 0.7]), offset=torch.tensor([[-2.5, 1.2], [3.1, 4.4]])))
    moved = movement.pictures(numbers, nearest=True, fill=255)
    assert moved.dtype == numbers.dtype
    assert set(moved.unique().tolist()) == {0, 50, 100, 150, 200, 255}
    assert not set(movement.pictures(numbers, fill=255).unique().tolist()) <= {0, 50, 100, 150, 200, 255}
    outside = (moved[1, 0] == 255).nonzero()
    assert torch.equal(outside, (movement.pictures(torch.ones(2, 1, SIZE, SIZE), fill=0)[1, 0] < 0.5).nonzero())


def test_boxes_are_cut_at_the_border_and_dropped_where_little_is_left():
    rectangles = [(0, 0, 10, 10), (8, 4, 16, 12), (20, 20, 30, 30)]
    boxes = torch.tensor([[*sides, number] for number, sides in enumerate(rectangles)]).float().unsqueeze(0)
    mask = torch.tensor([[True, True, False]])
    left = of_one(scaled(torch.ones(1), offset=torch.tensor([[-9.0, 0.0]])))
    found, there = left.boxes(boxes, mask)
    assert there.tolist() == [[True]], "what is absent stays absent, and places of no box are left out"
    assert found.tolist() == [[[0, 4, 7, 12, 1]]]
    kept, there = left.boxes(boxes, mask, least_part=0.1)
    assert kept.tolist() == [[[0, 0, 1, 10, 0], [0, 4, 7, 12, 1]]]
    assert there.tolist() == [[True, True]]
    gone, there = left.boxes(boxes[:, :1], mask[:, :1])
    assert gone.tolist() == [[[0] * 5]]
    assert there.tolist() == [[False]]
    outside, there = of_one(scaled(torch.ones(1), offset=torch.tensor([[-10.0, 0.0]]))).boxes(boxes, mask, least_part=0)
    assert outside[there].tolist() == [[0, 4, 6, 12, 1]], "what touches the border alone is not seen"


def test_one_after_the_other():
    generator = torch.Generator().manual_seed(3)
    first = turned(SIZE, 6, flip=True, flip_vertical=True, turn=True, generator=generator)
    second = scaled(torch.linspace(0.5, 2, 6), offset=torch.randn(6, 2, generator=generator))
    place = torch.tensor([3.0, 11.0])
    between = first[:, :, :2] @ place + first[:, :, 2]
    after = (second[:, :, :2] @ between.unsqueeze(-1)).squeeze(-1) + second[:, :, 2]
    both = compose(second, first)
    torch.testing.assert_close(both[:, :, :2] @ place + both[:, :, 2], after)


def test_half_of_the_pictures_are_mirrored_and_all_turns_are_as_frequent():
    generator = torch.Generator().manual_seed(0)
    mirrored = turned(SIZE, 4_000, flip=True, flip_vertical=False, turn=False, generator=generator)
    assert set(mirrored[:, 0, 0].tolist()) == {1.0, -1.0}
    assert (mirrored[:, 1, 1] == 1).all()
    assert abs((mirrored[:, 0, 0] < 0).float().mean() - 0.5) < 0.03
    quarters = turned(SIZE, 4_000, flip=False, flip_vertical=False, turn=True, generator=generator)
    _, counts = quarters.flatten(1).unique(dim=0, return_counts=True)
    assert len(counts) == 4
    assert (counts / 4_000 - 0.25).abs().max() < 0.03


@pytest.mark.parametrize("seed", range(8))
def test_a_mosaic_shows_parts_of_four_pictures_and_their_boxes(seed):
    generator = torch.Generator().manual_seed(seed)
    own = turned(SIZE, 4, flip=True, flip_vertical=False, turn=False, generator=generator)
    movement = mosaic(SIZE, own, chosen=torch.ones(4, dtype=torch.bool), generator=generator)
    assert movement.rows.shape == (4, 4)
    assert movement.rows[0].tolist() == [0, 1, 2, 3], "its own picture is one of them"
    covered = (movement.regions[..., 2:] - movement.regions[..., :2]).prod(dim=-1).sum(dim=0)
    torch.testing.assert_close(covered, torch.full((4,), float(SIZE * SIZE)))
    # Each piece alone: its box is around what is seen of its picture.
    pictures, (boxes, mask) = painted(), boxes_of()
    compared = 0
    for piece in range(4):
        single = Movement(
            movement.rows[piece : piece + 1], movement.matrices[piece : piece + 1], movement.regions[piece : piece + 1]
        )
        seen = single.pictures(pictures)
        found, there = single.boxes(boxes, mask, least_part=0)
        for row in range(4):
            if there[row, 0] and (found[row, 0, 2:4] - found[row, 0, :2]).min() >= 2:
                torch.testing.assert_close(found[row, 0, :4], bright(seen[row]), atol=1.0, rtol=0)
                assert found[row, 0, 4] == movement.rows[piece, row], "the class is that of the picture shown"
                compared += 1
    assert compared >= 4
    empty = movement.pictures(torch.full((4, 3, SIZE, SIZE), 200, dtype=torch.uint8)) == 0
    assert empty.float().mean() < 0.05, "where pictures fill their squares, they fill the mosaic"
    whole, there = movement.boxes(boxes, mask, least_part=0)
    assert there.sum() >= compared
    assert torch.equal(there, there.sort(dim=1, descending=True, stable=True).values), "boxes come first"
    bright_pixels = movement.pictures(pictures)[:, 0] > 127
    for row in range(4):
        for left, top, right, bottom in whole[row][there[row]][:, :4].round().int().tolist():
            bright_pixels[row, max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = False
    assert not bright_pixels.any(), "what is seen has its box"


def test_rows_that_are_not_chosen_keep_their_picture():
    generator = torch.Generator().manual_seed(0)
    own = turned(SIZE, 4, flip=True, flip_vertical=True, turn=True, generator=generator)
    chosen = torch.tensor([True, False, True, False])
    movement = mosaic(SIZE, own, chosen=chosen, generator=generator)
    moved, alone = movement.pictures(painted()), of_one(own).pictures(painted())
    assert torch.equal(moved[~chosen], alone[~chosen])
    boxes, mask = movement.boxes(*boxes_of())
    assert mask[~chosen].sum(dim=1).tolist() == [1, 1]
    expected, _ = of_one(own).boxes(*boxes_of())
    torch.testing.assert_close(boxes[~chosen][:, :1], expected[~chosen])
    assert mask[chosen].sum() > 2
