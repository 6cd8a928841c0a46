"""A language model and its tokenizer written as a GGUF file, for llama.cpp and all that builds on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import DataError, MissingExtraError
from tonggan.files import whole_file
from tonggan.language.causal_transformer import CausalTransformer, CausalTransformerConfig
from tonggan.language.gguf_names import row_order, to_gguf
from tonggan.language.gguf_tokenizer import describe
from tonggan.language.tokenizer import Tokenizer
from tonggan.language.weight_shapes import check_shapes

_FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7}


def export_gguf(
    model: CausalTransformer,
    tokenizer: Tokenizer,
    path: Path,
    *,
    name: str,
    kind: Literal["f32", "f16", "q8_0"] = "f16",
) -> None:
    """Write ``model`` and ``tokenizer`` to ``path``, which appears whole or not at all.

    The context of a model with a sliding window ends with the window: up to it both are the same, and llama.cpp knows
    no window in these architectures.

    Args:
        model: without adapters; merge them first.
        tokenizer: of the byte-level kind.
        path: a file, replaced where it exists.
        name: of the model, for its metadata.
        kind: format of the matrices. Vectors stay float32, and so do rows that 32 does not divide stay float16
            in ``q8_0``.

    Raises:
        DataError: the model carries adapters, the tokenizer cannot be written to the letter, or the file cannot.
        MissingExtraError: the package gguf is not installed.
    """
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of("gguf", extra="language", purpose="writing GGUF files") from error
    shapes = {key: tuple(weight.shape) for key, weight in model.state_dict().items()}
    check_shapes(model.config, shapes, who="model to export")
    tokens = describe(tokenizer, size=model.config.vocab_size)
    try:
        with whole_file(path) as partial:
            _write(partial, model, tokens, name=name, kind=kind)
    except OSError as error:
        raise DataError(
            f"file {path}",
            got=str(error),
            expected="a place that can be written",
            remedy="Free space or choose another place",
        ) from error


def _write(path: Path, model: CausalTransformer, tokens: Mapping[str, Any], *, name: str, kind: str) -> None:
    from gguf import GGUFWriter

    # Rotary pairs lie in Hugging Face's order in files of Qwen2, and as neighbors in those of Llama.
    writer = GGUFWriter(path, "qwen2" if model.config.attention_bias else "llama")
    _write_config(writer, model.config, name=name, kind=kind)
    for key, value in tokens.items():
        _write_value(writer, key, value)
    for gguf_name, values, raw_kind in _tensors(model, kind):
        writer.add_tensor(gguf_name, values, raw_dtype=raw_kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_config(writer: Any, config: CausalTransformerConfig, *, name: str, kind: str) -> None:
    writer.add_name(name)
    writer.add_file_type(_FILE_TYPES[kind])
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.sliding_window or config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_width)
    writer.add_value_length(config.head_width)
    writer.add_rope_dimension_count(config.head_width)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _write_value(writer: Any, key: str, value: Any) -> None:
    """Metadata of the tokenizer: texts, lists, switches and ids."""
    if isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    else:
        writer.add_array(key, value)


def _tensors(model: CausalTransformer, kind: str) -> Iterator[tuple[str, NDArray[Any], Any]]:
    """GGUF's name, values and format of each weight."""
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    for key, weight in model.state_dict().items():
        values = weight.detach().float().cpu().numpy()
        order = None if model.config.attention_bias else row_order(key, model.config, exporting=True)
        if order is not None:
            values = np.ascontiguousarray(values[order])
        if values.ndim == 1 or kind == "f32":
            yield to_gguf(key), values, None
        elif kind == "f16" or values.shape[-1] % 32:
            yield to_gguf(key), values.astype(np.float16), None
        else:
            yield to_gguf(key), quantize(values, GGMLQuantizationType.Q8_0), GGMLQuantizationType.Q8_0
