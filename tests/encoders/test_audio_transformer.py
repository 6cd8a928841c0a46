import pytest
import torch
from torch import nn

from contracts import check_encoder
from tonggan.encoders.audio_front_end import LogMelConfig, MFCCConfig
from tonggan.encoders.audio_transformer import AudioTransformerConfig
from tonggan.layers.positions import sinusoidal_positions
from tonggan.modalities.audio import Audio, AudioConfig
from tonggan.tokens import Arrays

AUDIO = Audio(AudioConfig(sample_rate=8000))
FRONT_END = LogMelConfig(num_fft=128, hop=64, num_mels=10)


def recordings() -> Arrays:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(1500) < torch.tensor([1500, 700, 30, 0])[:, None]
    return Arrays((torch.rand(4, 1500, generator=generator) - 0.5) * mask, mask)


def build(config: AudioTransformerConfig) -> nn.Module:
    return config.build(AUDIO, dim=8)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"positions": "rotary", "frames_per_token": 1},
        {"front_end": MFCCConfig(num_fft=128, hop=64, num_mels=10, num_coefficients=7), "num_layers": 0},
    ],
)
def test_contract(settings):
    given = {"num_layers": 2, "num_heads": 2, "frames_per_token": 3, "front_end": FRONT_END}
    check_encoder(AudioTransformerConfig(**(given | settings)), build, recordings(), dim=8)


def test_tokens_are_groups_of_frames():
    torch.manual_seed(0)
    config = AudioTransformerConfig(num_layers=0, num_heads=2, frames_per_token=4, front_end=FRONT_END)
    encoder = build(config).eval()
    tokens = encoder(recordings())
    # 1 + 700 // 64 = 11 frames make 3 tokens, the last of three frames and a zero one.
    assert tokens.mask.sum(dim=1).tolist() == [6, 3, 1, 0]
    frames = encoder.front_end(recordings()).values[1]
    group = torch.cat([frames[8], frames[9], frames[10], torch.zeros(10)])
    expected = nn.functional.layer_norm(encoder.projection(group) + sinusoidal_positions(3, 8)[2], (8,))
    torch.testing.assert_close(tokens.values[1, 2], expected, rtol=1e-4, atol=1e-5)
