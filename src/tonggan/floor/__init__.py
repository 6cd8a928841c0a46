"""The floor: members that are not networks, fitted in seconds to what frozen encoders, texts and cells say."""

from tonggan.floor.base import CannotFitError, Examples, Goal, Member, MemberConfig, Stored
from tonggan.floor.features import Features, Reading
from tonggan.parts import import_modules

import_modules(__name__)

__all__ = ["CannotFitError", "Examples", "Features", "Goal", "Member", "MemberConfig", "Reading", "Stored"]
