"""Long prompts through a native decoder's weights by PyTorch's matrix products, into the cache that it decodes from.

Where many tokens come at once, arithmetic is the limit and not memory: processors that multiply bfloat16 matrices in
hardware then do several times what the decoder's kernels can. It chooses no token and knows no checkpoint.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tonggan.language.causal_transformer import window_mask
from tonggan.language.kv_cache import KeyValueCache
from tonggan.native.decoder import Decoder, Matrix, Vector


class PromptWeights:
    """A decoder's weights as plain matrices, those that read the same input joined; biases and norms in float32.

    They take 2 bytes a weight where the processor multiplies bfloat16 in hardware, 4 elsewhere, without embeddings and
    head; they are made when the first long prompt comes.
    """

    def __init__(self, decoder: Decoder, *, vectors: dict[int, Tensor], cosine: Tensor, sine: Tensor) -> None:
        self.decoder = decoder
        self.dtype = torch.bfloat16 if multiplies_bfloat16() else torch.float32
        self.vectors = vectors
        self.turns = torch.complex(cosine, sine)  # [max_length, E/2]
        layers = range(decoder.shape.num_layers)
        self.inputs = [self._joined(layer, Matrix.QUERY, Matrix.KEY, Matrix.VALUE) for layer in layers]
        self.outputs = [self._joined(layer, Matrix.OUTPUT) for layer in layers]
        self.gates = [self._joined(layer, Matrix.GATE, Matrix.UP) for layer in layers]
        self.downs = [self._joined(layer, Matrix.DOWN) for layer in layers]
        self.biases = [self._bias(layer) for layer in layers]

    def _joined(self, layer: int, *kinds: Matrix) -> Tensor:
        return torch.cat([self.decoder.read_rows(layer * len(Matrix) + kind).to(self.dtype) for kind in kinds])

    def _bias(self, layer: int) -> Tensor | None:
        kinds = (Vector.QUERY_BIAS, Vector.KEY_BIAS, Vector.VALUE_BIAS)
        present = [
            self.vectors[number] for number in (layer * len(Vector) + kind for kind in kinds) if number in self.vectors
        ]
        return torch.cat(present) if present else None

    def vector(self, layer: int, kind: Vector) -> Tensor:
        return self.vectors[layer * len(Vector) + kind]


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for products of bfloat16 (AMX or AVX-512 BF16)."""
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def run_prompt(weights: PromptWeights, values: Tensor, *, cache: KeyValueCache, rows: Tensor, counts: Tensor) -> Tensor:
    """Append the embeddings ``[N, D]``, ``counts[r]`` for each of ``rows`` in turn, to the cache; last hidden states.

    Each row stands by itself in attention, and all together in matrix products, so that no padding is computed.
    """
    shape = weights.decoder.shape
    heads, groups, width = shape.num_heads, shape.num_key_value_heads, shape.head_dim
    starts = cache.lengths[rows]
    spans = list(zip(rows.tolist(), starts.tolist(), counts.tolist(), strict=True))
    turns = torch.cat([weights.turns[start : start + count] for _, start, count in spans])[:, None]
    hidden = values.float().clone()
    for layer in range(shape.num_layers):
        normalized = _normalize(hidden, weights.vector(layer, Vector.ATTENTION_NORM), shape.epsilon, weights.dtype)
        projected = F.linear(normalized, weights.inputs[layer]).float()
        bias = weights.biases[layer]
        if bias is not None:
            projected += bias
        mixed = projected.view(len(hidden), heads + 2 * groups, width)
        pairs = torch.view_as_complex(mixed[:, : heads + groups].reshape(len(hidden), heads + groups, width // 2, 2))
        turned = torch.view_as_real(pairs * turns).flatten(2)
        query, key = turned[:, :heads], turned[:, heads:]
        value = mixed[:, heads + groups :]
        found = _attend(query, key, value, layer=layer, cache=cache, spans=spans, dtype=weights.dtype)
        hidden += F.linear(found.flatten(1), weights.outputs[layer])
        normalized = _normalize(hidden, weights.vector(layer, Vector.MLP_NORM), shape.epsilon, weights.dtype)
        gate, up = F.linear(normalized, weights.gates[layer]).chunk(2, dim=1)
        hidden += F.linear(F.silu(gate) * up, weights.downs[layer])
    cache.lengths[rows] = starts + counts
    return _normalize(hidden, weights.vectors[weights.decoder.last_norm], shape.epsilon, torch.float32)


def _normalize(values: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
    return F.rms_norm(values, weight.shape, weight, epsilon).to(dtype)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    layer: int,
    cache: KeyValueCache,
    spans: list[tuple[int, int, int]],
    dtype: torch.dtype,
) -> Tensor:
    """What ``query [N, H, E]`` finds, ``[N, H, E]``; ``key`` and ``value [N, K, E]`` go to the cache."""
    found = []
    place = 0
    for row, start, count in spans:
        end = start + count
        cached_keys, cached_values = cache.keys[layer, row], cache.values[layer, row]  # [K, capacity, E]
        cached_keys[:, start:end] = key[place : place + count].transpose(0, 1)
        cached_values[:, start:end] = value[place : place + count].transpose(0, 1)
        window = cache.window or end
        first = max(0, start - window + 1)
        is_causal = start == 0 and count <= window
        visible = None if is_causal else window_mask(count, end - first, window, device=query.device)
        found.append(
            F.scaled_dot_product_attention(
                query[None, place : place + count].transpose(1, 2).to(dtype),
                cached_keys[None, :, first:end].to(dtype),
                cached_values[None, :, first:end].to(dtype),
                attn_mask=visible,
                is_causal=is_causal,
                enable_gqa=True,
            )[0].transpose(0, 1)
        )
        place += count
    return torch.cat(found)
