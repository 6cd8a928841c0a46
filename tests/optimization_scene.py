"""A function that is slow in a way for which there is a rewrite."""

UNIQUE = """\
def unique(items):
    result = []
    for item in items:
        if item not in result:
            result.append(item)
    return result
"""
