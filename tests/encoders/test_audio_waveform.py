import pytest
import torch

from contracts import check_encoder
from tonggan.encoders.audio_waveform import AudioWaveformConfig
from tonggan.modalities.audio import Audio, AudioConfig
from tonggan.tokens import Arrays

AUDIO = Audio(AudioConfig(sample_rate=8000))
SMALL = {"channels": (4, 6), "kernels": (9, 5), "strides": (5, 3), "num_heads": 2}


def recordings() -> Arrays:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(1500) < torch.tensor([1500, 700, 30, 0])[:, None]
    return Arrays((torch.rand(4, 1500, generator=generator) - 0.5) * mask, mask)


def build(config):
    return config.build(AUDIO, dim=8)


@pytest.mark.parametrize("settings", [{}, {"num_layers": 0, "width": 12, "augment": None}])
def test_contract(settings):
    check_encoder(AudioWaveformConfig(**(SMALL | settings)), build, recordings(), dim=8)


def test_a_token_for_each_product_of_strides():
    tokens = build(AudioWaveformConfig(**SMALL))(recordings())
    assert tokens.mask.sum(dim=1).tolist() == [100, 47, 2, 0]


def test_loudness_and_offset_change_nothing():
    encoder, arrays = build(AudioWaveformConfig(**SMALL)).eval(), recordings()
    louder = Arrays((arrays.values * 0.5 + 0.1) * arrays.mask, arrays.mask)
    torch.testing.assert_close(encoder(louder).values[:2], encoder(arrays).values[:2], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "said"), [({"strides": (5,)}, "one number for each"), ({"kernels": (8, 5)}, "kernel is even")]
)
def test_what_does_not_fit_together(settings, said):
    with pytest.raises(ValueError, match=said):
        AudioWaveformConfig(**(SMALL | settings))
