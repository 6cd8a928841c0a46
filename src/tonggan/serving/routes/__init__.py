"""The routes, one file for each group. FastAPI is imported when they are registered, not before.

Files with handlers do without ``from __future__ import annotations``: FastAPI reads the annotations of handlers, and
would not find names that are imported within a function.
"""
