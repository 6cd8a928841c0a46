"""Variation of pictures by hand: what moves them, what changes their light, and what follows their movement."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from contracts import check_config, check_modality
from tonggan.modalities.image import ImageConfig
from tonggan.modalities.image_augment import ImageAugment, are_handed, draw_movement, is_written, tells_sides
from tonggan.modalities.movement import Movement
from tonggan.tokens import Arrays


def pictures(rows: int = 6, size: int = 16) -> Arrays:
    values = torch.randint(0, 256, (rows, 3, size, size), generator=torch.Generator().manual_seed(0))
    return Arrays(values.to(torch.uint8), torch.ones(rows, dtype=torch.bool))


def varied(settings: ImageAugment | None, arrays: Arrays, *, seed: int = 1) -> torch.Tensor:
    image = ImageConfig(size=16, augment=settings).build()
    return image.vary(arrays, torch.Generator().manual_seed(seed)).values


def test_augment_off_changes_nothing() -> None:
    arrays = pictures()
    assert varied(None, arrays) is arrays.values
    assert varied(ImageAugment(shift=0), arrays) is arrays.values


def test_augment_repeats_with_its_seed_and_differs_with_another() -> None:
    settings = ImageAugment(flip=True, shift=0.2, cutout=0.3, brightness=0.3, contrast=0.3)
    arrays = pictures()
    assert torch.equal(varied(settings, arrays), varied(settings, arrays))
    assert not torch.equal(varied(settings, arrays), varied(settings, arrays, seed=2))


EVERYTHING = ImageAugment(
    flip=True, flip_vertical=True, turn=True, scale=0.5, mosaic=0.5, cutout=0.2, brightness=0.2, saturation=0.5
)


@pytest.mark.parametrize("augment", [None, ImageAugment(), ImageAugment(flip=True, cutout=0.3), EVERYTHING])
def test_contract(augment: ImageAugment | None) -> None:
    decoded = [*pictures(rows=4, size=16).values.numpy(), None]
    check_modality(ImageConfig(size=16, augment=augment).build(), "photo", {"photo": decoded})


def test_flip_gives_each_picture_or_its_mirror() -> None:
    arrays = pictures(rows=40)
    values = varied(ImageAugment(flip=True, shift=0), arrays)
    mirrored = (values == arrays.values.flip(3)).flatten(1).all(dim=1)
    same = (values == arrays.values).flatten(1).all(dim=1)
    assert (mirrored ^ same).all()
    assert 10 < mirrored.sum() < 30


def test_shift_is_a_window_of_the_picture_padded_by_reflection() -> None:
    arrays = pictures(rows=30)
    values = varied(ImageAugment(shift=0.125), arrays)
    padded = torch.nn.functional.pad(arrays.values.float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8)
    windows = padded.unfold(2, 16, 1).unfold(3, 16, 1).flatten(2, 3)  # [B, 3, 25, 16, 16]
    found = (windows == values.unsqueeze(2)).all(dim=(1, 3, 4))
    assert (found.sum(dim=1) == 1).all()
    assert found.any(dim=0).sum() > 10


def test_turns_and_mirrors_are_the_eight_of_a_square() -> None:
    arrays = pictures(rows=80)
    values = varied(ImageAugment(shift=0, flip=True, flip_vertical=True, turn=True), arrays)
    turned = [arrays.values.rot90(quarters, (2, 3)) for quarters in range(4)]
    eight = [*turned, *(each.flip(3) for each in turned)]
    found = torch.stack([(values == each).flatten(1).all(dim=1) for each in eight])
    assert (found.sum(dim=0) == 1).all()
    assert found.any(dim=1).all()


def test_a_picture_without_a_movement_is_moved_by_whole_pixels_alone() -> None:
    arrays = pictures()
    generator = torch.Generator().manual_seed(0)
    assert ImageConfig(size=16, augment=None).build().movement(arrays, generator) is None
    assert ImageConfig(size=16, augment=ImageAugment(shift=0, cutout=0.5)).build().movement(arrays, generator) is None
    image = ImageConfig(size=16, augment=ImageAugment(flip=True, shift=0)).build()
    movement = image.movement(arrays, generator)
    moved = image.vary(arrays, torch.Generator().manual_seed(9), movement=movement).values
    assert torch.equal(moved, movement.pictures(arrays.values))


def test_saturation_of_zero_greys_no_light_away() -> None:
    arrays = pictures(rows=30)
    values = varied(ImageAugment(shift=0, saturation=1.0), arrays).float()
    means = arrays.values.float().mean(dim=1)
    torch.testing.assert_close(values.mean(dim=1), means, atol=40, rtol=0)
    spread, before = (each.float().std(dim=1).mean(dim=(1, 2)) for each in (values, arrays.values))
    assert (spread < before).any()
    assert spread.min() < 0.5 * before.min()


def test_cutout_greys_no_more_than_its_square() -> None:
    arrays = Arrays(torch.zeros(20, 3, 16, 16, dtype=torch.uint8), torch.ones(20, dtype=torch.bool))
    grey = (varied(ImageAugment(shift=0, cutout=0.25), arrays) == 128).flatten(1).sum(dim=1)
    assert grey.max() == 3 * 4 * 4
    assert grey.min() >= 3 * 2 * 2


def test_brightness_and_contrast_stay_within_their_range() -> None:
    arrays = Arrays(torch.full((50, 3, 16, 16), 100, dtype=torch.uint8), torch.ones(50, dtype=torch.bool))
    values = varied(ImageAugment(shift=0, brightness=0.2, contrast=0.5), arrays)
    assert values.min() >= 80
    assert values.max() <= 120
    assert values.float().std() > 5


def test_what_moves_pictures_in_ways_of_its_own() -> None:
    assert not ImageAugment(flip=True, shift=0.5, cutout=1, saturation=1).moves
    for settings in ({"flip_vertical": True}, {"turn": True}, {"scale": 0.1}, {"mosaic": 0.1}):
        assert ImageAugment(**settings).moves
    check_config(EVERYTHING)


def drawn(settings: ImageAugment, *, count: int = 2_000) -> Movement:
    present = torch.arange(count) % 10 != 9
    return draw_movement(present, 16, settings, generator=torch.Generator().manual_seed(0))


def test_a_drawn_scale_enlarges_as_often_as_it_shrinks() -> None:
    movement = drawn(ImageAugment(shift=0, scale=0.5))
    factor = movement.matrices[0, :, 0, 0]
    assert torch.equal(factor, movement.matrices[0, :, 1, 1])
    assert 1 / 1.5 <= factor.min() < 0.68
    assert 1.48 < factor.max() <= 1.5
    assert abs((factor > 1).float().mean() - 0.5) < 0.03
    # The middle stays where it is.
    middle = movement.matrices[0, :, :, :2] @ torch.full((2,), 8.0) + movement.matrices[0, :, :, 2]
    torch.testing.assert_close(middle, torch.full((2_000, 2), 8.0))
    assert torch.equal(movement.regions, torch.tensor([0.0, 0, 16, 16]).expand(1, 2_000, 4))


def test_a_drawn_shift_reaches_as_far_as_it_may_in_all_directions() -> None:
    offset = drawn(ImageAugment(shift=0.25)).matrices[0, :, :, 2]
    assert offset.abs().max() <= 4
    assert (offset.amax(dim=0) > 3.9).all()
    assert (offset.amin(dim=0) < -3.9).all()


def test_a_share_of_the_pictures_becomes_a_mosaic_but_none_that_is_not_there() -> None:
    movement = drawn(ImageAugment(shift=0, mosaic=0.3))
    sides = movement.regions[..., 2:] - movement.regions[..., :2]
    is_mosaic = (sides[1:] > 0).all(dim=2).all(dim=0)
    present = torch.arange(2_000) % 10 != 9
    assert not is_mosaic[~present].any()
    assert abs(is_mosaic[present].float().mean() - 0.3) < 0.03
    assert torch.equal(movement.rows[0], torch.arange(2_000))


def test_where_nothing_follows_there_is_no_mosaic() -> None:
    """A class of one picture is not that of three others."""
    arrays, generator = pictures(), torch.Generator().manual_seed(1)
    settings = ImageAugment(shift=0, mosaic=1.0)
    assert torch.equal(varied(settings, arrays), arrays.values)
    image = ImageConfig(size=16, augment=settings).build()
    movement = image.movement(arrays, generator)
    assert not torch.equal(image.vary(arrays, generator, movement=movement).values, arrays.values)


def written(texts: list[str], *, size: int = 32) -> torch.Tensor:
    """Pictures of texts in any colors, each somewhere near the middle."""
    import matplotlib
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    random = np.random.default_rng(0)
    font = PIL.ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 20)
    pictures = []
    for text in texts:
        paper, ink = (tuple(random.integers(0, 256, 3).tolist()) for _ in range(2))
        picture = PIL.Image.new("RGB", (size, size), paper)
        place = tuple((size / 2 + random.integers(-4, 5, 2)).tolist())
        PIL.ImageDraw.Draw(picture).text(place, text, font=font, fill=ink, anchor="mm")
        pictures.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    return torch.stack(pictures)


def test_digits_and_letters_have_a_side() -> None:
    random = np.random.default_rng(1)
    assert are_handed(written([str(random.integers(10)) for _ in range(128)]))
    assert are_handed(written([chr(97 + random.integers(26)) for _ in range(256)]))


def test_what_comes_in_both_directions_has_none() -> None:
    digits = written([str(number % 10) for number in range(128)])
    assert are_handed(digits)
    assert not are_handed(torch.cat([digits, digits.flip(3)]))
    noise = torch.randint(0, 256, (64, 3, 24, 24), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert not are_handed(noise)
    assert not are_handed(torch.full((5, 3, 16, 16), 9, dtype=torch.uint8))


@pytest.mark.parametrize(
    "name", ["7", "-3", "2.5", "b", "Q", "digit", "road_signs", "left arrow", "invoices", "车牌", "左"]
)
def test_names_of_what_is_written(name: str) -> None:
    assert is_written(name)


@pytest.mark.parametrize("name", ["cat", "design", "platform", "sports car", "猫", "bright", "leftovers", "ab"])
def test_names_of_what_is_not(name: str) -> None:
    assert not is_written(name)


@pytest.mark.parametrize(
    ("text", "tells"),
    [
        ("Is the dog left of the tree?", True),
        ("turned clockwise", True),
        ("树的右边有什么", True),
        ("a bright day", False),
        ("一只猫", False),
    ],
)
def test_texts_that_tell_of_sides(text: str, tells: bool) -> None:
    assert tells_sides(text) == tells
