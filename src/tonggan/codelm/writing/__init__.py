"""``tonggan code write``: a function from words, that passes the examples and tests it was given."""

from tonggan.codelm.writing.request import Request, read_request
from tonggan.codelm.writing.tried import Report, Tried, apply
from tonggan.codelm.writing.writing import write

__all__ = ["Report", "Request", "Tried", "apply", "read_request", "write"]
