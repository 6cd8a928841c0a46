import pytest
import torch

from contracts import check_encoder
from tonggan.encoders.audio_front_end import LogMelConfig, MFCCConfig
from tonggan.encoders.audio_rnn import AudioRNNConfig
from tonggan.modalities.audio import Audio, AudioConfig
from tonggan.tokens import Arrays

AUDIO = Audio(AudioConfig(sample_rate=8000))
FRONT_END = LogMelConfig(num_fft=128, hop=64, num_mels=10)


def recordings() -> Arrays:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(1500) < torch.tensor([1500, 700, 30, 0])[:, None]
    return Arrays((torch.rand(4, 1500, generator=generator) - 0.5) * mask, mask)


def build(config):
    return config.build(AUDIO, dim=8)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"cell": "gru", "num_layers": 2, "frames_per_token": 1, "width": 6},
        {"causal": True, "front_end": MFCCConfig(num_fft=128, hop=64, num_mels=10, num_coefficients=7)},
    ],
)
def test_contract(settings):
    check_encoder(AudioRNNConfig(**({"front_end": FRONT_END} | settings)), build, recordings(), dim=8)


def test_a_token_for_each_group_of_frames():
    tokens = build(AudioRNNConfig(front_end=FRONT_END, frames_per_token=4))(recordings())
    assert tokens.mask.sum(dim=1).tolist() == [6, 3, 1, 0]
