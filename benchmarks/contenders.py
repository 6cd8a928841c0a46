"""Contenders of a training benchmark: each in a process of its own, in turn, so that no one has a warmer machine.

A script hands its contenders over; started with ``--only`` it runs one of them and prints its result as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Contender = Callable[[int, int], dict[str, Any]]
"""Epochs and threads to a result with the ``seconds`` of all epochs but the first, and whatever else is of interest."""


def compare(
    contenders: Mapping[str, Contender], *, description: str | None, epochs: int, missing: Sequence[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    """Results by contender, one for each repeat, each with its number of counted ``epochs``; none after ``--only``.

    Args:
        contenders: by name.
        description: of the script, for ``--help``.
        epochs: by default.
        missing: names of contenders that are not installed.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=epochs, help="the first is not counted")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", choices=contenders, help="run one contender here and print its result as JSON")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(contenders[options.only](options.epochs, options.threads)))
        return {}
    names = [name for name in contenders if name not in missing]
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for repeat in range(options.repeats):
        for place in range(len(names)):
            name = names[(place + repeat) % len(names)]
            found = _run_fresh(name, epochs=options.epochs, threads=options.threads)
            results[name].append(found | {"epochs": options.epochs - 1})
    return results


def _run_fresh(name: str, *, epochs: int, threads: int) -> dict[str, Any]:
    """The contender's result from a process of its own."""
    command = [sys.executable, sys.argv[0], "--only", name, "--epochs", str(epochs), "--threads", str(threads)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
