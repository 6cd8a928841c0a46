"""What each person may like next, learned from who took what: members that score items, and the blend that pays."""

from tonggan.parts import import_modules
from tonggan.recommendation.base import Examples, Histories, Scorer, ScorerConfig

import_modules(__name__)

__all__ = ["Examples", "Histories", "Scorer", "ScorerConfig"]
