"""What runs in the sandbox: it runs the user's tests, records calls, compares and times functions, tries new ones.

Its modules import nothing of Tonggan, so that a tree that holds another Tonggan is measured as it is.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent
PROGRAM = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location(
    "tonggan_inside", {str(_FOLDER / "__init__.py")!r}, submodule_search_locations=[{str(_FOLDER)!r}]
)
sys.modules["tonggan_inside"] = importlib.util.module_from_spec(spec)
from tonggan_inside import session
session.main()
"""
"""For ``run_python``: it reads a request as JSON, and writes the answer as its last line."""

COUNTED_PROGRAM = f"""
import os, sys
program = sys.executable, "-P", "-s", "-B", "-c", {PROGRAM!r}
valgrind = "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-fd=1", "--vgdb=no"
os.execvpe("valgrind", [*valgrind, *program], {{**os.environ, "PYTHONHASHSEED": "0"}})
"""
"""The same in valgrind, which ends with the number of instructions; the kernel's limits hold for it, too."""

MEMORY = 8 << 30
"""Bytes of address space for it, of which libraries reserve far more than they use."""
