import math

import torch

from tonggan.layers.positions import sinusoidal_positions


def test_formula_by_hand():
    positions = sinusoidal_positions(60, 6)
    assert positions.shape == (60, 6)
    for place, index in [(0, 0), (1, 0), (7, 1), (59, 2)]:
        angle = place / 10_000 ** (2 * index / 6)
        assert math.isclose(positions[place, 2 * index], math.sin(angle), abs_tol=1e-5)
        assert math.isclose(positions[place, 2 * index + 1], math.cos(angle), abs_tol=1e-5)


def test_odd_width_drops_the_last_cosine():
    torch.testing.assert_close(sinusoidal_positions(4, 5)[:, 0], torch.arange(4.0).sin())
    assert sinusoidal_positions(4, 5).shape == (4, 5)
