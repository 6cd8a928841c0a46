"""Training by two processes that share each batch, beside one process on as many cores: what sharing costs.

The picture + sound network of training_throughput.py and its 2,048 rows, in float32, by the same loop: one process on
one thread, one process on two, and two processes on one thread each, as torchrun starts them (gloo). Each repeat runs
all of them, in fresh processes one after the other, in an order that turns; the first epoch is not counted. That they
learn the same is seen from the last loss, to 1 %: rounding differs, and that grows with each step.

Run: python benchmarks/processes.py [--batches 32 256] [--repeats 3] [--epochs 3]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from training_throughput import ROWS, run_tonggan

WAYS = {"one process, one thread": (1, 1), "one process, two threads": (1, 2), "two processes": (2, 1)}
"""Processes, and threads of each."""


def run_fresh(way: str, *, batch: int, epochs: int) -> dict[str, Any]:
    """Seconds of all epochs but the first, and the last loss, of a training in processes of its own."""
    processes, threads = WAYS[way]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"OMP_NUM_THREADS": threads, "WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    with tempfile.TemporaryDirectory() as folder:
        own = ["--only", way, "--batches", str(batch), "--epochs", str(epochs), "--folder", folder]
        running = [
            subprocess.Popen(
                [sys.executable, __file__, *own],
                env=os.environ | {name: str(value) for name, value in {**common, "RANK": rank}.items()},
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(processes)
        ]
        printed = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit(f"{way} failed")
    found: dict[str, Any] = json.loads(printed[0].splitlines()[-1])
    return found


def main() -> None:
    """Measure, and print a line for each size of a batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 256], help="rows of a batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="the first is not counted")
    parser.add_argument("--only", choices=WAYS, help="train one way here and print its result as JSON")
    parser.add_argument("--folder", type=Path, help="of its checkpoints")
    options = parser.parse_args()
    if options.only:
        threads, batch = WAYS[options.only][1], options.batches[0]
        print(json.dumps(run_tonggan(options.epochs, threads, batch_size=batch, folder=options.folder)))
        return
    columns = ["rows of a batch", *(f"{way}, rows/s" for way in WAYS), "two processes beside two threads"]
    print(f"| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|")
    for batch in options.batches:
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for repeat in range(options.repeats):
            for place in range(len(WAYS)):
                way = [*WAYS][(place + repeat) % len(WAYS)]
                found[way].append(run_fresh(way, batch=batch, epochs=options.epochs))
        speeds = {
            way: statistics.median((options.epochs - 1) * ROWS / each["seconds"] for each in results)
            for way, results in found.items()
        }
        one, *others = (results[-1]["loss"] for results in found.values())
        if any(abs(other - one) > 1e-2 * one for other in others):
            raise SystemExit(f"they learn otherwise: {one}, {others}")
        ratio = speeds["two processes"] / speeds["one process, two threads"]
        cells = [str(batch), *(f"{speed:,.0f}" for speed in speeds.values()), f"{ratio:.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
