"""A GGUF file of the Llama kind, memory-mapped: its metadata, its config, and its weights under Hugging Face's names.

It opens in a fraction of a second, because only the header is read; weights are read when they are asked for. It does
not decode and does not write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import MissingExtraError, UnsupportedModelError
from tonggan.language.gguf_header import StoredTensor, read_header
from tonggan.language.gguf_names import row_order, to_hugging_face
from tonggan.language.llama import LlamaConfig
from tonggan.language.weight_shapes import check_shapes
from tonggan.stored import DOWNLOAD, named

ARCHITECTURES = ("llama", "qwen2")
"""Values of ``general.architecture`` that ``LlamaConfig`` describes; files of Mistral say ``llama``."""


@dataclass(frozen=True)
class GGUFTensor:
    """One weight.

    Attributes:
        name: in Hugging Face's layout.
        shape: as in PyTorch, rows first.
        kind: number format, e.g. ``Q4_1``.
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
        UnsupportedModelError: it holds another architecture than a Llama.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata, stored = read_header(path)
        with named(f"GGUF file {path}", expected="the metadata of a Llama", remedy=DOWNLOAD):
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

    def _config(self, stored: Mapping[str, StoredTensor]) -> LlamaConfig:
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
        return LlamaConfig.parse(fields, who=f"GGUF file {self.path}")

    def _name(self, gguf_name: str) -> str:
        name = to_hugging_face(gguf_name)
        if name is None:
            raise self._unsupported(f"a weight {gguf_name}", expected="the weights of a Llama")
        return name

    def _tensor(self, name: str, stored: StoredTensor) -> GGUFTensor:
        shuffled = self.metadata["general.architecture"] == "llama" and name.endswith(".weight")
        order = row_order(name, self.config) if shuffled else None
        return GGUFTensor(name, stored.shape, stored.kind, stored.data, order)


def _shortest(value: float | None) -> float | None:
    """The shortest decimal of a float32: 1e-5, where the file's bits read as float64 say 9.99999974e-06."""
    return None if value is None else float(str(np.float32(value)))
