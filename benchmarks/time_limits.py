"""How well ``tonggan fit --time-limit`` keeps and uses its time, and what its model is worth: alone and beside others.

Beside others means: beside two plain programs that compute with PyTorch. The clock is that of whoever typed the
command, from its start to its end.
Run: python benchmarks/time_limits.py diamonds.train.csv --target price [--limits 20 60 180] [--loads 0 2]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUSY = "import torch; a = torch.randn(600, 600)\nwhile True: a = torch.tanh(a @ a.T / 600)"


def measure(table: Path, *, target: str, limit: int, load: int) -> str:
    """One run, as a row of the table."""
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(load)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tonggan", "fit", str(table), "--target", target, "--json"]
            start = time.monotonic()
            done = subprocess.run(
                [*command, "--time-limit", f"{limit}s", "--out", f"{folder}/run"], capture_output=True, check=True
            )
            seconds = time.monotonic() - start
    finally:
        for process in busy:
            process.kill()
            process.wait()
    results = json.loads(done.stdout)
    score, training = results["score_name"], results["training"]
    return (
        f"| {limit} s | {load} | {seconds:.1f} s | {seconds / limit - 1:+.1%} | {training['steps']:,} "
        f"| {score} {results['metrics']['valid'][score]:.3f} | {results['measured']['valid']:,} |"
    )


def main() -> None:
    """Print the table row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--target", required=True)
    parser.add_argument("--limits", type=int, nargs="+", default=[20, 60, 180])
    parser.add_argument("--loads", type=int, nargs="+", default=[0, 2])
    arguments = parser.parse_args()
    print(
        "| limit | other programs | took | off by | steps | score | rows measured |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    for limit in arguments.limits:
        for load in arguments.loads:
            print(measure(arguments.table, target=arguments.target, limit=limit, load=load), flush=True)


if __name__ == "__main__":
    main()
