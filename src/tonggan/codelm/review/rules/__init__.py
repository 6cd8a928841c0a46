"""The rules of a review: one file for each or for a few that belong together."""
