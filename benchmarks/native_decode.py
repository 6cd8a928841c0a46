"""The native engine against llama.cpp: decoding and reading prompts, the same GGUF file, the same number of threads.

Each runs in a process of its own; rounds of the two alternate, and each round does 64 tokens one by one and prompts
of 128 and 512 tokens. Printed are the best of each and the median of the rounds' ratios. With ``--text`` also the
perplexity of that text beside float32 arithmetic on the file's own weights.

llama-cpp-python may live in another environment: name its Python with ``--peer-python``. Build it for this machine
(pip does when there is no wheel), so that it uses all instructions that the processor has.

Run: python benchmarks/native_decode.py MODEL.gguf [MORE.gguf ...] --peer-python OTHER/bin/python
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

JOBS = ("decode 64", "prompt 128", "prompt 512")
CONTEXT = 1024


def open_native(path: Path, num_threads: int) -> dict[str, Callable[[int], None]]:
    import torch

    from tonggan.language.gguf_file import GGUFFile
    from tonggan.language.native_engine import NativeEngine

    torch.set_num_threads(num_threads)
    engine = NativeEngine.from_gguf(GGUFFile(path), num_threads=num_threads)
    session = engine.session(1, capacity=CONTEXT)
    row = torch.tensor([0])

    def prompt(count: int) -> None:
        session.truncate(torch.tensor([0]), rows=row)
        session.prefill(engine.embed(torch.arange(count)[None]), mask=torch.ones(1, count, dtype=torch.bool), rows=row)

    def decode(count: int) -> None:
        ids = torch.tensor([[5]])
        for _ in range(count):
            ids[0, 0] = int(session.step(ids, rows=row).numpy().argmax())

    return {"prompt": prompt, "decode": decode}


def open_llama_cpp(path: Path, num_threads: int) -> dict[str, Callable[[int], None]]:
    import llama_cpp
    import numpy as np

    model = llama_cpp.Llama(str(path), n_threads=num_threads, n_threads_batch=num_threads, n_ctx=CONTEXT, verbose=False)

    def prompt(count: int) -> None:
        model.reset()
        model.eval(list(range(count)))

    def decode(count: int) -> None:
        token = 5
        for _ in range(count):
            model.eval([token])
            logits = llama_cpp.llama_get_logits_ith(model._ctx.ctx, -1)
            token = int(np.ctypeslib.as_array(logits, (model.n_vocab(),)).argmax())

    return {"prompt": prompt, "decode": decode}


def work(name: str, path: Path, num_threads: int) -> None:
    """Do the jobs that come in, a line each, and answer with the tokens per second of each."""
    functions = {"native": open_native, "llama.cpp": open_llama_cpp}[name](path, num_threads)
    functions["prompt"](8)
    print("ready", flush=True)
    for line in sys.stdin:
        kind, count = line.split()
        if kind == "decode":
            functions["prompt"](8)
        start = time.perf_counter()
        functions[kind](int(count))
        print(int(count) / (time.perf_counter() - start), flush=True)


class Worker:
    """A process that does jobs for one engine."""

    def __init__(self, python: str, name: str, path: Path, num_threads: int) -> None:
        command = [python, __file__, str(path), "--threads", str(num_threads), "--work", name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()

    def _read(self) -> str:
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{' '.join(self.process.args)} ended with status {self.process.wait()}")
        return answer

    def run(self, job: str) -> float:
        self.process.stdin.write(f"{job}\n")
        self.process.stdin.flush()
        return float(self._read())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(path: Path, options: argparse.Namespace) -> None:
    pythons = {"native": sys.executable, "llama.cpp": options.peer_python}
    workers = {name: Worker(python, name, path, options.threads) for name, python in pythons.items()}
    speeds = {name: {job: [] for job in JOBS} for name in workers}
    for _ in range(options.rounds):
        for job in JOBS:
            for name, worker in workers.items():
                speeds[name][job].append(worker.run(job))
    for worker in workers.values():
        worker.close()
    for job in JOBS:
        ours, theirs = speeds["native"][job], speeds["llama.cpp"][job]
        ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
        print(
            f"{path.name}, {job}: native {max(ours):.0f}, llama.cpp {max(theirs):.0f} tokens/s at best; "
            f"ratio of bests {max(ours) / max(theirs):.2f}, median of ratios {ratio:.2f}",
            flush=True,
        )


def perplexities(path: Path, options: argparse.Namespace) -> None:
    """Of the text under float32 arithmetic, and how much worse native's are, by steps and as a prompt."""
    import torch
    import torch.nn.functional as F

    from tonggan.language.gguf_file import GGUFFile
    from tonggan.language.gguf_tokenizer import read_gguf_tokenizer
    from tonggan.language.native_engine import NativeEngine

    torch.set_num_threads(options.threads)
    file = GGUFFile(path)
    text = options.text.read_text(encoding="utf-8")
    ids = torch.tensor([read_gguf_tokenizer(file.metadata).encode(text)[: options.text_tokens]])
    state = {name: torch.from_numpy(file.dequantize(name)) for name in file.tensors}
    with torch.device("meta"):
        model = file.config.build().eval()
    model.load_state_dict(state, assign=True)

    def loss(logits: torch.Tensor) -> float:
        return F.cross_entropy(logits[:-1], ids[0, 1:]).item()

    with torch.no_grad():
        expected = loss(model.logits(model.forward(model.embed(ids)))[0])
    print(f"{path.name}, perplexity of {ids.shape[1]} tokens in float32: {math.exp(expected):.2f}")
    engines = {
        "the file's weights": lambda: NativeEngine.from_gguf(file, num_threads=options.threads),
        "quantized again, 8 bits": lambda: NativeEngine.from_state(file.config, state, bits=8),
        "quantized again, 4 bits": lambda: NativeEngine.from_state(file.config, state, bits=4),
    }
    for name, make in engines.items():
        engine = make()
        session = engine.session(1, capacity=ids.shape[1])
        steps = torch.cat([session.step(part, rows=torch.tensor([0]))[0] for part in ids.split(16, dim=1)])
        prompt = engine.logits(engine.hidden(engine.embed(ids), mask=torch.ones_like(ids, dtype=torch.bool)))[0]
        by_steps, by_prompt = (100 * (math.exp(loss(logits) - expected) - 1) for logits in (steps, prompt))
        print(f"  native, {name}: {by_steps:+.2f} % by steps, {by_prompt:+.2f} % as a prompt", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="MODEL.gguf")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that imports llama_cpp")
    parser.add_argument("--text", type=Path, help="held-out text to tell the perplexity of")
    parser.add_argument("--text-tokens", type=int, default=1024)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.files[0], options.threads)
        return
    if options.text:
        for path in options.files:
            perplexities(path, options)
    if subprocess.run(
        [options.peer_python, "-I", "-c", "import llama_cpp"], capture_output=True, check=False
    ).returncode:
        sys.exit(f"{options.peer_python} has no llama-cpp-python: pip install llama-cpp-python, or name --peer-python")
    for path in options.files:
        compare(path, options)


if __name__ == "__main__":
    main()
