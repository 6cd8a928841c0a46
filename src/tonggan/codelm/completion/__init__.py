"""Completion of code at a cursor: context, candidates, checks, repairs, and silence where nothing is sure."""
