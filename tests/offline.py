"""Run Python code in a process of its own that may neither use the network nor unpickle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forked

_GUARD = """
import sys

def guard(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise RuntimeError(f"the network was used: connect to {address}")
    elif event == "socket.getaddrinfo" and arguments[0] not in (None, "", "127.0.0.1", "::1", "localhost"):
        raise RuntimeError(f"the network was used: look up {arguments[0]}")
    elif event == "pickle.find_class" and guarding_pickle:
        raise RuntimeError(f"something was unpickled: {arguments}")

guarding_pickle = False
sys.addaudithook(guard)
import torch
torch.set_num_threads(1)
"""


def run_offline(
    code: str, *arguments: object, cache: Path, pickle_allowed: bool = False, imports_libraries: bool = False
) -> str:
    """What ``code`` prints, with ``arguments`` in ``sys.argv[1:]``; fails with its traceback where it fails.

    Args:
        code: may use ``sys``, ``torch`` and, unless it may unpickle, ``tonggan.api``.
        arguments: become texts.
        cache: the folder of decoded media.
        pickle_allowed: whether it may unpickle.
        imports_libraries: whether those are imported anew, under the same rules.
    """
    environment = {**os.environ, "TONGGAN_CACHE": str(cache)}
    environment["PYTHONPATH"] = os.pathsep.join([*sys.path, environment.get("PYTHONPATH", "")])
    start = _GUARD + ("" if pickle_allowed else "import tonggan.api\nguarding_pickle = True\n")
    command = [sys.executable, "-c", start + code, *map(str, arguments)]
    if imports_libraries:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    else:
        done = forked.run(command, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
