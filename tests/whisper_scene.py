"""Tiny Whisper encoders, what CTranslate2 wants to know of them, and how tests find the published weights."""

from __future__ import annotations

import numpy as np
import pytest

from tonggan.weights import CATALOGUE


def need_whisper():
    """Skip a test where Whisper base or CTranslate2 is not installed."""
    pytest.importorskip("ctranslate2", reason="CTranslate2 runs Whisper")
    if not CATALOGUE["whisper_base"].is_installed:
        pytest.skip("the packages of 'whisper_base' are not installed")


def fill_specification(specification, encoder):
    """Write the encoder's weights, and any others into the decoder's."""
    from tonggan.encoders.whisper import ctranslate2_name

    weights = encoder.state_dict()
    for name, weight in weights.items():
        target, *rest = [specification.encoder, *ctranslate2_name(name).split("/")[1:]]
        for part in rest[:-1]:
            layer, _, number = part.rpartition("_")
            in_list = number.isdigit() and isinstance(getattr(target, layer, None), list)
            target = getattr(target, layer)[int(number)] if in_list else getattr(target, part)
        setattr(target, rest[-1], weight.numpy().copy())
    width = encoder.dim
    decoder = specification.decoder
    decoder.embeddings.weight = np.zeros((20, width), np.float32)
    decoder.position_encodings.encodings = np.zeros((10, width), np.float32)
    decoder.projection.weight = np.zeros((20, width), np.float32)
    for norm in (decoder.layer_norm,):
        norm.gamma = norm.beta = np.zeros(width, np.float32)
    for layer in decoder.layer:
        for attention, sizes in ((layer.self_attention, (3, 1)), (layer.attention, (1, 2, 1))):
            attention.layer_norm.gamma = attention.layer_norm.beta = np.zeros(width, np.float32)
            for linear, size in zip(attention.linear, sizes, strict=True):
                linear.weight = np.zeros((size * width, width), np.float32)
                linear.bias = np.zeros(size * width, np.float32)
        layer.ffn.layer_norm.gamma = layer.ffn.layer_norm.beta = np.zeros(width, np.float32)
        layer.ffn.linear_0.weight = np.zeros((24, width), np.float32)
        layer.ffn.linear_0.bias = np.zeros(24, np.float32)
        layer.ffn.linear_1.weight = np.zeros((width, 24), np.float32)
        layer.ffn.linear_1.bias = np.zeros(width, np.float32)
    specification.register_vocabulary([str(number) for number in range(20)])
