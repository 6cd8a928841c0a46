"""The engine in compiled code: weights of 8 or 4 bits on a CPU, for the same models as ``torch``.

It trains nothing. Steps of few tokens, which reading the weights limits, run in ``native/``; long prompts through
PyTorch's matrix products.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tonggan import native
from tonggan.errors import ConfigError
from tonggan.language.causal_transformer import CausalTransformer, CausalTransformerConfig
from tonggan.language.engine import Engine, Session
from tonggan.language.engine_config import EngineConfig, architecture_obstacle
from tonggan.language.gguf_file import GGUFFile
from tonggan.language.kv_cache import KeyValueCache
from tonggan.language.model import LanguageModel
from tonggan.language.native_prompt import PromptWeights, run_prompt
from tonggan.language.pretrained import StoredModel
from tonggan.language.text_model import Capability
from tonggan.language.weight_shapes import weight_shapes
from tonggan.layers.rotary import rotary_table
from tonggan.native.decoder import Decoder, DecoderShape, Format, Matrix, Vector, quantize

_SHORT_PROMPT = 64
"""Up to so many tokens a prompt runs through the decoder's own kernels; from about 100 PyTorch is faster."""
_MATRICES = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
)  # fmt: skip
_ROBUST = ("q_proj.weight", "o_proj.weight", "gate_proj.weight", "up_proj.weight")
"""Matrices that stand 4 bits."""
_NORMS = ("input_layernorm.weight", "post_attention_layernorm.weight")
_BIASES = ("self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias")
_EMBEDDINGS, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


class _Source(Protocol):
    """Where weights come from, by Hugging Face's names."""

    def format_of(self, name: str) -> Format:
        """How the matrix will be stored."""
        ...

    def blocks(self, name: str) -> NDArray[np.uint8]:
        """The matrix in that format, as GGUF's blocks ``[rows, bytes of a row]``."""
        ...

    def vector(self, name: str) -> Tensor:
        """A norm's weight or a bias, float32."""
        ...


class _State:
    """Weights in floats, to be quantized.

    With 4 bits, queries, outputs, gates and ups have 4, which are two thirds of a layer; the rest has 8, as do
    embeddings and head: values and downs alone would cost more in perplexity than all others together.
    """

    def __init__(self, state: Mapping[str, Tensor], *, bits: int) -> None:
        self.state = state
        self.bits = bits

    def format_of(self, name: str) -> Format:
        return Format.Q4_1 if self.bits == 4 and name.endswith(_ROBUST) else Format.Q8_0

    def blocks(self, name: str) -> NDArray[np.uint8]:
        return quantize(self.state[name], kind=self.format_of(name), importance=self._importance(name))

    def _importance(self, name: str) -> Tensor | None:
        """What a column's errors weigh: normalized inputs have the squares of their norm's weights as mean squares."""
        for part, norm in (("self_attn.q_proj", _NORMS[0]), ("mlp.gate_proj", _NORMS[1]), ("mlp.up_proj", _NORMS[1])):
            if name.endswith(f"{part}.weight"):
                return self.vector(name.replace(f"{part}.weight", norm)).square()
        return None

    def vector(self, name: str) -> Tensor:
        return self.state[name].detach().float()


class _File:
    """Weights of a GGUF file: its own blocks where the kernels have their format, 8 bits of the nearest elsewhere."""

    def __init__(self, file: GGUFFile) -> None:
        self.file = file

    def format_of(self, name: str) -> Format:
        kind = self.file.tensors[name].kind
        return Format[kind] if kind in Format.__members__ else Format.Q8_0

    def blocks(self, name: str) -> NDArray[np.uint8]:
        if self.file.tensors[name].kind in Format.__members__:
            return self.file.tensors[name].data
        return quantize(torch.from_numpy(self.file.dequantize(name)), kind=Format.Q8_0)

    def vector(self, name: str) -> Tensor:
        return torch.from_numpy(self.file.dequantize(name)).float()


class NativeConfig(EngineConfig):
    """Weights of 8 or 4 bits in compiled code; by default those of a GGUF file as they are, and 8 else."""

    capabilities: ClassVar[frozenset[Capability]] = LanguageModel.capabilities
    kind: Literal["native"] = "native"
    bits: Literal[4, 8] | None = None
    max_length: int | None = Field(default=None, ge=1)

    @property
    def preference(self) -> int:
        return 1

    def obstacle(self, model: StoredModel | CausalTransformer) -> str | None:
        unknown = architecture_obstacle(model)
        if unknown is not None:
            return unknown
        missing = native.available()
        if missing is not None:
            return f"the native kernels are missing: {missing}"
        try:
            _shape(model.pretrained.config if isinstance(model, StoredModel) else model.config, num_threads=1)
        except ConfigError as error:
            return f"the native kernels cannot take this model: {error.got}"
        return None

    def open(self, model: StoredModel) -> LanguageModel:
        pretrained = model.pretrained
        tokenizer = pretrained.tokenizer
        pretrained.limit(self.max_length)
        if isinstance(pretrained.source, GGUFFile) and self.bits is None:
            engine = NativeEngine.from_gguf(pretrained.source, config=pretrained.config)
        else:
            state = {name: pretrained.read(name) for name in weight_shapes(pretrained.config)}
            engine = NativeEngine.from_state(pretrained.config, state, bits=self.bits or 8)
        return LanguageModel(engine, tokenizer, name=pretrained.name)

    def wrap(self, model: CausalTransformer) -> NativeEngine:
        return NativeEngine.from_state(model.config, model.state_dict(), bits=self.bits or 8)


