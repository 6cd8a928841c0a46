"""Tonggan (通感): multimodal models from a table of pictures, texts, sounds and numbers, on hardware you own.

>>> import tonggan
>>> model = tonggan.fit("train.csv", target="label", out="runs/first")  # doctest: +SKIP
>>> tonggan.load("runs/first").predict("new.csv")  # doctest: +SKIP
"""

import sys

if (
    getattr(sys, "argv", [])[:1] == ["-m"] and not sys.flags.safe_path
):  # so it stands while ``python -m tonggan`` looks for its module
    # Python has put the folder that the user stands in before all others: a repository's typing.py would be run.
    del sys.path[0]

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tonggan.openmp import spin_bounds

if TYPE_CHECKING:
    from tonggan.api import classify, fit, fit_recommender, fit_space, index, load, pretrain, run, tune
    from tonggan.errors import DataWarning, TongganError
    from tonggan.estimators import TongganClassifier, TongganRegressor
    from tonggan.models.voice import speak
    from tonggan.recommendation.recommender import Recommender
    from tonggan.runs.predictor import Predictor
    from tonggan.space.index import SpaceIndex

__all__ = [
    "DataWarning",
    "Predictor",
    "Recommender",
    "SpaceIndex",
    "TongganClassifier",
    "TongganError",
    "TongganRegressor",
    "classify",
    "compress",
    "export",
    "fit",
    "fit_recommender",
    "fit_space",
    "index",
    "load",
    "pretrain",
    "run",
    "speak",
    "tune",
]

_HOME = {
    "classify": "tonggan.api",
    "compress": "tonggan.api",
    "export": "tonggan.api",
    "fit": "tonggan.api",
    "fit_recommender": "tonggan.api",
    "fit_space": "tonggan.api",
    "index": "tonggan.api",
    "load": "tonggan.api",
    "pretrain": "tonggan.api",
    "run": "tonggan.api",
    "speak": "tonggan.models.voice",
    "tune": "tonggan.api",
    "Predictor": "tonggan.runs.predictor",
    "Recommender": "tonggan.recommendation.recommender",
    "SpaceIndex": "tonggan.space.index",
    "DataWarning": "tonggan.errors",
    "TongganClassifier": "tonggan.estimators",
    "TongganError": "tonggan.errors",
    "TongganRegressor": "tonggan.estimators",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that ``import tonggan`` does not pay for torch before it is needed.
    if name not in _HOME:
        raise AttributeError(f"module 'tonggan' has no attribute '{name}'")
    # The environment is as it was once torch has been imported and has read it.
    bounds = {} if "torch" in sys.modules else spin_bounds(os.environ)
    os.environ.update(bounds)
    try:
        return getattr(import_module(_HOME[name]), name)
    finally:
        for variable in bounds:
            del os.environ[variable]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
