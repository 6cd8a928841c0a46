"""A GGUF file, memory-mapped: its metadata, its config, and its weights under Hugging Face's names.

It opens in a fraction of a second, because only the header is read: metadata and the table of tensors. Weights are read
when they are asked for. It does not decode and does not write.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import DataError, MissingExtraError, UnsupportedModelError
from tonggan.language.causal_transformer import CausalTransformerConfig
from tonggan.language.gguf_names import row_order, to_hugging_face
from tonggan.language.weight_shapes import check_shapes
from tonggan.stored import DOWNLOAD, named

ARCHITECTURES = ("llama", "qwen2")
"""Values of ``general.architecture`` that ``CausalTransformerConfig`` describes; files of Mistral say ``llama``."""
# By its number in the file: name, elements of a block, bytes of a block.
KINDS = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
}
"""Formats of tensors."""
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_NUMBERS = {number: struct.Struct(f"<{code}") for number, code in _CODES.items()}
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32
_AGAIN = "Download or convert the file again"
_MOST_DIMS, _DEEPEST = 4, 4  # of a tensor; of lists in lists
_MOST_ENTRIES = 1_000_000  # tensors or fields of metadata; the largest models have thousands


@dataclass(frozen=True)
class GGUFTensor:
    """One weight.

    Attributes:
        name: in Hugging Face's layout.
        shape: as in PyTorch, rows first.
        kind: quantization format, e.g. ``Q4_1``.
        stored: uint8 ``[rows, bytes of a row]``, a view of the file; a vector is one row.
        order: which stored row each row is; None where they are in order.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    stored: NDArray[np.uint8]
    order: NDArray[np.int64] | None

    @property
    def data(self) -> NDArray[np.uint8]:
        """uint8 ``[rows, bytes of a row]``, rows in Hugging Face's order; not to be written to."""
        return self.stored if self.order is None else self.stored[self.order]


