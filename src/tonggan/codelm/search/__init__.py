"""Search in a repository: by words, by meaning and by symbols, kept up to date file by file."""

from tonggan.codelm.search.code_index import CodeIndex, Hit
from tonggan.codelm.search.reasons import Reason

__all__ = ["CodeIndex", "Hit", "Reason"]
