"""Compiled CPU kernels and their Python face; optional, and they know tensors only.

Without a compiler the package installs all the same; ``available`` then tells why the kernels are missing.
"""

from tonggan.native.library import available

__all__ = ["available"]
