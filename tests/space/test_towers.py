import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as Reference

from tonggan.space.features import Features
from tonggan.space.towers import Ridge, Space, Standardize, fitted_ridge


def read(values: np.ndarray) -> Features:
    """``values`` as the features of rows that are all there."""
    return Features(values, np.ones(len(values), bool), np.arange(len(values)))


def test_ridge_equals_scikit_learn_for_any_penalty():
    random = np.random.default_rng(0)
    inputs, targets = random.normal(size=(40, 6)), random.normal(size=(40, 3))
    ridge = Ridge(inputs, targets)
    for penalty in (0.1, 10.0, 1000.0):
        wanted = Reference(alpha=penalty, fit_intercept=False).fit(inputs, targets).coef_.T
        np.testing.assert_allclose(ridge.weight(penalty), wanted, rtol=1e-4, atol=1e-6)
    sides = [(inputs[:20].astype(np.float32), targets[:20].astype(np.float32)), (inputs[20:], targets[20:])]
    np.testing.assert_allclose(fitted_ridge(sides).weight(1.0), ridge.weight(1.0), rtol=1e-3, atol=1e-5)


def test_standardized_features_are_clipped_and_constants_count_nothing():
    part = Standardize(2)
    part.fit(np.array([[1.0, 5.0], [3.0, 5.0]], dtype=np.float32))
    found = part(torch.tensor([[3.0, 9.0], [1e6, 5.0]]))
    assert found.tolist() == [[1.0, 0.0], [10.0, 0.0]]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_inner_products_are_the_shared_cosines_of_both_parts(share):
    torch.manual_seed(0)
    space = Space({"text": 5, "image": 3}, dim=4, hidden=8, linear_dim=5).eval()
    space.share = share
    random = np.random.default_rng(0)
    texts = random.normal(size=(6, 5)).astype(np.float32)
    pictures = random.normal(size=(4, 3)).astype(np.float32)
    products = space.embed("text", read(texts), as_query=True) @ space.embed("image", read(pictures)).T

    def cosines(left: torch.Tensor, right: torch.Tensor) -> np.ndarray:
        return (torch.nn.functional.normalize(left, dim=1) @ torch.nn.functional.normalize(right, dim=1).T).numpy()

    with torch.no_grad():
        texts, pictures = torch.from_numpy(texts), torch.from_numpy(pictures)
        linear = cosines(space.maps["text"](texts), space.maps["image"](pictures))
        towers = cosines(space.towers["text"](texts), space.towers["image"](pictures))
    np.testing.assert_allclose(products, share * linear + (1 - share) * towers, atol=1e-6)
    assert space.width == (0 if share == 0 else 5) + (0 if share == 1 else 4)


def test_euclidean_spaces_rank_by_distance():
    torch.manual_seed(0)
    space = Space({"text": 5}, dim=4, hidden=8, distance="euclidean").eval()
    values = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    products = space.embed("text", read(values), as_query=True) @ space.embed("text", read(values)).T
    with torch.no_grad():
        vectors = space.towers["text"](torch.from_numpy(values))
    wanted = torch.cdist(vectors, vectors).argsort(dim=1)
    assert torch.from_numpy(-products).argsort(dim=1).tolist() == wanted.tolist()


def test_adapted_features_have_the_mean_and_deviation_of_the_collection():
    random = np.random.default_rng(0)
    part = Standardize(3)
    learned = random.normal(loc=[0, 5, 1], scale=[1, 2, 0], size=(500, 3)).astype(np.float32)
    part.fit(learned)
    part.adapt(random.normal(loc=[10, -5, 9], scale=[3, 1, 1], size=(9_900, 3)).astype(np.float32))
    torch.testing.assert_close(part.mean[:2], torch.tensor([9.9, -4.9]), atol=0.1, rtol=0)
    torch.testing.assert_close(1 / part.scale[:2], torch.tensor([2.98, 1.01]), atol=0.1, rtol=0)
    assert part.scale[2] == 0  # what never varied in training says nothing later
    few = Standardize(1)
    few.fit(np.array([[0.0], [2.0]], dtype=np.float32))
    few.adapt(np.array([[99.0], [101.0]], dtype=np.float32))
    assert few.mean.item() == pytest.approx(1 + 99 * 2 / 102)