class GGUFFile:
    """The model in the GGUF file at ``path``.

    Attributes:
        path: the file, which stays mapped as long as this object lives.
        metadata: its keys and values.
        config: the model's shape.
        tensors: the model's weights, by Hugging Face's names.

    Raises:
        DataError: it is no GGUF file, damaged or cut short.
        UnsupportedModelError: it holds an unknown architecture.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata, stored = read_header(path)
        with named(f"GGUF file {path}", expected="the metadata of a language model", remedy=DOWNLOAD):
            self.config = self._config(stored)
        names = {self._name(gguf_name): entry for gguf_name, entry in stored.items()}
        check_shapes(self.config, {name: entry.shape for name, entry in names.items()}, who=f"GGUF file {path}")
        self.tensors = {name: self._tensor(name, entry) for name, entry in names.items()}

    def dequantize(self, name: str) -> NDArray[np.float32]:
        """The weight ``name``, of its shape.

        Raises:
            MissingExtraError: it is quantized and the package gguf is not installed.
        """
        tensor = self.tensors[name]
        if tensor.kind in ("F32", "F16"):
            values = tensor.data.view(np.float32 if tensor.kind == "F32" else np.float16)
            return values.astype(np.float32).reshape(tensor.shape)
        try:
            from gguf import GGMLQuantizationType
            from gguf.quants import dequantize
        except ImportError as error:
            raise MissingExtraError.of("gguf", extra="language", purpose=f"reading {self.path}") from error
        return dequantize(tensor.data, GGMLQuantizationType[tensor.kind]).astype(np.float32).reshape(tensor.shape)

    def _unsupported(self, got: str, *, expected: str) -> UnsupportedModelError:
        return UnsupportedModelError(
            f"GGUF file {self.path}",
            got=got,
            expected=expected,
            remedy="Use the llamacpp engine: pip install 'tonggan[llamacpp]'",
        )

    def _config(self, stored: Mapping[str, StoredTensor]) -> CausalTransformerConfig:
        kind = self.metadata.get("general.architecture")
        if kind not in ARCHITECTURES or "token_embd.weight" not in stored:
            names = " or ".join(repr(name) for name in ARCHITECTURES)
            raise self._unsupported(f"architecture {kind!r}", expected=f"a language model of architecture {names}")

        def field(name: str, default: Any = None) -> Any:
            return self.metadata.get(f"{kind}.{name}", default)

        for name, plain in (("rope.scaling.type", "none"), ("expert_count", 0)):
            if field(name, plain) != plain:
                raise self._unsupported(f"{name} {field(name)!r}", expected=f"{plain!r} or none given")
        heads = field("attention.head_count")
        window, longest = field("attention.sliding_window"), field("context_length")
        fields = {
            "vocab_size": stored["token_embd.weight"].shape[0],
            "hidden_size": field("embedding_length"),
            "intermediate_size": field("feed_forward_length"),
            "num_hidden_layers": field("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": field("attention.head_count_kv", heads),
            "head_dim": field("attention.key_length") or field("rope.dimension_count"),
            "max_position_embeddings": longest,
            "sliding_window": window if window and longest and window < longest else None,
            "rope_theta": _shortest(field("rope.freq_base", 10_000.0)),
            "rms_norm_eps": _shortest(field("attention.layer_norm_rms_epsilon")),
            "tie_word_embeddings": "output.weight" not in stored,
            "attention_bias": "blk.0.attn_q.bias" in stored,
        }
        return CausalTransformerConfig.parse(fields, who=f"GGUF file {self.path}")

    def _name(self, gguf_name: str) -> str:
        name = to_hugging_face(gguf_name)
        if name is None:
            raise self._unsupported(f"a weight {gguf_name}", expected="the weights of a known architecture")
        return name

    def _tensor(self, name: str, stored: StoredTensor) -> GGUFTensor:
        shuffled = self.metadata["general.architecture"] == "llama" and name.endswith(".weight")
        order = row_order(name, self.config) if shuffled else None
        return GGUFTensor(name, stored.shape, stored.kind, stored.data, order)


def _shortest(value: float | None) -> float | None:
    """The shortest decimal of a float32: 1e-5, where the file's bits read as float64 say 9.99999974e-06."""
    return None if value is None else float(str(np.float32(value)))


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it lies in the file.

    Attributes:
        shape: as in PyTorch, rows first.
        kind: quantization format, one of ``KINDS``.
        data: uint8 ``[rows, bytes of a row]``, a view of the file; one row where the shape is of one dimension.
    """

    shape: tuple[int, ...]
    kind: str
    data: NDArray[np.uint8]


def read_header(path: Path) -> tuple[Mapping[str, Any], Mapping[str, StoredTensor]]:
    """Metadata and tensors of the GGUF file at ``path``, which stays mapped as long as one of the tensors lives.

    Raises:
        DataError: it is no GGUF file, of an unknown version, damaged, or cut short.
    """
    return _Reader(path).read()


class _Reader:
    """Reads from the front to the back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        try:
            with path.open("rb") as file:
                self.content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            self.fail("no such file", expected="a GGUF file", remedy="Check the path")
        except (OSError, ValueError) as error:  # a file without a byte cannot be mapped: ValueError
            self.fail(str(error), expected="a readable GGUF file", remedy="Check the file")

    def fail(self, got: str, *, expected: str, remedy: str = _AGAIN) -> NoReturn:
        raise DataError(f"GGUF file {self.path}", got=got, expected=expected, remedy=remedy)

    def read(self) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
        magic = bytes(self.content[:4])
        if magic != b"GGUF":
            self.fail(f"a file that begins with {magic!r}", expected="b'GGUF'", remedy="Name a GGUF file")
        self.position = 4
        with named(f"GGUF file {self.path}", expected="a whole GGUF file", remedy=_AGAIN):
            return self.content_after_magic()

    def content_after_magic(self) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
        version = self.number(4)
        if version not in (2, 3):
            self.fail(
                f"version {version}",
                expected="version 2 or 3, little-endian",
                remedy="Convert the model again with a current llama.cpp",
            )
        num_tensors, num_fields = self.number(10), self.number(10)
        if max(num_tensors, num_fields) > _MOST_ENTRIES:
            self.fail(f"{num_tensors:,} tensors and {num_fields:,} fields", expected=f"at most {_MOST_ENTRIES:,} each")
        metadata: dict[str, Any] = {}
        for _ in range(num_fields):
            key = self.text()
            metadata[key] = self.value(self.number(4))
        infos = [self.tensor_info() for _ in range(num_tensors)]
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        if type(alignment) is not int or alignment < 1:
            self.fail(f"general.alignment {alignment!r}", expected="a whole number above 0")
        start = -(-self.position // alignment) * alignment
        content = np.frombuffer(self.content, dtype=np.uint8)
        return metadata, {name: self.tensor(content, name, shape, kind, start + at) for name, shape, kind, at in infos}

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        taken = self.content[self.position : self.position + count]
        if len(taken) < count:
            self.fail(
                f"a file of {len(self.content):,} bytes that ends in its header",
                expected=f"{count:,} bytes more at {self.position:,}",
            )
        self.position += count
        return taken

    def number(self, kind: int) -> Any:
        layout = _NUMBERS[kind]
        return layout.unpack(self.take(layout.size))[0]

    def text(self) -> str:
        # Chat templates and tokens may hold bytes that are no UTF-8; they must not make a file unusable.
        return self.take(self.number(10)).decode("utf-8", errors="replace")

    def value(self, kind: int, *, depth: int = 0) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            if depth == _DEEPEST:
                self.fail("metadata of lists in lists", expected=f"at most {_DEEPEST} in one another")
            return self.array(self.number(4), self.number(10), depth=depth + 1)
        if kind not in _NUMBERS:
            self.fail(f"metadata of the unknown type {kind}", expected="types 0 to 12")
        return self.number(kind)

    def array(self, kind: int, count: int, *, depth: int) -> list[Any]:
        if kind in _NUMBERS:
            layout = _NUMBERS[kind]
            return list(struct.unpack(f"<{count}{layout.format[1:]}", self.take(count * layout.size)))
        return [self.value(kind, depth=depth) for _ in range(count)]

    def tensor_info(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape, kind, and offset from where the tensors begin."""
        name, dims = self.text(), self.number(4)
        if not 1 <= dims <= _MOST_DIMS:
            self.fail(f"tensor {name[:80]} of {dims:,} dimensions", expected=f"1 to {_MOST_DIMS}")
        shape = [self.number(10) for _ in range(dims)]
        return name, tuple(reversed(shape)), self.number(4), self.number(10)

    def tensor(
        self, content: NDArray[np.uint8], name: str, shape: tuple[int, ...], kind: int, start: int
    ) -> StoredTensor:
        if kind not in KINDS:
            self.fail(
                f"tensor {name} in format {kind}",
                expected=f"one of {', '.join(known for known, _, _ in KINDS.values())}",
                remedy="Use the llamacpp engine: pip install 'tonggan[llamacpp]'",
            )
        kind_name, elements, size = KINDS[kind]
        if 0 in shape or shape[-1] % elements:
            self.fail(
                f"tensor {name} of shape {shape} in {kind_name}", expected=f"rows of {elements} elements or a multiple"
            )
        row = shape[-1] // elements * size
        end = start + math.prod(shape[:-1]) * row
        if end > len(content):
            self.fail(f"a file of {len(content):,} bytes", expected=f"at least {end:,}, for tensor {name}")
        return StoredTensor(shape, kind_name, content[start:end].reshape(-1, row))
