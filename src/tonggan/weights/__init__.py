"""Pretrained weights: the catalogue of them, and the one way to verify their files. It builds no network."""

from __future__ import annotations

from tonggan.weights.catalogue import CATALOGUE, CatalogueEntry, find_weights
from tonggan.weights.packaged import PackagedWeights

__all__ = ["CATALOGUE", "CatalogueEntry", "PackagedWeights", "find_weights"]
