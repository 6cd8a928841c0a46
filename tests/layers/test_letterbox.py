import numpy as np
import pytest
import torch

from tonggan.layers.letterbox import Letterbox, to_square
from tonggan.modalities.image import ImageConfig, _fit

EXTENTS = [(480, 640), (333, 500), (500, 333), (64, 64), (7, 1000), (1, 1), (1000, 1), (95, 37), (2049, 1023)]


@pytest.mark.parametrize("resize", ["squash", "pad"])
@pytest.mark.parametrize("size", [64, 97, 416])
def test_a_picture_lies_where_its_modality_puts_it(resize, size):
    for extent in EXTENTS:
        letterbox = Letterbox.of(torch.tensor([extent]), size=size, resize=resize)
        square = _fit(np.full((*extent, 3), 255, dtype=np.uint8), ImageConfig(size=size, resize=resize))
        rows, columns = np.nonzero(square[:, :, 0])
        corner, inner = letterbox.corner[0].tolist(), letterbox.inner[0].tolist()
        assert corner == [rows.min(), columns.min()]
        assert inner == [np.ptp(rows) + 1, np.ptp(columns) + 1]
        whole = torch.tensor([[[0.0, 0.0, extent[1], extent[0]]]])
        found = letterbox.to_square(whole)[0, 0].tolist()
        assert found == [corner[1], corner[0], corner[1] + inner[1], corner[0] + inner[0]]


@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_boxes_come_back(resize):
    extent = torch.tensor(EXTENTS)
    boxes = torch.rand(len(EXTENTS), 50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    boxes = boxes * extent.flip(1).repeat(1, 2)[:, None]
    letterbox = Letterbox.of(extent, size=416, resize=resize)
    again = letterbox.to_picture(letterbox.to_square(boxes))
    assert torch.allclose(again, boxes, rtol=1e-12, atol=1e-9)
    single = letterbox.to_picture(letterbox.to_square(boxes.float()))
    assert (single - boxes.float()).abs().max() < 1e-2  # 7 x 1000 in 416 x 3: float32 in the square


def test_a_box_over_the_border_is_clipped():
    letterbox = Letterbox.of(torch.tensor([[10, 20]]), size=8, resize="pad")
    boxes = torch.tensor([[[-3.0, -1.0, 25.0, 12.0], [1.0, 2.0, 3.0, 4.0]]])
    assert letterbox.clip(boxes).tolist() == [[[0.0, 0.0, 20.0, 10.0], [1.0, 2.0, 3.0, 4.0]]]


@pytest.mark.parametrize("resize", ["squash", "pad"])
@pytest.mark.parametrize("extent", [(30, 50), (50, 30), (17, 17)])
def test_a_larger_square_gives_the_mask_back(resize, extent):
    mask = torch.randint(5, extent, generator=torch.Generator().manual_seed(0))
    letterbox = Letterbox.of(torch.tensor([extent]), size=128, resize=resize)
    square = letterbox.mask_to_square(mask, outside=255)
    assert square.shape == (128, 128)
    assert (square == 255).sum() == 128 * 128 - letterbox.inner[0].prod()
    assert torch.equal(letterbox.masks_to_pictures(square[None])[0], mask)


def test_a_mask_lies_where_a_box_around_it_lies():
    mask = torch.zeros(100, 60, dtype=torch.uint8)
    mask[20:70, 10:40] = 1
    letterbox = Letterbox.of(torch.tensor([[100, 60]]), size=50, resize="pad")
    rows, columns = torch.nonzero(letterbox.mask_to_square(mask, outside=0), as_tuple=True)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert found == letterbox.to_square(torch.tensor([[[10.0, 20.0, 40.0, 70.0]]]))[0, 0].tolist()


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
@pytest.mark.parametrize("shape", [(40, 40), (50, 33), (37, 90), (24, 24), (10, 17), (10, 90), (60, 20), (1, 1)])
def test_pictures_of_any_shape_become_what_their_modality_makes_of_them(resize, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    expected = _fit(pixels, ImageConfig(size=24, resize=resize)).transpose(2, 0, 1)
    found = to_square(torch.from_numpy(pixels)[None], size=24, resize=resize)[0].numpy()
    assert np.abs(found.astype(int) - expected).max() <= 1  # of 255: OpenCV rounds weights to 11 bits
    assert (found == expected).mean() > 0.85
