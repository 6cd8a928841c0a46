"""Picture embedding on a CPU: Tonggan beside the same network in onnxruntime.

Pictures are random pixels of 500 x 375, drawn with a seed; each contender brings them to the size of the weights with
the same code. onnxruntime runs the network with normalization folded in, exported by torch, in two ways: as it is by
default, one batch on all threads, and as Tonggan does it, a batch and a thread for each core. Each contender embeds
all pictures once for each repeat, in an order that turns; what is told is the median time, and how far the vectors are
from those of the peer. CPU seconds are told besides, for machines that do other work meanwhile.

Needs: tonggan weights get efficientnet_lite0; pip install onnx onnxruntime.
Run: python benchmarks/image_embedding.py [--weights efficientnet_lite0] [--pictures 256] [--threads 2] [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from tonggan.encoders.efficientnet import SHAPES, EfficientNet, load_efficientnet, normalized
from tonggan.layers.cores import map_on_cores
from tonggan.models.image_embedder import ImageEmbedder, to_square

Embed = Callable[[Sequence[np.ndarray]], np.ndarray]
WARM_UP = 8


def make_pictures(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (3, 375, 500), dtype=np.uint8) for _ in range(count)]


class Vectors(torch.nn.Module):
    """What an embedder gives of normalized pictures."""

    def __init__(self, network: EfficientNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.network(values).mean(dim=(2, 3))


def export(network: EfficientNet, side: int, path: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Vectors(network),  # whose normalization the export folds
            (torch.rand(1, 3, side, side),),
            str(path),
            dynamo=False,
            input_names=["pictures"],
            dynamic_axes={"pictures": {0: "batch"}},
        )


def onnxruntime_contenders(path: Path, side: int, *, threads: int) -> dict[str, Embed]:
    import onnxruntime

    def session(count: int) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = count
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def prepared(pictures: Sequence[np.ndarray]) -> np.ndarray:
        squares = torch.from_numpy(np.stack([to_square(picture, side=side) for picture in pictures]))
        return normalized(squares.permute(0, 3, 1, 2), dtype=torch.float32).contiguous().numpy()

    def by_batch(runner: onnxruntime.InferenceSession, size: int) -> Embed:
        def embed(pictures: Sequence[np.ndarray]) -> np.ndarray:
            batches = [pictures[first : first + size] for first in range(0, len(pictures), size)]
            return np.concatenate([runner.run(None, {"pictures": prepared(batch)})[0] for batch in batches])

        return embed

    def by_core(runner: onnxruntime.InferenceSession, size: int) -> Embed:
        def embed(pictures: Sequence[np.ndarray]) -> np.ndarray:
            batches = [pictures[first : first + size] for first in range(0, len(pictures), size)]
            return np.concatenate(
                list(map_on_cores(lambda batch: runner.run(None, {"pictures": prepared(batch)})[0], batches))
            )

        return embed

    whole, single = session(threads), session(1)
    return {
        "onnxruntime, one picture": by_batch(whole, 1),
        "onnxruntime, 8 pictures": by_batch(whole, 8),
        "onnxruntime, 2 on each core": by_core(single, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="efficientnet_lite0", choices=list(SHAPES))
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    side = SHAPES[arguments.weights].side
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export(load_efficientnet(arguments.weights), side, path)
        contenders = onnxruntime_contenders(path, side, threads=arguments.threads)
    peer = next(iter(contenders))
    contenders["tonggan"] = ImageEmbedder.load(arguments.weights).embed

    pictures = make_pictures(arguments.pictures)
    for embed in contenders.values():
        embed(pictures[:WARM_UP])
    vectors: dict[str, np.ndarray] = {}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    busy: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for repeat in range(arguments.repeats):
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            started, started_busy = time.perf_counter(), time.process_time()
            vectors[name] = contenders[name](pictures)
            seconds[name].append(time.perf_counter() - started)
            busy[name].append(time.process_time() - started_busy)

    print(f"{arguments.weights}, {len(pictures)} pictures, {arguments.threads} threads, median of {arguments.repeats}")
    for name in names:
        time_, busy_ = statistics.median(seconds[name]), statistics.median(busy[name])
        print(
            f"{name:30} {len(pictures) / time_:7.1f} pictures/s  {statistics.median(seconds[peer]) / time_:5.2f} x"
            f"  (CPU: {1000 * busy_ / len(pictures):5.2f} ms/picture)"
            f"  largest difference {np.abs(vectors[name] - vectors[peer]).max():.1e}"
        )


if __name__ == "__main__":
    main()
