"""Engines for text on the same weights: prefill and decode tokens/s, first token, time to load, peak memory.

Hugging Face generate, Tonggan's torch, native and llamacpp engines, and llama-cpp-python each run in a process of their
own with the same prompt and threads, one after the other in rounds; the table has medians over the rounds. Greedy,
batch of one.

- prefill: tokens of the long prompt over the time to the first token after it
- first token: milliseconds to the first token after a prompt of 16 tokens
- decode: tokens/s after that first one
- load: seconds until the model is ready, imports included
- memory: peak resident set, weights that are mapped from a file included
- ratio: prefill and decode over those of the fastest llama.cpp with weights of as many bits, else with the file's own

llama-cpp-python may be installed in another interpreter: --peer-python. The llama.cpp contenders of 8 bits read a Q8_0
file written from the same weights. Run: python benchmarks/engines.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SHORT = 16
TEXT = (
    "The harbor was quiet in the early morning. Fishermen mended their nets on the stone quay while gulls circled over "
    "the boats, and from the bakery at the corner came the smell of bread. A ship had arrived during the night, larger "
    "than any the town had seen for years, and nobody knew its flag. The children had counted its masts before school. "
)
Generate = Callable[[list[int], int], Iterator[Any]]  # a prompt and a number of tokens -> those tokens
QUANTITIES = {"prefill": "tok/s", "decode": "tok/s", "first token": "ms", "load": "s", "memory": "MB"}


def timed(tokens: Iterator[Any], count: int) -> list[float]:
    """Seconds from now until each of the first ``count`` of ``tokens``."""
    start = time.perf_counter()
    times = []
    for _ in tokens:
        times.append(time.perf_counter() - start)
        if len(times) == count:
            break
    return times


def measure(
    generate: Callable[[list[int], int], Iterator[Any]], job: dict[str, Any], loaded: float
) -> dict[str, float]:
    """What a loaded contender takes; ``generate`` yields the tokens that follow a prompt, and reads all of it anew."""
    ids, count = job["ids"], job["tokens"]
    timed(generate(ids[-SHORT:], 4), 4)  # a warm-up, of another beginning
    prefill = timed(generate(ids, 1), 1)[0]
    times = timed(generate(ids[:SHORT], count), count)
    assert len(times) > count // 2, f"the text ended after {len(times)} tokens"
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return {
        "prefill": len(ids) / prefill,
        "decode": (len(times) - 1) / (times[-1] - times[0]),
        "first token": 1e3 * times[0],
        "load": loaded,
        "memory": peak * 1024 / 1e6,
    }


def run_hugging_face(job: dict[str, Any], dtype: str) -> dict[str, float]:
    """transformers' generate, as its documentation has it; a streamer tells when tokens come."""
    start = time.perf_counter()
    from queue import SimpleQueue
    from threading import Thread

    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(job["threads"])
    model = AutoModelForCausalLM.from_pretrained(job["folder"], dtype=getattr(torch, dtype)).eval()

    class Streamer:
        def __init__(self) -> None:
            self.queue: SimpleQueue[Any] = SimpleQueue()

        def put(self, value):
            self.queue.put(value)

        def end(self):
            self.queue.put(None)

    def generate(ids: list[int], count: int) -> Iterator[Any]:
        streamer = Streamer()
        arguments = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False, "streamer": streamer}
        inputs = torch.tensor([ids])
        thread = Thread(target=model.generate, args=(inputs,), kwargs=arguments | {"attention_mask": inputs.ne(-1)})
        thread.start()
        next(iter(streamer.queue.get, None))  # the prompt itself
        yield from iter(streamer.queue.get, None)
        thread.join()

    return measure(generate, job, time.perf_counter() - start)


def run_tonggan(job: dict[str, Any], engine: str, variant: str) -> dict[str, float]:
    """A Tonggan engine through the same ``stream`` that the command line and the server use."""
    start = time.perf_counter()
    import torch

    from tonggan.language.llamacpp import LlamaCppModel
    from tonggan.language.model import LanguageModel
    from tonggan.language.opening import open_model
    from tonggan.language.pretrained import load_pretrained
    from tonggan.language.prompt import Prompt
    from tonggan.language.settings import GenerationConfig
    from tonggan.language.torch_engine import TorchEngine

    torch.set_num_threads(job["threads"])
    model: Any
    if engine == "llamacpp":
        model = LlamaCppModel(job["q8_0" if variant == "8" else "file"], num_parallel=1, num_threads=job["threads"])
    elif engine == "torch":
        pretrained = load_pretrained(job["file"])
        weights = pretrained.build(dtype=getattr(torch, variant)).requires_grad_(requires_grad=False)
        model = LanguageModel(TorchEngine(weights), pretrained.tokenizer, name="torch")
    else:
        model = open_model(job["file"], engine="native", bits=8 if variant == "8" else None)

    def generate(ids: list[int], count: int) -> Iterator[Any]:
        for piece in model.stream(Prompt((torch.tensor(ids),)), GenerationConfig(max_tokens=count)):
            if piece.token_ids:
                yield piece

    return measure(generate, job, time.perf_counter() - start)


def run_peer(job: dict[str, Any], variant: str) -> dict[str, float]:
    """llama-cpp-python's own loop."""
    start = time.perf_counter()
    from llama_cpp import Llama

    path = job["q8_0" if variant == "8" else "file"]
    threads = {"n_threads": job["threads"], "n_threads_batch": job["threads"]}
    model = Llama(path, n_ctx=4096, n_batch=512, verbose=False, **threads)

    def generate(ids: list[int], count: int) -> Iterator[int]:
        model.reset()
        for number, token in enumerate(model.generate(ids, temp=0.0, top_k=1), start=1):
            yield token
            if number == count:
                return

    return measure(generate, job, time.perf_counter() - start)


