from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tonggan.errors import ConfigError
from tonggan.native import available
from tonggan.native.decoder import Decoder, DecoderShape, Format, Matrix, Vector, quantize
from tonggan.native.library import KERNELS, best_kernels

pytestmark = pytest.mark.skipif(available() is not None, reason=f"no native engine here: {available()}")

SMALL = {
    "vocab_size": 70, "dim": 64, "intermediate_size": 96, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
    "head_dim": 32, "max_length": 200, "num_threads": 2, "epsilon": 1e-5,
}  # fmt: skip
KINDS = KERNELS[: KERNELS.index(best_kernels()) + 1] if available() is None else ()


class Reference:
    """The same model in plain PyTorch, from the decoder's own dequantized weights."""

    def __init__(self, decoder: Decoder, vectors: dict[int, Tensor], angles: Tensor) -> None:
        self.decoder, self.vectors, self.angles = decoder, vectors, angles

    def logits(self, values: Tensor) -> Tensor:
        shape = self.decoder.shape
        for layer in range(shape.num_layers):
            matrix = [self.decoder.read_rows(layer * len(Matrix) + kind) for kind in Matrix]
            vector = [self.vectors[layer * len(Vector) + kind] for kind in Vector]
            inputs = F.rms_norm(values, (shape.dim,), vector[Vector.ATTENTION_NORM], shape.epsilon)
            query, key, value = (
                F.linear(inputs, matrix[kind], vector[bias]).view(len(values), -1, shape.head_dim).transpose(0, 1)
                for kind, bias in (
                    (Matrix.QUERY, Vector.QUERY_BIAS), (Matrix.KEY, Vector.KEY_BIAS), (Matrix.VALUE, Vector.VALUE_BIAS),
                )
            )  # fmt: skip
            found = F.scaled_dot_product_attention(
                self._turned(query)[None], self._turned(key)[None], value[None], is_causal=True, enable_gqa=True
            )
            values = values + F.linear(found[0].transpose(0, 1).flatten(1), matrix[Matrix.OUTPUT])
            inputs = F.rms_norm(values, (shape.dim,), vector[Vector.MLP_NORM], shape.epsilon)
            inner = F.silu(F.linear(inputs, matrix[Matrix.GATE])) * F.linear(inputs, matrix[Matrix.UP])
            values = values + F.linear(inner, matrix[Matrix.DOWN])
        values = F.rms_norm(values, (shape.dim,), self.vectors[self.decoder.last_norm], shape.epsilon)
        return F.linear(values, self.decoder.read_rows(self.decoder.head))

    def _turned(self, values: Tensor) -> Tensor:
        angles = self.angles[: values.shape[1]]
        pairs = torch.view_as_complex(values.unflatten(2, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(2)


def build(
    *, kind: Format = Format.Q8_0, kernels: str | None = None, tied: bool = False, seed: int = 0, **sizes: int
) -> tuple[Decoder, Reference]:
    generator = torch.Generator().manual_seed(seed)
    shape = DecoderShape(**{**SMALL, **sizes})
    decoder = Decoder(
        shape,
        layers=[[kind] * len(Matrix)] * shape.num_layers,
        head=Format.Q8_0,
        embeddings=None if tied else Format.Q8_0,
        kernels=kernels,
    )
    for number in range(decoder.head + (1 if tied else 2)):
        rows, columns = decoder._matrix_shape(number)
        weights = torch.randn(rows, columns, generator=generator) * 0.1
        decoder.set_matrix(number, quantize(weights, kind=kind if number < decoder.head else Format.Q8_0))
    keys = shape.num_key_value_heads * shape.head_dim
    lengths = (shape.dim, shape.dim, shape.num_heads * shape.head_dim, keys, keys)
    vectors = {decoder.last_norm: torch.rand(shape.dim, generator=generator) + 0.5}
    for layer in range(shape.num_layers):
        for vector, length in zip(Vector, lengths, strict=True):
            offset = 0.5 if vector in (Vector.ATTENTION_NORM, Vector.MLP_NORM) else -0.5
            vectors[layer * len(Vector) + vector] = torch.rand(length, generator=generator) + offset
    for number, values in vectors.items():
        decoder.set_vector(number, values)
    pairs = torch.arange(shape.head_dim // 2) / (shape.head_dim // 2)
    angles = torch.arange(shape.max_length)[:, None] * 10_000.0**-pairs
    decoder.set_rotary(angles.cos(), angles.sin())
    return decoder, Reference(decoder, vectors, angles)


class Run:
    """A decoder with a cache, stepping some tokens of some rows at a time."""

    def __init__(self, decoder: Decoder, *, num_rows: int = 1) -> None:
        shape = decoder.shape
        size = (shape.num_layers, num_rows, shape.num_key_value_heads, shape.max_length, shape.head_dim)
        self.decoder = decoder
        self.keys, self.cached = torch.zeros(size, dtype=torch.float16), torch.zeros(size, dtype=torch.float16)
        self.lengths = torch.zeros(num_rows, dtype=torch.int64)

    def __call__(self, values: Tensor, *, rows: list[int] | None = None) -> Tensor:
        """The logits of ``values``, ids or embeddings, one token for each entry of ``rows``."""
        rows = rows or [0] * len(values)
        positions = []
        for row in rows:
            positions.append(int(self.lengths[row]))
            self.lengths[row] += 1
        return self.decoder.step(
            values, keys=self.keys, cached=self.cached, rows=torch.tensor(rows), positions=torch.tensor(positions),
            outputs=torch.arange(len(values)),
        )[0]  # fmt: skip


def error(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize("kernels", KINDS)
@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_equals_torch_on_the_same_weights(kind: Format, kernels: str, num_threads: int) -> None:
    decoder, reference = build(kind=kind, kernels=kernels, num_threads=num_threads)
    values = torch.randn(150, 64, generator=torch.Generator().manual_seed(1))
    assert error(Run(decoder)(values), reference.logits(values)) < 0.02  # activations have 8 bits


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_heads": 6, "num_key_value_heads": 1, "head_dim": 16},
        {"num_heads": 9, "num_key_value_heads": 9, "head_dim": 64},
        {"dim": 96, "num_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 17},
        {"dim": 160, "intermediate_size": 32, "num_heads": 7, "num_key_value_heads": 1, "head_dim": 64},
    ],
)
@pytest.mark.parametrize("kernels", KINDS)
def test_odd_sizes(sizes: dict[str, int], kernels: str) -> None:
    decoder, reference = build(kernels=kernels, kind=Format.Q4_1, **sizes)
    values = torch.randn(70, decoder.shape.dim, generator=torch.Generator().manual_seed(1))
    assert error(Run(decoder)(values), reference.logits(values)) < 0.03


def test_all_kernels_agree() -> None:
    values = torch.randn(70, 64, generator=torch.Generator().manual_seed(1))
    for kind in Format:
        portable, *others = [Run(build(kind=kind, kernels=kernels)[0])(values) for kernels in KINDS]
        for other in others:
            # A rounding apart may quantize an activation to its other neighbor.
            assert error(other, portable) < 0.01


def test_number_of_threads_and_of_tokens_change_no_bit() -> None:
    values = torch.randn(66, 64, generator=torch.Generator().manual_seed(1))
    together = Run(build(num_threads=1)[0])(values)
    for num_threads in (1, 2, 3, 5):
        run = Run(build(num_threads=num_threads)[0])
        assert torch.equal(torch.cat([run(part) for part in values.split([1, 2, 3, 4, 7, 8, 41])]), together)


def test_rows_are_apart() -> None:
    decoder, _ = build()
    ids = torch.randint(0, 70, (3, 80), generator=torch.Generator().manual_seed(1))
    alone = [Run(decoder)(row) for row in ids]
    batch = Run(decoder, num_rows=4)
    batch(ids[2, :30], rows=[3] * 30)  # unlike lengths from here on
    got = [batch(ids[[0, 2], [step, step + 30]], rows=[1, 3]) for step in range(50)]
    for step in range(50):
        assert torch.equal(got[step][0], alone[0][step])
        assert torch.equal(got[step][1], alone[2][step + 30])


def test_ids_are_rows_of_the_embedding_table() -> None:
    for tied in (False, True):
        decoder, _ = build(tied=tied)
        ids = torch.tensor([3, 69, 0])
        table = decoder.read_rows(decoder.embeddings)
        assert torch.equal(table[ids], decoder.read_rows(decoder.embeddings, ids))
        assert torch.equal(Run(decoder)(ids), Run(decoder)(table[ids]))


def test_logits_of_hidden_states() -> None:
    decoder, _ = build()
    hidden = torch.randn(40, 64, generator=torch.Generator().manual_seed(1))
    assert error(decoder.logits(hidden), hidden @ decoder.read_rows(decoder.head).T) < 0.01


@pytest.mark.parametrize("kind", list(Format))
def test_quantizes_to_blocks_that_gguf_reads(kind: Format) -> None:
    gguf = pytest.importorskip("gguf", reason="the reference for GGUF's blocks")
    weights = torch.randn(40, 96, generator=torch.Generator().manual_seed(1))
    weights[3, :32] = 0.0
    weights[4, :32] = 1.5
    code = gguf.GGMLQuantizationType[kind.name]
    got = gguf.quants.dequantize(quantize(weights, kind=kind), code)
    plain = gguf.quants.dequantize(gguf.quants.quantize(weights.numpy(), code), code)
    assert np.square(got - weights.numpy()).mean() <= np.square(plain - weights.numpy()).mean() * 1.001
    assert np.all(got[3, :32] == 0.0)
    assert np.allclose(got[4, :32], 1.5, rtol=1e-3)


def test_errors_of_important_columns_count_more() -> None:
    gguf = pytest.importorskip("gguf", reason="the reference for GGUF's blocks")
    weights = torch.randn(40, 96, generator=torch.Generator().manual_seed(1))
    importance = torch.ones(96)
    importance[::8] = 100.0
    blocks = [quantize(weights, kind=Format.Q4_1, importance=weight) for weight in (importance, None)]
    minded, plain = (
        np.square(gguf.quants.dequantize(block, gguf.GGMLQuantizationType.Q4_1) - weights.numpy()) for block in blocks
    )
    assert minded[:, ::8].mean() < 0.5 * plain[:, ::8].mean()
    assert minded.mean() > plain.mean()


@pytest.mark.parametrize("kind", list(Format))
def test_reads_gguf_blocks_as_gguf_does(kind: Format) -> None:
    gguf = pytest.importorskip("gguf", reason="the reference for GGUF's blocks")
    decoder, _ = build(kind=kind, num_threads=3)
    weights = np.random.default_rng(0).standard_normal((64, 96), dtype=np.float32)
    code = gguf.GGMLQuantizationType[kind.name]
    blocks = gguf.quants.quantize(weights, code)
    decoder.set_matrix(Matrix.DOWN, blocks)
    assert np.array_equal(decoder.read_rows(Matrix.DOWN).numpy(), gguf.quants.dequantize(blocks, code))


def test_lies_in_the_memory_that_its_format_needs() -> None:
    weights = 2 * (64 * (128 + 64 + 64) + 128 * 64 + 64 * 96 * 2) + 2 * 96 * 64
    rows = 2 * 80 * 64  # head and embeddings, 70 rows in whole tiles of 16
    padded = 2 * 32 * 64  # the columns of down, 96 in whole blocks of 64
    assert build()[0].weight_bytes == (weights + padded + rows) * 34 // 32


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"dim": 80}, "got hidden_size 80, expected a multiple of 32"),
        ({"intermediate_size": 100}, "got intermediate_size 100, expected a multiple of 32"),
        ({"head_dim": 24}, "got head_dim 24, expected a multiple of 16"),
        ({"num_heads": 3, "num_key_value_heads": 3, "head_dim": 16}, r"num_attention_heads \* head_dim 48"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**sizes)


def test_unknown_kernels_are_refused() -> None:
    with pytest.raises(ConfigError, match="got kernels 'sse9', expected one of portable"):
        build(kernels="sse9")


def test_what_is_out_of_bounds_is_refused_before_memory_is_touched() -> None:
    decoder, _ = build()
    run = Run(decoder)
    for wrong in (torch.tensor([70]), torch.tensor([-1])):
        with pytest.raises(OSError, match="Invalid argument"):
            run(wrong)
    run.lengths[0] = decoder.shape.max_length
    with pytest.raises(OSError, match="Invalid argument"):
        run(torch.tensor([1]))


def num_threads_of_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux tells them")
def test_threads_go_with_the_model() -> None:
    before = num_threads_of_process()
    decoder, _ = build(num_threads=4)
    assert num_threads_of_process() == before + 3
    del decoder, _
    gc.collect()
    assert num_threads_of_process() == before


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads processor time as Linux tells it")
def test_an_idle_model_sleeps_and_wakes() -> None:
    decoder, _ = build(num_threads=3)
    run = Run(decoder)
    ids = torch.tensor([1, 2, 3])
    first = run(ids)
    time.sleep(0.1)
    start = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - start < 0.1
    run.lengths.zero_()
    assert torch.equal(run(ids), first)


def tokens_per_second(decoder: Decoder, *, count: int = 100) -> float:
    run = Run(decoder)
    start = time.perf_counter()
    for _ in range(count):
        run(torch.tensor([1]))
    return count / (time.perf_counter() - start)


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="gives threads the lowest priority as Linux does")
def test_threads_that_get_no_core_are_not_waited_for() -> None:
    """Its other threads run only when a busy process leaves them that process's core, which it never does for long."""
    cores = sorted(os.sched_getaffinity(0))
    before = set(Path("/proc/self/task").iterdir())
    decoder, _ = build(num_threads=4, num_layers=30)
    crowd = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert crowd.stdout is not None
        crowd.stdout.readline()
        os.sched_setaffinity(crowd.pid, cores[:1])
        for thread in set(Path("/proc/self/task").iterdir()) - before:
            os.sched_setaffinity(int(thread.name), cores[:1])
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))
        assert tokens_per_second(decoder) > 5  # waiting for all threads in each phase: one in some seconds
    finally:
        crowd.kill()
        crowd.communicate()


def test_more_threads_than_cores() -> None:
    values = torch.randn(40, 64, generator=torch.Generator().manual_seed(1))
    run, alone = Run(build(num_threads=8)[0]), Run(build(num_threads=1)[0])
    for part in values.split(1):
        assert torch.equal(run(part), alone(part))


def test_several_callers_take_turns() -> None:
    decoder, _ = build()
    ids = torch.randint(0, 70, (4, 40), generator=torch.Generator().manual_seed(1))
    expected = [Run(decoder)(row) for row in ids]
    got: list[Tensor | None] = [None] * 4

    def work(number: int) -> None:
        run = Run(decoder)
        got[number] = torch.cat([run(ids[number, step : step + 1]) for step in range(40)])

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(result is not None and torch.equal(result, right) for result, right in zip(got, expected, strict=True))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
def test_works_in_a_forked_process() -> None:
    decoder, _ = build()
    ids = torch.tensor([5, 6, 7])
    expected = Run(decoder)(ids)
    process = multiprocessing.get_context("fork").Process(
        target=lambda: os._exit(0 if torch.equal(Run(decoder)(ids), expected) else 1)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert torch.equal(Run(decoder)(ids), expected)
