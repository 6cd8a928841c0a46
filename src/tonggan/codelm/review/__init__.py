"""Review of Python repositories: what the code, its documents and its own habits say against each other."""

from tonggan.codelm.review.finding import Edit, Evidence, Finding
from tonggan.codelm.review.repository import Repository
from tonggan.codelm.review.reviewing import Review, review

__all__ = ["Edit", "Evidence", "Finding", "Repository", "Review", "review"]
