import numpy as np
import pytest
import torch

from tonggan.encoders.whisper import WhisperConfig
from tonggan.errors import ConfigError
from tonggan.models.audio_embedder import AudioEmbedder
from whisper_scene import need_whisper

SMALL = WhisperConfig(num_mel_bins=8, d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24)


@pytest.fixture
def embedder():
    torch.manual_seed(0)
    return AudioEmbedder(SMALL.build(), name="small", identity="small", sample_rate=16_000)


def tone(seconds, *, hertz=440, rate=16_000):
    return (np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate) / 3).astype(np.float32)


def test_a_vector_does_not_depend_on_the_recordings_beside_it(embedder):
    items = [tone(0.5), tone(1.3, hertz=300), tone(0.001), np.zeros(0, np.float32)]
    together = embedder.embed(items)
    assert together.shape == (4, embedder.dim)
    assert together.dtype == np.float32
    for item, vector in zip(items, together, strict=True):
        np.testing.assert_allclose(embedder.embed([item])[0], vector, atol=1e-5)
    assert not together[3].any()
    assert embedder.embed([]).shape == (0, 32)


def test_stretches_of_a_recording_have_its_mean(embedder):
    items = [tone(1.6), tone(0.1), np.zeros(0, np.float32)]
    long, short, nothing = embedder.embed_tokens(items)
    assert (long.shape, short.shape, nothing.shape) == ((16, 16), (5, 16), (0, 16))
    np.testing.assert_allclose(long.mean(axis=0), embedder.embed(items)[0, :16], atol=1e-5)
    np.testing.assert_allclose(short.mean(axis=0), embedder.embed(items)[1, :16], atol=1e-5)


def test_a_long_recording_is_read_to_its_end(embedder):
    first, second = tone(30), tone(4, hertz=900)
    both = embedder.embed([np.concatenate([first, second])])[0]
    one, other = embedder.embed([first, second])
    mean = (1500 * one[:16] + 200 * other[:16]) / 1700
    np.testing.assert_allclose(both[:16], mean, rtol=1e-3, atol=1e-4)


def test_another_rate_is_resampled():
    torch.manual_seed(0)
    encoder = SMALL.build()
    embedders = [AudioEmbedder(encoder, name="x", identity="x", sample_rate=rate) for rate in (16_000, 8_000)]
    expected = embedders[0].embed([tone(1)])[0]
    actual = embedders[1].embed([tone(1, rate=8_000)])[0]
    assert np.corrcoef(expected, actual)[0, 1] > 0.99
    assert embedders[0].identity != embedders[1].identity


def test_whisper_hears_what_is_said_and_how():
    need_whisper()
    with pytest.raises(ConfigError, match=r"got 'minilm', which reads text, expected one of whisper_base"):
        AudioEmbedder.load("minilm")
    embedder = AudioEmbedder.load("whisper_base")
    assert (embedder.name, embedder.dim) == ("whisper_base", 1024)
    low, same, noise = embedder.embed([tone(1), tone(1.1), np.random.default_rng(0).normal(size=16_000) / 10])

    def cosine(one, other):
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    assert cosine(low, same) > cosine(low, noise)
