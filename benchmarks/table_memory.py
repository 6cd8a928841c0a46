"""Peak memory against table size: a CSV of picture paths is opened, then read once in random batches of 256 rows.

Each size runs in a fresh process, once with nothing stored and once from the stored table. What the interpreter and
the imports take is shown as the row of 0. The claim: a hundred times the rows take far less than a hundred times the
memory; what is left to grow is the permutation of row numbers and the mapped file, whose pages the system may drop.

    python benchmarks/table_memory.py
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH_SIZE = 256
MAX_MEGABYTES = 300


def write_table(path: Path, num_rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("image,question,answer\n")
        for row in range(num_rows):
            file.write(f"images/train/{row:08d}.png,is there a shape number {row % 977} in it?,{row % 13}\n")


def peak_megabytes() -> float:
    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1024)


def measure(path: Path, cache: Path) -> dict[str, float]:
    import numpy as np

    from tonggan.data.readers import open_table

    base = peak_megabytes()
    start = time.perf_counter()
    table = open_table(path, cache=cache)
    opened = time.perf_counter()
    order = np.random.default_rng(0).permutation(len(table))
    for first in range(0, len(table), BATCH_SIZE):
        rows = order[first : first + BATCH_SIZE]
        assert len(table.values("image", rows)) == len(table.values("answer", rows)) == len(rows)
    read = time.perf_counter()
    return {
        "rows": len(table),
        "base": base,
        "peak": peak_megabytes(),
        "open": opened - start,
        "batch": (read - opened) / -(-len(table) // BATCH_SIZE) * 1000,
    }


def in_fresh_process(path: Path, cache: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", str(path), str(cache)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--measure", type=Path, nargs=2, metavar=("CSV", "CACHE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    print("rows, size of the CSV; peak memory, seconds to open, milliseconds for a batch: first time | from the cache")
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for num_rows in options.rows:
            path = Path(folder) / f"{num_rows}.csv"
            write_table(path, num_rows)
            runs = [in_fresh_process(path, Path(folder) / "cache") for _ in range(2)]
            if not peaks:
                print(f"{0:>9} {0:>6.1f} MB", *(f"{run['base']:>6.0f} MB {'':>18}" for run in runs), sep=" | ")
            shown = (f"{run['peak']:>6.0f} MB {run['open']:>6.2f} s {run['batch']:>6.2f} ms" for run in runs)
            print(f"{num_rows:>9} {path.stat().st_size / 1e6:>6.1f} MB", *shown, sep=" | ")
            peaks.append(runs[0]["peak"])
    ratio = peaks[-1] / peaks[0]
    print(f"{options.rows[-1] / options.rows[0]:.0f} times the rows take {ratio:.2f} times the memory")
    if peaks[-1] > MAX_MEGABYTES:
        sys.exit(f"{peaks[-1]:.0f} MB is more than the {MAX_MEGABYTES} MB allowed")


if __name__ == "__main__":
    main()
