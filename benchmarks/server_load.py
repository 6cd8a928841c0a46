"""200 clients at once for a bounded time: no error but 429, and memory that stays flat.

Chats, streams, completions and embeddings in turn; one client in ten leaves in the middle of its stream. The model is
a tiny one with random weights, so that the server itself is what is under load; --model serves another.
Run: python benchmarks/server_load.py [--seconds 600]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import torch

from tonggan.language.causal_transformer import CausalTransformerConfig
from tonggan.language.gguf_export import export_gguf
from tonggan.language.tokenizer import Tokenizer

TEXT = "The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸跳过懒狗。"
MOST_SECONDS = 600
WARM_UP = 0.5
"""The part of the time after which memory counts as what it is to stay at."""
GROWTH = 0.05, 16 * 2**20
"""Part, and bytes, by which memory may grow from there."""


@dataclass
class Tally:
    """What happened."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    tokens: int = 0
    memory: list[tuple[float, int]] = field(default_factory=list)


def write_model(folder: Path) -> Path:
    """A Llama of two small layers, as a GGUF file."""
    torch.manual_seed(0)
    tokenizer = Tokenizer.train([TEXT], vocab_size=320)
    config = CausalTransformerConfig(
        vocab_size=tokenizer.size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
    )
    path = folder / "tiny.gguf"
    export_gguf(config.build(), tokenizer, path, name="tiny", kind="f32")
    return path


async def client(number: int, url: str, model: str, tally: Tally, *, until: float) -> None:
    """Ask one thing after the other; wait as told where the queue is full."""
    chance = random.Random(number)
    async with httpx.AsyncClient(base_url=url, timeout=120) as connection:
        while time.monotonic() < until:
            start = time.monotonic()
            outcome = await ask(connection, model, tally, chance)
            tally.outcomes[outcome] += 1
            if outcome == "429":
                await asyncio.sleep(chance.uniform(0.5, 1.5))
            else:
                tally.seconds.append(time.monotonic() - start)


async def ask(connection: httpx.AsyncClient, model: str, tally: Tally, chance: random.Random) -> str:
    """One request; its status, ``left`` where the client did not wait for the end, or the error."""
    messages = [{"role": "user", "content": TEXT[: chance.randrange(4, len(TEXT))]}]
    body = {"model": model, "max_tokens": chance.randrange(4, 48), "temperature": chance.choice([0, 0.8])}
    kind = chance.randrange(4)
    try:
        if kind == 0:
            async with connection.stream(
                "POST", "/chat/completions", json={**body, "messages": messages, "stream": True}
            ) as answer:
                if answer.status_code != 200:
                    return str(answer.status_code)
                leaves = chance.random() < 0.4  # of the quarter that streams: one request in ten
                lines = 0
                async for line in answer.aiter_lines():
                    lines += line.startswith("data: ")
                    if leaves and lines == 3:
                        return "left"
                    if line.startswith('data: {"error"'):
                        return line
                return "200" if line == "" and lines > 2 else f"a stream of {lines} events"
        if kind == 1:
            answer = await connection.post("/chat/completions", json={**body, "messages": messages})
        elif kind == 2:
            answer = await connection.post("/completions", json={**body, "prompt": TEXT, "n": 2, "logprobs": 1})
        else:
            answer = await connection.post("/embeddings", json={"model": model, "input": [TEXT, TEXT[:9]]})
    except httpx.HTTPError as error:
        return repr(error)
    if answer.status_code == 200:
        tally.tokens += answer.json()["usage"].get("completion_tokens", 0)
        return "200"
    return "429" if answer.status_code == 429 else f"{answer.status_code} {answer.text[:200]}"


async def watch(process: int, tally: Tally, *, until: float) -> None:
    """Resident memory of the server, once a second."""
    start = time.monotonic()
    while time.monotonic() < until:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        tally.memory.append((time.monotonic() - start, pages * 4096))
        await asyncio.sleep(1)


async def load(url: str, model: str, process: int, *, clients: int, seconds: float) -> Tally:
    tally = Tally()
    until = time.monotonic() + seconds
    tasks = [client(number, url, model, tally, until=until) for number in range(clients)]
    await asyncio.gather(watch(process, tally, until=until), *tasks)
    return tally


def report(tally: Tally, *, seconds: float) -> bool:
    """Print what happened; whether it is what it should be."""
    errors = {outcome: count for outcome, count in tally.outcomes.items() if outcome not in ("200", "429", "left")}
    answered = tally.outcomes["200"]
    steps = statistics.quantiles(tally.seconds, n=100)
    shown = ", ".join(f"{share} % in {steps[share - 1]:.2f} s" for share in (50, 90, 99))
    print(f"{answered} answers ({answered / seconds:.0f} a second), {tally.outcomes['left']} left midway, {shown}")
    print(f"{tally.outcomes['429']} times 429; {len(errors)} other errors {errors or ''}")
    settled = [memory for moment, memory in tally.memory if moment >= WARM_UP * seconds]
    # Of the first and the last tenth of the rest: a single number is what the allocator happens to hold.
    size = max(1, len(settled) // 10)
    before, after = statistics.median(settled[:size]), statistics.median(settled[-size:])
    grown = after - before
    print(f"memory {before / 2**20:.0f} MiB after {WARM_UP:.0%} of the time, {after / 2**20:.0f} MiB at the end")
    return not errors and answered > 0 and grown <= max(GROWTH[0] * before, GROWTH[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--model", help="what 'tonggan serve' opens, instead of a tiny random one")
    options = parser.parse_args()
    assert 0 < options.seconds <= MOST_SECONDS, f"--seconds: at most {MOST_SECONDS}"
    with tempfile.TemporaryDirectory() as temporary:
        model = options.model or str(write_model(Path(temporary)))
        command = [sys.executable, "-P", "-m", "tonggan", "serve", model, "--port", "0", "--max-length", "512"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            url = next(found[0] for line in process.stderr if (found := re.search(r"http://[\d.]+:\d+/v1", line)))
            name = httpx.get(f"{url}/models").json()["data"][0]["id"]
            run = load(url, name, process.pid, clients=options.clients, seconds=options.seconds)
            is_good = report(asyncio.run(run), seconds=options.seconds)
            still_there = httpx.get(url.removesuffix("/v1") + "/health").status_code == 200
        finally:
            process.terminate()
            process.wait()
    assert is_good, "there were errors, or memory grew"
    assert still_there, "the server does not answer any more"


if __name__ == "__main__":
    main()
