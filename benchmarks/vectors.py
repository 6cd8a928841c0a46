"""The ten nearest of 100,000 or 1,000,000 vectors: time, memory and recall of the store, beside other indexes.

    python benchmarks/vectors.py --folder /tmp/vectors --rows 100000
    python benchmarks/vectors.py --folder /tmp/vectors --rows 1000000 --only tonggan,numpy,faiss-flat,faiss-ivf

The vectors are those of 8,000 English and Chinese sentences (Tatoeba) under multilingual E5, and what lies between:
each further one is a sentence's, moved a random part of the way to one of its ten nearest and then by noise of a
twentieth of its length. What is asked for are 500 other sentences, as they are. Every contender runs in a process of
its own on one thread. What has a setting (cells or candidates that are looked at) has the lowest one, of powers of two,
whose recall@10 against the exact answer reaches 0.99; the store has chosen its own when it was filled. Filters keep
1 %, 10 % and 50 % of the rows; the store reads them from its table, the others are handed the rows that pass.

Times are those of the processor, so that they say the same beside other programs. Memory is that of the process beyond
what it held before it built or opened its index: ``private`` counts against the machine, ``mapped`` are pages of a file
that the system may drop. ``build, most`` holds two pieces of 50,000 vectors besides, in which everybody is handed them.
FAISS comes along; hnswlib and usearch are measured where they are installed. What a contender has built is kept in the
folder, except by numpy and FAISS flat, which only hold vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vector_indexes import CONTENDERS, DIM, QUERIES, SHARES, Contender, K, made, sentences, shares_of

RECALL = 0.99


def truth_of(folder: Path, rows: int) -> dict[str, list[set[int]]]:
    """The ten nearest rows of each query, among all and among those that each filter keeps."""
    path = folder / f"truth-{rows}.npy"
    if not path.exists():
        _, queries = sentences(folder)
        shares, kinds = shares_of(rows), (100, *SHARES)
        best = np.full((len(kinds), len(queries), K), -np.inf, np.float32)
        ids = np.zeros(best.shape, np.int64)
        for start, vectors in made(folder, rows):
            scores = queries @ vectors.T
            for place, kept in enumerate(kinds):
                there = np.flatnonzero(shares[start : start + len(vectors)] < kept)
                top = np.argpartition(-scores[:, there], K, axis=1)[:, :K]
                joined = np.hstack([best[place], np.take_along_axis(scores[:, there], top, axis=1)])
                named = np.hstack([ids[place], start + there[top]])
                order = np.argsort(-joined, axis=1, kind="stable")[:, :K]
                best[place] = np.take_along_axis(joined, order, axis=1)
                ids[place] = np.take_along_axis(named, order, axis=1)
        np.save(path, ids)
    names = ["all", *(f"{kept} %" for kept in SHARES)]
    return {name: [set(row) for row in each.tolist()] for name, each in zip(names, np.load(path), strict=True)}


def memory() -> dict[str, float]:
    """MiB of this process: its own, pages of files, and the most that it has held."""
    found = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/self/status").read_text()))
    names = {"private": "RssAnon", "mapped": "RssFile", "most": "VmHWM"}
    return {name: int(found[key]) / 1024 for name, key in names.items()}


def build(contender: Contender) -> dict[str, Any]:
    before, started = memory()["most"], time.process_time()
    contender.build()
    return {"build": time.process_time() - started, "most": memory()["most"] - before}


def search(contender: Contender, count: int) -> dict[str, Any]:
    before = memory()
    contender.open()
    truth = truth_of(contender.folder, contender.rows)
    queries = sentences(contender.folder)[1][:count]

    def asked(kept: int) -> dict[str, float]:
        true = truth["all" if kept == 100 else f"{kept} %"]
        times, hits = [], 0.0
        contender.search(queries[0], kept)
        for query, right in zip(queries, true[:count], strict=True):
            start = time.process_time()
            found = contender.search(query, kept)
            times.append(time.process_time() - start)
            hits += len(right & set(found)) / K
        p50, p99 = np.percentile(times, [50, 99]) * 1e3
        return {"p50": p50, "p99": p99, "recall": hits / len(queries)}

    def reached(kept: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for setting in contender.settings:
            if setting is not None:
                contender.set(setting)
            found = {**asked(kept), "setting": setting}
            if found["recall"] >= RECALL:
                break
        return found

    found = {"all": reached(100)}
    after = memory()
    found |= {key: after[key] - before[key] for key in ("private", "mapped")}
    if contender.filtered():
        for kept in SHARES:
            started = time.process_time()
            contender.search(queries[0], kept)
            found[f"{kept} %"] = {"first": (time.process_time() - started) * 1e3, **reached(kept)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", default=",".join(CONTENDERS))
    parser.add_argument("--queries", type=int, default=QUERIES, help="ask for so many of the sentences")
    parser.add_argument("--step", choices=("build", "search"), help="one step of one contender, as JSON")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.step:
        contender = CONTENDERS[given.only][0](given.folder, given.rows)
        done = build(contender) if given.step == "build" else search(contender, given.queries)
        print(json.dumps(done))
        return
    truth_of(given.folder, given.rows)
    print(f"{given.rows:,} x {DIM}; milliseconds, p50 / p99, and recall@10; MiB; seconds\n")
    print(
        "| | all | " + " | ".join(f"{kept} % kept" for kept in SHARES) + " | private | mapped | build, most | build |"
    )
    print("| --- " * (len(SHARES) + 6) + "|")
    for name in given.only.split(","):
        _, package = CONTENDERS[name]
        if not find_spec(package):
            print(f"{name} is not installed: skipped")
            continue
        path = given.folder / f"{name}-{given.rows}.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        if "build" not in known:
            known = stepped(given, name, "build")
        known |= stepped(given, name, "search")
        path.write_text(json.dumps(known))
        print(row_of(name, known), flush=True)


def row_of(name: str, known: dict[str, Any]) -> str:
    """A line of the table."""

    def asked(part: str) -> str:
        found = known.get(part)
        return f"{found['p50']:.2f} / {found['p99']:.2f}, {found['recall']:.3f}" if found else "–"

    cells = [asked(part) for part in ("all", *(f"{kept} %" for kept in SHARES))]
    cells += [f"{known[part]:,.0f}" for part in ("private", "mapped", "most")]
    return f"| {name} | {' | '.join(cells)} | {known['build']:.0f} |"


def stepped(given: argparse.Namespace, name: str, step: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--folder", given.folder, "--rows", given.rows, "--only", name]
    command += ["--queries", given.queries, "--step", step]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([str(part) for part in command], env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
