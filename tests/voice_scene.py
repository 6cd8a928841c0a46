"""How tests find the English voice."""

from __future__ import annotations

import pytest

from tonggan.weights import CATALOGUE


def need_voice():
    """Skip a test where the voice or onnxruntime is not installed."""
    pytest.importorskip("onnxruntime", reason="onnxruntime computes the voice")
    if not CATALOGUE["hibari"].is_installed:
        pytest.skip("the package of 'hibari' is not installed")
