"""How long threads of OpenMP that have nothing to do keep asking for work, before they leave the processor to others.

The runtimes read this from the environment when they are loaded, which PyTorch does when it is imported: whoever
imports it sets it before. Left alone, GNU's runtime turns 300,000 times and LLVM's for 200 ms. Alone on a machine that
gains nothing that can be measured; beside another program that computes, each waits for threads that the other one's
waiting threads keep from running, and a step of training took up to fifty times as long.
"""

from __future__ import annotations

from collections.abc import Mapping

_BOUNDS = {"GOMP_SPINCOUNT": "5000", "KMP_BLOCKTIME": "1"}  # turns of GNU's runtime, milliseconds of LLVM's and Intel's
_OF_THE_USER = {"OMP_WAIT_POLICY", *_BOUNDS}


def spin_bounds(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to ``environment``: none where it says already how to wait."""
    return {} if _OF_THE_USER & set(environment) else dict(_BOUNDS)
