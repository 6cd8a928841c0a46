import numpy as np
import pytest
import torch

from tonggan.alignment.distances import as_items, as_queries, similarities


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "dot"])
def test_stored_vectors_rank_as_the_distance_does(distance):
    torch.manual_seed(0)
    left, right = torch.randn(5, 4), torch.randn(9, 4)
    wanted = similarities(left, right, distance)
    products = as_queries(left, distance) @ as_items(right, distance).T
    np.testing.assert_array_equal(wanted.argsort(dim=1).numpy(), products.argsort(dim=1).numpy())
    if distance == "euclidean":
        torch.testing.assert_close(wanted, -torch.cdist(left, right).square() / 2, rtol=1e-4, atol=1e-5)