class NativeEngine(Engine):
    """A model in quantized weights. Made by ``from_state`` or ``from_gguf``.

    Several sessions may be used from several threads; their steps take turns.

    Raises:
        ConfigError: there are no compiled kernels here, or they do not do the model's sizes.
    """

    name: ClassVar[str] = "native"

    def __init__(
        self, config: CausalTransformerConfig, source: _Source, *, num_threads: int | None, kernels: str | None
    ) -> None:
        self.config = config
        self.vocab_size = config.vocab_size
        self.dim = config.hidden_size
        self.max_length = config.max_position_embeddings
        self.decoder = _decoder(config, source, num_threads=num_threads or available_cores(), kernels=kernels)
        cosine, sine = rotary_table(
            self.max_length, config.head_width, base=config.rope_theta, device=torch.device("cpu")
        )
        self.decoder.set_rotary(cosine, sine)
        self._turns = cosine, sine
        self._vectors = self._load(source)
        self._prompt_weights: PromptWeights | None = None

    @classmethod
    def from_state(
        cls,
        config: CausalTransformerConfig,
        state: Mapping[str, Tensor],
        *,
        bits: int = 8,
        num_threads: int | None = None,
        kernels: str | None = None,
    ) -> NativeEngine:
        """Quantize weights under Hugging Face's names.

        Args:
            config: the model's shape.
            state: its weights, in any float format.
            bits: 8, or 4 for those matrices that stand it; in groups of 32 with a scale, and a minimum for 4.
            num_threads: of a step; None for one a core.
            kernels: ``portable``, ``avx2`` or ``avx512``; None for the fastest that the processor runs.
        """
        assert bits in (4, 8)
        return cls(config, _State(state, bits=bits), num_threads=num_threads, kernels=kernels)

    @classmethod
    def from_gguf(
        cls,
        file: GGUFFile,
        *,
        config: CausalTransformerConfig | None = None,
        num_threads: int | None = None,
        kernels: str | None = None,
    ) -> NativeEngine:
        """The weights of a GGUF file: Q8_0, Q4_0 and Q4_1 as they are, other kinds as the nearest of 8 bits.

        ``config`` is the file's own, or that with a shorter context.
        """
        return cls(config or file.config, _File(file), num_threads=num_threads, kernels=kernels)

    def _load(self, source: _Source) -> dict[int, Tensor]:
        decoder, config = self.decoder, self.config
        orders = {
            Matrix.QUERY: _pairs_together(config.num_attention_heads, config.head_width),
            Matrix.KEY: _pairs_together(config.num_key_value_heads, config.head_width),
        }
        vectors = {decoder.last_norm: source.vector("model.norm.weight")}
        for layer in range(config.num_hidden_layers):
            for kind in Matrix:
                blocks = source.blocks(_name(layer, _MATRICES[kind] + ".weight"))
                decoder.set_matrix(layer * len(Matrix) + kind, blocks[orders[kind]] if kind in orders else blocks)
            for vector, name in enumerate(_NORMS):
                vectors[layer * len(Vector) + vector] = source.vector(_name(layer, name))
            for bias, (name, kind) in enumerate(zip(_BIASES, (Matrix.QUERY, Matrix.KEY, Matrix.VALUE), strict=True)):
                if config.attention_bias:
                    values = source.vector(_name(layer, name))
                    number = layer * len(Vector) + Vector.QUERY_BIAS + bias
                    vectors[number] = values[orders[kind]] if kind in orders else values
        decoder.set_matrix(
            decoder.embeddings if not config.tie_word_embeddings else decoder.head, source.blocks(_EMBEDDINGS)
        )
        if not config.tie_word_embeddings:
            decoder.set_matrix(decoder.head, source.blocks(_HEAD))
        for number, values in vectors.items():
            decoder.set_vector(number, values)
        return vectors

    @property
    def prompt_weights(self) -> PromptWeights:
        """The weights for long prompts, made when they are first asked for."""
        if self._prompt_weights is None:
            cosine, sine = self._turns
            self._prompt_weights = PromptWeights(self.decoder, vectors=self._vectors, cosine=cosine, sine=sine)
        return self._prompt_weights

    def embed(self, ids: Tensor) -> Tensor:
        return self.decoder.read_rows(self.decoder.embeddings, ids.flatten().long()).view(*ids.shape, self.dim)

    @torch.no_grad()
    def hidden(self, values: Tensor, *, mask: Tensor) -> Tensor:
        session = self.session(len(values), capacity=values.shape[1])
        hidden = torch.zeros(values.shape)
        hidden[mask] = session.append(values, mask=mask, rows=torch.arange(len(values)))
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        return self.decoder.logits(hidden.reshape(-1, self.dim)).view(*hidden.shape[:-1], self.vocab_size)

    def session(self, num_rows: int, *, capacity: int) -> NativeSession:
        return NativeSession(self, num_rows, capacity=capacity)


