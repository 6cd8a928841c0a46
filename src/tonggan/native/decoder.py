"""A quantized causal language model (Llama, Mistral, Qwen2) in compiled code: weights in, logits out.

It takes weights as GGUF's blocks, or makes such blocks of floats. Names of checkpoints, sessions and long prompts are
the matter of ``language/native_engine.py``.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.errors import ConfigError
from tonggan.native.library import KERNELS, Cache, Shape, best_kernels, load

GROUP = 32
"""Weights that share a scale."""
_HEAD_MULTIPLE = 16


class Format(IntEnum):
    """How a group of weights is stored: ``scale * byte``, ``scale * (nibble - 8)``, ``scale * nibble + minimum``."""

    Q8_0 = 0
    Q4_0 = 1
    Q4_1 = 2

    @property
    def block_bytes(self) -> int:
        """Bytes of a group in a GGUF file."""
        return (34, 18, 20)[self]


class Matrix(IntEnum):
    """The matrices of a layer. Rows of QUERY and KEY come in rotary order: 2i and 2i + 1 rotate together."""

    QUERY = 0
    KEY = 1
    VALUE = 2
    OUTPUT = 3
    GATE = 4
    UP = 5
    DOWN = 6


class Vector(IntEnum):
    """The vectors of a layer."""

    ATTENTION_NORM = 0
    MLP_NORM = 1
    QUERY_BIAS = 2
    KEY_BIAS = 3
    VALUE_BIAS = 4


@dataclass(frozen=True)
class DecoderShape:
    """Sizes of a model.

    Attributes:
        num_threads: that share each step.
        sliding_window: tokens that a token sees, itself included; 0 for all before it.
    """

    vocab_size: int
    dim: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_dim: int
    max_length: int
    num_threads: int
    epsilon: float
    sliding_window: int = 0

    def __post_init__(self) -> None:
        widths = {"hidden_size": self.dim, "intermediate_size": self.intermediate_size}
        widths["num_attention_heads * head_dim"] = self.num_heads * self.head_dim
        for name, size, multiple in (
            *((name, size, GROUP) for name, size in widths.items()),
            ("head_dim", self.head_dim, _HEAD_MULTIPLE),
        ):
            if size % multiple:
                raise ConfigError(
                    "the native engine",
                    got=f"{name} {size}",
                    expected=f"a multiple of {multiple}",
                    remedy="Use the torch engine for this model",
                )


class Decoder:
    """The model in compiled code; its memory and its threads go when it does.

    Args:
        shape: its sizes.
        layers: of each layer, the format of each ``Matrix``.
        head: format of the output matrix ``[V, D]``.
        embeddings: format of the embedding table, None where it is the head's matrix.
        kernels: one of ``KERNELS``; None for the fastest here.

    Attributes:
        head: number of the output matrix, after those of all layers.
        embeddings: number of the embedding table.
        last_norm: number of the last norm's vector.
        weight_bytes: memory of the matrices.

    Raises:
        ConfigError: the library is missing, the processor does not run ``kernels``, or memory or threads are refused.
    """

    def __init__(
        self,
        shape: DecoderShape,
        *,
        layers: Sequence[Sequence[Format]],
        head: Format,
        embeddings: Format | None,
        kernels: str | None = None,
    ) -> None:
        self._library = load()
        self.shape = shape
        self.head = len(layers) * len(Matrix)
        self.embeddings = self.head + 1
        self.last_norm = len(layers) * len(Vector)
        self.kernels = _choose(kernels)
        self._formats = [
            *(kind for layer in layers for kind in layer),
            head,
            head if embeddings is None else embeddings,
        ]
        codes = np.array([*self._formats[:-1], -1 if embeddings is None else embeddings], dtype=np.int32)
        handle = self._library.tonggan_create(
            ctypes.byref(Shape(**vars(shape))), codes.ctypes.data, KERNELS.index(self.kernels)
        )
        if handle is None:
            raise ConfigError(
                "the native engine",
                got="no memory or no threads from the system",
                expected="room for the model",
                remedy="Close other programs, or choose 4 bits",
            )
        self._handle = handle
        weakref.finalize(self, self._library.tonggan_free, handle)
        self.weight_bytes: int = self._library.tonggan_weight_bytes(handle)

    def set_matrix(self, number: int, blocks: NDArray[np.uint8]) -> None:
        """Take the matrix ``number`` from GGUF's blocks: uint8 ``[rows, bytes of a row]``."""
        rows, columns = self._matrix_shape(number)
        assert blocks.shape == (rows, columns // GROUP * self._formats[number].block_bytes)
        blocks = np.ascontiguousarray(blocks)
        self._library.tonggan_set_matrix(self._handle, number, blocks.ctypes.data)

    def set_vector(self, number: int, values: Tensor) -> None:
        """Take the vector ``number`` (``layer * len(Vector) + kind``)."""
        self._library.tonggan_set_vector(self._handle, number, _floats(values).data_ptr())

    def set_rotary(self, cosine: Tensor, sine: Tensor) -> None:
        """Take the cosines and sines ``[max_length, head_dim / 2]`` of rotary angles."""
        table = _floats(torch.stack([cosine, sine], dim=-1))
        assert table.numel() == self.shape.max_length * self.shape.head_dim
        self._library.tonggan_set_rotary(self._handle, table.data_ptr())

    def read_rows(self, number: int, rows: Tensor | None = None) -> Tensor:
        """The matrix ``number`` as float32 ``[rows, columns]``, or those of its rows, int64 ``[R]``."""
        size, columns = self._matrix_shape(number)
        rows = torch.arange(size) if rows is None else rows.contiguous()
        assert not len(rows) or (int(rows.min()) >= 0 and int(rows.max()) < size)
        result = torch.empty(len(rows), columns)
        self._library.tonggan_read_rows(self._handle, number, len(rows), rows.data_ptr(), result.data_ptr())
        return result

    def _matrix_shape(self, number: int) -> tuple[int, int]:
        shape = self.shape
        if number >= self.head:
            return shape.vocab_size, shape.dim
        queries, keys = shape.num_heads * shape.head_dim, shape.num_key_value_heads * shape.head_dim
        inner = shape.intermediate_size
        rows = (queries, keys, keys, shape.dim, inner, inner, shape.dim)[number % len(Matrix)]
        return rows, {Matrix.OUTPUT: queries, Matrix.DOWN: inner}.get(Matrix(number % len(Matrix)), shape.dim)

    def step(
        self, values: Tensor, *, keys: Tensor, cached: Tensor, rows: Tensor, positions: Tensor, outputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Append tokens to rows of a key-value cache; logits ``[O, V]`` and last hidden states ``[O, D]`` float32.

        Args:
            values: int64 ids ``[N]``, or float32 embeddings ``[N, D]``.
            keys: float16 ``[layers, rows, K, capacity, E]``, rotated by their positions as pairs of neighbors.
            cached: the values beside them.
            rows: int64 ``[N]``, each token's row; the tokens of one row come in order.
            positions: int64 ``[N]``, each token's position in its row.
            outputs: int64 ``[O]``, ascending: which tokens' logits to give.
        """
        shape = self.shape
        assert keys.dtype == cached.dtype == torch.float16
        assert keys.is_contiguous()
        assert cached.is_contiguous()
        cache = Cache(keys.data_ptr(), cached.data_ptr(), keys.shape[1], keys.shape[3])
        values, rows, positions = values.contiguous(), rows.contiguous(), positions.contiguous()
        is_ids = values.dtype == torch.int64
        assert is_ids or values.dtype == torch.float32
        logits = torch.empty(len(outputs), shape.vocab_size)
        hidden = torch.empty(len(outputs), shape.dim)
        error = self._library.tonggan_step(
            self._handle,
            ctypes.byref(cache),
            len(values),
            values.data_ptr() if is_ids else None,
            None if is_ids else values.data_ptr(),
            rows.data_ptr(),
            positions.data_ptr(),
            len(outputs),
            outputs.data_ptr(),
            logits.data_ptr(),
            hidden.data_ptr(),
        )
        _check(error)
        return logits, hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits ``[N, V]`` float32 of last hidden states ``[N, D]``."""
        hidden = _floats(hidden)
        logits = torch.empty(len(hidden), self.shape.vocab_size)
        _check(self._library.tonggan_logits(self._handle, len(hidden), hidden.data_ptr(), logits.data_ptr()))
        return logits


def quantize(values: Tensor, *, kind: Format, importance: Tensor | None = None) -> NDArray[np.uint8]:
    """GGUF's blocks uint8 ``[rows, bytes of a row]`` of a matrix ``[rows, columns]``, columns a multiple of 32.

    8 bits: the largest weight of a group becomes 127. 4 bits: the scale (and minimum) of least squared error among
    some near the group's own range, each refitted to the levels that it gives; errors count by their column's
    ``importance [columns]``, e.g. its inputs' mean square, and alike without it.
    """
    rows, columns = values.shape
    assert columns % GROUP == 0
    values = _floats(values)
    weight = torch.ones(columns) if importance is None else _floats(importance)
    blocks = np.empty((rows, columns // GROUP * kind.block_bytes), dtype=np.uint8)
    load().tonggan_quantize(kind, values.data_ptr(), weight.data_ptr(), rows, columns, blocks.ctypes.data)
    return blocks


def _floats(values: Tensor) -> Tensor:
    return values.detach().to("cpu", torch.float32).contiguous()


def _choose(kernels: str | None) -> str:
    best = best_kernels()
    if kernels is None:
        return best
    if kernels not in KERNELS[: KERNELS.index(best) + 1]:
        raise ConfigError(
            "the native engine",
            got=f"kernels '{kernels}'",
            expected=f"one of {', '.join(KERNELS[: KERNELS.index(best) + 1])} on this processor",
            remedy="Leave the choice out",
        )
    return kernels


def _check(error: int) -> None:
    # Places are the caller's to keep within bounds; what remains is memory or threads refused by the system.
    if error:
        raise OSError(error, os.strerror(error))