CONTENDERS: dict[str, tuple[Callable[..., dict[str, float]], tuple[str, ...], str]] = {
    "Hugging Face fp32": (run_hugging_face, ("float32",), "transformers"),
    "Hugging Face bf16": (run_hugging_face, ("bfloat16",), "transformers"),
    "torch fp32": (run_tonggan, ("torch", "float32"), "torch"),
    "torch bf16": (run_tonggan, ("torch", "bfloat16"), "torch"),
    "native 8 bits": (run_tonggan, ("native", "8"), "torch"),
    "native, file's": (run_tonggan, ("native", "file"), "torch"),
    "llamacpp 8 bits": (run_tonggan, ("llamacpp", "8"), "xllamacpp"),
    "llamacpp, file's": (run_tonggan, ("llamacpp", "file"), "xllamacpp"),
    "llama-cpp-python 8 bits": (run_peer, ("8",), "llama_cpp"),
    "llama-cpp-python, file's": (run_peer, ("file",), "llama_cpp"),
}


def prepare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What all contenders get: the prompt, and the same weights in the form that each reads."""
    import torch
    from safetensors.torch import save_file

    from tonggan.language.gguf_export import export_gguf
    from tonggan.language.pretrained import load_pretrained

    pretrained = load_pretrained(options.model)
    model = pretrained.build()
    export_gguf(model, pretrained.tokenizer, folder / "q8_0.gguf", name="same", kind="q8_0")
    save_file({name: weight.contiguous() for name, weight in model.state_dict().items()}, folder / "model.safetensors")
    fields = pretrained.config.model_dump(exclude={"dropout"}, exclude_none=True)
    kind = {"model_type": "qwen2" if pretrained.config.attention_bias else "llama", "dtype": "float32"}
    architecture = {"architectures": ["Qwen2ForCausalLM" if pretrained.config.attention_bias else "LlamaForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(fields | kind | architecture), encoding="utf-8")
    ids = pretrained.tokenizer.encode(TEXT)
    ids = (ids * (options.prompt // len(ids) + 1))[: options.prompt]
    assert torch.tensor(ids).max() < pretrained.config.vocab_size
    return {
        "file": str(pretrained.source.path),
        "q8_0": str(folder / "q8_0.gguf"),
        "folder": str(folder),
        "ids": ids,
        "tokens": options.tokens,
        "threads": options.threads,
    }


def run_fresh(name: str, job: Path, *, python: str, threads: int) -> dict[str, float]:
    """The contender's result from a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    command = [python, __file__, "--only", name, "--job", str(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed ({done.returncode}): {done.stderr[-800:]}")
    return json.loads(done.stdout.splitlines()[-1])


def present(options: argparse.Namespace) -> dict[str, str]:
    """The interpreter of each contender that is installed; a line for each other."""
    found = {}
    for name, (_, _, package) in CONTENDERS.items():
        if options.engines and not any(part in name for part in options.engines):
            continue
        python = options.peer_python if package == "llama_cpp" and options.peer_python else sys.executable
        program = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
        missing = subprocess.run([python, "-I", "-c", program], check=False).returncode
        if missing:
            print(f"Left out: {name}, because {package} is not installed for {python}", file=sys.stderr)
        else:
            found[name] = python
    return found


def add_ratios(results: dict[str, dict[str, float]]) -> None:
    """Each over the fastest llama.cpp with weights of as many bits, else with those of the file."""
    for name, result in results.items():
        bits = "8 bits" if name.endswith("8 bits") else "file's"
        peers = [other for peer, other in results.items() if peer.startswith("llama") and peer.endswith(bits)]
        for quantity in ("prefill", "decode"):
            if peers:
                result[f"{quantity} ratio"] = result[quantity] / max(peer[quantity] for peer in peers)


def show(results: dict[str, dict[str, float]]) -> None:
    columns = {**QUANTITIES, "prefill ratio": "×", "decode ratio": "×"}
    print(f"{'':26}" + "".join(f"{name:>15}" for name in columns))
    print(f"{'':26}" + "".join(f"{unit:>15}" for unit in columns.values()))
    for name, result in results.items():
        cells = [f"{result[column]:>15.{2 if result[column] < 10 else 0}f}" if column in result else f"{'–':>15}"
                 for column in columns]  # fmt: skip
        print(f"{name:26}" + "".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="a GGUF file of Llama, Mistral or Qwen2")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the long prompt")
    parser.add_argument("--tokens", type=int, default=128, help="tokens to decode")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--engines", nargs="*", help="only contenders whose names contain one of these")
    parser.add_argument("--peer-python", help="interpreter that has llama-cpp-python")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--only", choices=CONTENDERS, help="run one contender here and print its result as JSON")
    parser.add_argument("--job", type=Path, help="with --only: what to do")
    options = parser.parse_args()
    if options.only:
        function, arguments, _ = CONTENDERS[options.only]
        print(json.dumps(function(json.loads(options.job.read_text(encoding="utf-8")), *arguments)))
        return
    contenders = present(options)
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.json"
        job.write_text(json.dumps(prepare(options, Path(folder))), encoding="utf-8")
        for number in range(options.rounds):
            names = list(contenders)
            for name in [*names[number % len(names) :], *names[: number % len(names)]]:
                rounds[name].append(run_fresh(name, job, python=contenders[name], threads=options.threads))
    results = {
        name: {quantity: statistics.median(one[quantity] for one in each) for quantity in QUANTITIES}
        for name, each in rounds.items()
    }
    add_ratios(results)
    if options.json:
        print(json.dumps(results))
    else:
        show(results)


if __name__ == "__main__":
    main()
