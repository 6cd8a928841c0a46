"""What gradient caching costs: one step of a contrastive loss over a large batch, whole and piece by piece.

    python benchmarks/gradient_cache.py [--batch 4096] [--piece 256]

The encoder is a BERT of random weights with the shape of all-MiniLM-L6-v2 cut to two layers; texts have 16 tokens. It
prints the time of a step, the greatest difference of a gradient, and the memory at most.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch

from tonggan.alignment import ContrastiveConfig, PairShape
from tonggan.alignment.gradient_cache import in_pieces
from tonggan.encoders.bert import Bert, BertConfig
from tonggan.tokens import Arrays

TOKENS, WIDTH = 16, 384


def step(batch: int, piece: int) -> tuple[float, list[torch.Tensor]]:
    """Seconds of a step after a first one, and its gradients."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=1_000, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=12, intermediate_size=1_536
    )
    encoder = Bert(config).train(mode=False)
    for weight in encoder.parameters():
        weight.requires_grad_(True)
    loss = ContrastiveConfig().build(PairShape(WIDTH))
    sides = [Arrays.whole(torch.randint(0, 1_000, (batch, TOKENS))) for _ in range(2)]
    sides = [Arrays(each.values, torch.ones_like(each.values, dtype=torch.bool)) for each in sides]
    seconds = 0.0
    for _ in range(2):
        encoder.zero_grad()
        started = time.perf_counter()
        rows = torch.arange(batch).split(piece)
        vectors = [in_pieces(lambda part: encoder(part).mean(), [side.take(part) for part in rows]) for side in sides]
        loss(*vectors).backward()
        seconds = time.perf_counter() - started
    return seconds, [weight.grad for weight in encoder.parameters() if weight.grad is not None]


def main() -> None:
    """Time both, each in a process of its own for its memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4_096)
    parser.add_argument("--piece", type=int, default=256)
    parser.add_argument("--only", type=int)
    arguments = parser.parse_args()
    if arguments.only is not None:
        seconds, gradients = step(arguments.batch, arguments.only)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{seconds} {peak} {torch.cat([each.flatten() for each in gradients]).double().norm().item()!r}")
        return
    found = {}
    for name, piece in (("whole", arguments.batch), ("in pieces", arguments.piece)):
        command = [sys.executable, __file__, "--batch", str(arguments.batch), "--only", str(piece)]
        found[name] = [float(each) for each in subprocess.check_output(command, text=True).split()]
        print(f"{name}: {found[name][0]:.1f} s a step, {found[name][1]:.1f} GB at most")
    print(f"{found['in pieces'][0] / found['whole'][0]:.2f} times as long")
    small = [torch.cat([each.flatten() for each in step(512, piece)[1]]) for piece in (512, 64)]
    print(f"greatest difference of a gradient at 512 rows: {(small[0] - small[1]).abs().max().item():.1e}")


if __name__ == "__main__":
    main()
