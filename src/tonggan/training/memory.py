"""Main memory between steps: freed memory is kept by the process for the next step. It limits nothing."""

from __future__ import annotations

import ctypes

# From glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3


def keep_freed_memory() -> None:
    """Tell glibc to hold on to freed memory; with another C library, nothing.

    Otherwise the activations of each step go back to the kernel and return as thousands of page faults, which took
    10 to 20 % of the time of a small network's step on a CPU. It holds for the rest of the process.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(_MMAP_THRESHOLD, 2**30)