class NativeSession(Session):
    """A key-value cache in half precision, which the decoder and PyTorch both write and read."""

    def __init__(self, engine: NativeEngine, num_rows: int, *, capacity: int) -> None:
        assert capacity <= engine.max_length
        self.engine = engine
        self.num_rows = num_rows
        self.capacity = capacity
        self._cache = KeyValueCache(
            engine.config, num_rows, capacity=capacity, device=torch.device("cpu"), dtype=torch.float16
        )
        self.lengths = self._cache.lengths

    @torch.no_grad()
    def prefill(self, values: Tensor, *, mask: Tensor, rows: Tensor) -> Tensor:
        last = mask.sum(dim=1).cumsum(0) - 1
        if len(last) and int(last[-1]) < _SHORT_PROMPT:
            return self._step(values[mask].float(), mask=mask, rows=rows, outputs=last)[0]
        return self.engine.logits(self._run_prompt(values, mask=mask, rows=rows)[last])

    @torch.no_grad()
    def step(self, ids: Tensor, *, rows: Tensor) -> Tensor:
        mask = torch.ones(ids.shape, dtype=torch.bool)
        logits, _ = self._step(ids.flatten(), mask=mask, rows=rows, outputs=torch.arange(ids.numel()))
        return logits.view(*ids.shape, -1)

    @torch.no_grad()
    def append(self, values: Tensor, *, mask: Tensor, rows: Tensor) -> Tensor:
        """Append embeddings as ``prefill`` does, and give the last hidden states ``[N, D]`` of all real ones."""
        if int(mask.sum()) <= _SHORT_PROMPT:
            packed = values[mask].float()
            return self._step(packed, mask=mask, rows=rows, outputs=torch.arange(len(packed)))[1]
        return self._run_prompt(values, mask=mask, rows=rows)

    def _run_prompt(self, values: Tensor, *, mask: Tensor, rows: Tensor) -> Tensor:
        weights = self.engine.prompt_weights
        return run_prompt(weights, values[mask].float(), cache=self._cache, rows=rows, counts=mask.sum(dim=1))

    def _step(self, packed: Tensor, *, mask: Tensor, rows: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """``packed [N]`` or ``[N, D]``, the tokens where ``mask [R, L]`` is True."""
        starts = self.lengths[rows]
        ends = starts + mask.sum(dim=1)
        assert int(ends.max()) <= self.capacity, "more tokens than the session has room for"
        places = starts[:, None] + torch.arange(mask.shape[1])
        logits, hidden = self.engine.decoder.step(
            packed,
            keys=self._cache.keys,
            cached=self._cache.values,
            rows=rows[:, None].expand_as(mask)[mask],
            positions=places[mask],
            outputs=outputs,
        )
        self.lengths[rows] = ends
        return logits, hidden

    def truncate(self, lengths: Tensor, *, rows: Tensor) -> None:
        self._cache.truncate(lengths, rows=rows)

    def copy(self, sources: Tensor, *, rows: Tensor) -> None:
        self._cache.copy(sources, rows=rows)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decoder(config: CausalTransformerConfig, source: _Source, *, num_threads: int, kernels: str | None) -> Decoder:
    tied = config.tie_word_embeddings
    return Decoder(
        _shape(config, num_threads=num_threads),
        layers=[
            [source.format_of(_name(layer, matrix + ".weight")) for matrix in _MATRICES]
            for layer in range(config.num_hidden_layers)
        ],
        head=source.format_of(_EMBEDDINGS if tied else _HEAD),
        embeddings=None if tied else source.format_of(_EMBEDDINGS),
        kernels=kernels,
    )


def _shape(config: CausalTransformerConfig, *, num_threads: int) -> DecoderShape:
    return DecoderShape(
        vocab_size=config.vocab_size,
        dim=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_width,
        max_length=config.max_position_embeddings,
        num_threads=num_threads,
        epsilon=config.rms_norm_eps,
        sliding_window=config.sliding_window or 0,
    )


def _name(layer: int, part: str) -> str:
    return f"model.layers.{layer}.{part}"


def _pairs_together(num_heads: int, width: int) -> NDArray[np.int64]:
    """The order of rows that brings each head's rotary pairs (i, i + E/2) side by side."""
    return np.arange(num_heads * width).reshape(num_heads, 2, width // 2).swapaxes(1, 2).ravel()
