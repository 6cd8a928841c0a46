"""Where pictures lie in their squares, as the data's own reading puts them there."""

import io

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from tonggan.modalities import ImageConfig
from tonggan.tasks.detect import DetectConfig
from tonggan.tasks.segment import SegmentConfig

EXTENTS = [(30, 60), (61, 20), (32, 32), (5, 300)]


def photo(height, width):
    """The bytes of a grey picture without any black."""
    file = io.BytesIO()
    Picture.new("RGB", (width, height), (90, 90, 90)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("resize", ["pad", "squash"])
@pytest.mark.parametrize("kind", [DetectConfig, SegmentConfig])
def test_a_picture_is_found_in_its_square(kind, resize):
    config = kind(picture="photo", size=32, resize=resize)
    modality = ImageConfig(size=32, resize=resize).build()
    pictures = modality.collate_opened([modality.open(photo(*extent)) for extent in EXTENTS])
    places = config.places(pictures.extent)
    for row in range(len(EXTENTS)):
        part, (top, left) = config.cropped(pictures, row)
        assert (part == 90).all(), "a border is shown"
        seen = (pictures.values[row] > 0).any(dim=0)
        assert seen.sum() == part.shape[0] * part.shape[1], "a part of the picture is not shown"
        assert seen[top, left]
        assert [top, left] == places.corner[row].tolist()


def test_a_row_without_its_picture_lies_somewhere():
    """What is told of it is nothing; no number of it is infinite."""
    config = DetectConfig(picture="photo", size=32, resize="pad")
    places = config.places(torch.tensor([[0, 0]]))
    assert torch.isfinite(places.to_picture(torch.tensor([[[0.0, 0, 32, 32]]]))).all()
    modality = ImageConfig(size=32, resize="pad").build()
    pictures = modality.collate_opened([None, modality.open(photo(30, 60))])
    part, _ = config.cropped(pictures, 0)
    assert part.shape == (32, 32, 3)
    assert not part.any()


@pytest.mark.parametrize("kind", [DetectConfig, SegmentConfig])
def test_draw_leaves_the_size_and_the_picture_as_they_are(kind):
    config = kind(picture="photo", size=32, resize="pad")
    task = config.build()
    task.labels = ["no", "yes"]
    picture = np.full((300, 400, 3), 90, dtype=np.uint8)
    answers = {
        "detect": [{"label": "yes", "box": [10.0, 20.0, 300.0, 290.0], "score": 0.5}],
        "segment": np.eye(300, 400, dtype=np.uint8),
    }
    drawn = task.draw(picture, answers[config.kind])
    assert drawn.shape == picture.shape
    assert (drawn != picture).any()
    assert (picture == 90).all()


def test_a_small_size_is_refused():
    with pytest.raises(ValueError, match="greater than or equal to 8"):
        DetectConfig(size=4)
    # Both tasks call the same thing the same.
    assert set(SegmentConfig.model_fields) - {"classes"} == set(DetectConfig.model_fields) - {"confidence"}
