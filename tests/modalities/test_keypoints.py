"""Keypoints against OpenCV's own, what is found in nothing, and the geometry by hand."""

import io

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from contracts import check_modality
from tonggan.errors import UnreadableError
from tonggan.modalities.image import ImageConfig
from tonggan.modalities.keypoints import DESCRIPTOR, GEOMETRY, KeypointsConfig


def scene(width: int = 120, height: int = 80, *, seed: int = 0) -> np.ndarray:
    """Smoothed noise, in which there is much to find."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def png(grey: np.ndarray) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()


def test_contract():
    keypoints = KeypointsConfig().build()
    items = [keypoints.decode(png(scene())), keypoints.decode(png(scene(24, 24, seed=1))), None]
    assert len(items[0]) != len(items[1])
    check_modality(keypoints, "photo", {"photo": items})


def test_as_opencv_finds_them():
    grey = scene()
    found = KeypointsConfig(max_keypoints=2_500, contrast=0.04).build().decode(png(grey))
    keypoints, descriptors = cv2.SIFT_create(nfeatures=2_500).detectAndCompute(grey, None)
    assert len(found) == 1 + len(keypoints) > 20
    strongest = max(range(len(keypoints)), key=lambda place: keypoints[place].response)
    x, y = keypoints[strongest].pt
    angle = np.radians(keypoints[strongest].angle)
    geometry = [x / 120, y / 120, np.log2(keypoints[strongest].size / 120), np.cos(angle), np.sin(angle)]
    np.testing.assert_allclose(found[1, :GEOMETRY], geometry, atol=2e-3)
    assert np.array_equal(found[1, GEOMETRY:], descriptors[strongest])


def test_a_blank_picture_is_there():
    keypoints = KeypointsConfig().build()
    blank = keypoints.decode(png(np.full((50, 50), 200, np.uint8)))
    assert blank.shape == (1, GEOMETRY + DESCRIPTOR)
    arrays = keypoints.collate([blank, None])
    assert arrays.present.tolist() == [True, False]
    assert keypoints.show("photo", blank)[0].content is not None


def test_the_strongest_are_kept():
    whole, some = (KeypointsConfig(max_keypoints=most).build().decode(png(scene())) for most in (500, 7))
    assert len(some) == 8 < len(whole)
    assert {each.tobytes() for each in some} <= {each.tobytes() for each in whole}


def test_a_small_picture_is_enlarged_and_a_large_one_shrunk():
    small, large = cv2.resize(scene(96, 96), (32, 32), interpolation=cv2.INTER_AREA), scene(640, 640)
    assert len(KeypointsConfig(contrast=0.04).build().decode(png(small))) > 1 + len(
        cv2.SIFT_create(contrastThreshold=0.04).detect(small)
    )
    shrunk = KeypointsConfig(size=64).build().decode(png(large))
    assert 1 < len(shrunk) < len(KeypointsConfig(size=640).build().decode(png(large)))


def test_damaged_pictures_are_refused():
    with pytest.raises(UnreadableError, match="ends within a chunk"):
        KeypointsConfig().build().decode(png(scene())[:-50])


def test_of_a_column_of_pictures():
    assert KeypointsConfig.of(ImageConfig(white=4095)) == KeypointsConfig(white=4095)
    assert KeypointsConfig.of(ImageConfig(size=128)).size == 128


def test_what_was_found_is_kept_under_its_settings():
    keys = {
        KeypointsConfig(**settings).build().cache_key()
        for settings in ({}, {"size": 64}, {"contrast": 0.1}, {"max_keypoints": 3}, {"white": 255.0})
    }
    assert len(keys) == 5
    assert torch.isfinite(KeypointsConfig().build().collate([None]).values).all()
