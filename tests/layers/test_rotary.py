import math

import torch

from tonggan.layers.rotary import rotate


def test_formula_by_hand():
    # Width 4: pairs (0, 2) and (1, 3), turned by p and p / 100.
    turned = rotate(torch.tensor([[0.0, 0, 0, 0], [1.0, 0, 0, 0], [0.0, 2, 0, 1]]))
    expected = torch.tensor(
        [
            [0, 0, 0, 0],
            [math.cos(1), 0, math.sin(1), 0],
            [
                0,
                2 * math.cos(0.02) - math.sin(0.02),
                0,
                math.cos(0.02) + 2 * math.sin(0.02),
            ],
        ]
    )
    torch.testing.assert_close(turned, expected)


def test_product_depends_on_distance_only():
    torch.manual_seed(0)
    query, key = torch.randn(8), torch.randn(8)
    queries, keys = rotate(query.expand(20, 8)), rotate(key.expand(20, 8))
    products = queries @ keys.T
    torch.testing.assert_close(products[5:, 5:], products[:-5, :-5], rtol=1e-4, atol=1e-5)
