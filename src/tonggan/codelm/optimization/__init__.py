"""``tonggan code optimize``: functions made faster, with the evidence that they do the same."""

from tonggan.codelm.optimization.optimizing import apply, optimize
from tonggan.codelm.optimization.proposals import Proposal, Report

__all__ = ["Proposal", "Report", "apply", "optimize"]
