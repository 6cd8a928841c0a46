"""Gaussian processes: their contract, and scikit-learn's mean under the same kernel."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern

from contracts import check_member
from tonggan.floor import Examples, Goal, Reading
from tonggan.floor.gaussian_process import GaussianProcessConfig, _Kernel


def test_contract() -> None:
    check_member(GaussianProcessConfig(steps=4))


def test_the_kernel_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    rows, others = generator.normal(size=(30, 3)), generator.normal(size=(9, 3))
    values = {
        "reach": torch.tensor([0.2, -0.3, 1.0], dtype=torch.float64),
        "size": torch.tensor([0.4], dtype=torch.float64),
        "linear": torch.tensor(-0.7, dtype=torch.float64),
        "noise": torch.tensor(-1.0, dtype=torch.float64),
    }
    matrix = _Kernel([3], values, has_cells=True).matrix([torch.from_numpy(rows)], [torch.from_numpy(others)])
    smooth = ConstantKernel(np.exp(0.4)) * Matern(np.exp([0.2, -0.3, 1.0]), nu=2.5)
    reference = smooth + ConstantKernel(np.exp(-0.7)) * DotProduct(sigma_0=0)
    np.testing.assert_allclose(matrix.numpy(), reference(rows, others), atol=1e-9)


def test_a_smooth_function_of_one_of_the_columns_is_found() -> None:
    generator = np.random.default_rng(0)
    cells = generator.normal(size=(120, 5)).astype(np.float32)
    numbers = (np.sin(2 * cells[:, :1]) + 0.3 * cells[:, 1:2]).astype(np.float64)
    known, fresh = slice(0, 90), slice(90, None)
    features = {"table": Reading(np.ones(90, dtype=bool), cells=cells[known])}
    member = GaussianProcessConfig().fit(
        Examples(features, numbers[known], np.ones(90)), Goal("numbers", 1), seed=0, seconds=float("inf")
    )
    found = member.predict({"table": Reading(np.ones(30, dtype=bool), cells=cells[fresh])})
    reference = GaussianProcessRegressor(Matern(np.ones(5), nu=2.5), alpha=0.01).fit(cells[known], numbers[known])
    theirs = reference.predict(cells[fresh])[:, None]
    ours, others = (float(np.square(each - numbers[fresh]).mean()) for each in (found, theirs))
    assert ours < 0.05
    assert ours < 2 * others
