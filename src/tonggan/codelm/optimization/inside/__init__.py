"""What runs in the sandbox: it runs the user's tests, records calls, compares and times rewritten functions.

Its modules import nothing of Tonggan, so that a tree that holds another Tonggan is measured as it is.
"""
