"""A detector of bugs that is learned from code, and may be learned from one's own."""
