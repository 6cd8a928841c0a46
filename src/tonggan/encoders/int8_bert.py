"""BERT with matrices of 8-bit integers, by CTranslate2 on the CPU; it cannot be trained."""

from __future__ import annotations

import tempfile
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.encoders.bert import Bert
from tonggan.errors import MissingExtraError
from tonggan.tokens import Arrays, Tokens


class Int8Bert:
    """The weights of ``encoder`` in int8, on as many threads as PyTorch uses.

    Raises:
        MissingExtraError: CTranslate2 is not installed.
    """

    def __init__(self, encoder: Bert) -> None:
        try:
            import ctranslate2
        except ImportError as error:
            raise MissingExtraError.of("ctranslate2", extra="search", purpose="a text embedder in int8") from error
        self._from_array = ctranslate2.StorageView.from_array
        with tempfile.TemporaryDirectory() as folder:
            _specification(encoder).save(folder)
            self._encoder = ctranslate2.Encoder(folder, compute_type="int8", intra_threads=torch.get_num_threads())

    def __call__(self, arrays: Arrays) -> Tokens:
        """Last hidden states, as ``Bert`` gives them. Each row must have a token, and padding only at its end."""
        ids = self._from_array(arrays.values.int().numpy())
        lengths = self._from_array(arrays.mask.sum(dim=1).int().numpy())
        hidden = np.array(self._encoder.forward_batch(ids, lengths).last_hidden_state)
        return Tokens(torch.from_numpy(hidden), arrays.mask)


def _specification(encoder: Bert) -> Any:
    """The model in CTranslate2's terms."""
    from ctranslate2.converters.utils import fuse_linear
    from ctranslate2.specs.common_spec import Activation, EmbeddingsMerge, LinearSpec
    from ctranslate2.specs.transformer_spec import TransformerEncoderModelSpec, TransformerEncoderSpec

    config = encoder.config
    target = TransformerEncoderSpec(
        config.num_hidden_layers,
        config.num_attention_heads,
        pre_norm=False,
        activation=Activation.GELU,
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=EmbeddingsMerge.ADD,
    )
    target.scale_embeddings = False
    embeddings = encoder.embeddings
    target.embeddings[0].weight = _copy(cast("Tensor", embeddings.word_embeddings.weight))
    target.embeddings[1].weight = _copy(embeddings.token_type_embeddings.weight)
    target.position_encodings.encodings = _copy(embeddings.position_embeddings.weight[config.first_position :])
    _set_norm(target.layernorm_embedding, embeddings.LayerNorm)
    layers: Any = encoder.encoder.layer
    for to, layer in zip(target.layer, layers, strict=True):
        fused = [LinearSpec() for _ in range(3)]
        for part, name in zip(fused, ("query", "key", "value"), strict=True):
            _set_linear(part, getattr(layer.attention.self, name))
        fuse_linear(to.self_attention.linear[0], fused)
        _set_linear(to.self_attention.linear[1], layer.attention.output.dense)
        _set_norm(to.self_attention.layer_norm, layer.attention.output.LayerNorm)
        _set_linear(to.ffn.linear_0, layer.intermediate.dense)
        _set_linear(to.ffn.linear_1, layer.output.dense)
        _set_norm(to.ffn.layer_norm, layer.output.LayerNorm)
    specification = TransformerEncoderModelSpec(target)
    # Only ids are given to it, but it wants a name for each.
    specification.register_vocabulary([str(id_) for id_ in range(config.vocab_size)])
    specification.config.unk_token = "0"  # noqa: S105 - no secret
    specification.config.layer_norm_epsilon = config.layer_norm_eps
    specification.validate()
    specification.optimize(quantization="int8")
    return specification


def _set_linear(target: Any, linear: Any) -> None:
    target.weight, target.bias = _copy(linear.weight), _copy(linear.bias)


def _set_norm(target: Any, norm: Any) -> None:
    target.gamma, target.beta = _copy(norm.weight), _copy(norm.bias)


def _copy(weight: Tensor) -> NDArray[np.float32]:
    """Quantization writes into the arrays that it is given."""
    copied: NDArray[np.float32] = weight.detach().cpu().numpy().copy()
    return copied
