import pytest
import torch
from torch import nn

from contracts import check_encoder
from tonggan.encoders.audio_cnn import AudioCNNConfig, mean_pool
from tonggan.encoders.audio_front_end import LogMelConfig, MFCCConfig
from tonggan.modalities.audio import Audio, AudioConfig
from tonggan.tokens import Arrays, Tokens

AUDIO = Audio(AudioConfig(sample_rate=8000))
FRONT_END = LogMelConfig(num_fft=128, hop=64, num_mels=10)


def recordings(lengths: tuple[int, ...] = (1500, 700, 30, 0)) -> Arrays:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(1500) < torch.tensor(lengths)[:, None]
    return Arrays((torch.rand(len(lengths), 1500, generator=generator) - 0.5) * mask, mask)


def build(config: AudioCNNConfig) -> nn.Module:
    return config.build(AUDIO, dim=6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pool": "mean", "activation": "gelu", "dropout": 0.0},
        {"blocks": 1, "num_heads": 2, "convolutions": 1},
        {"front_end": MFCCConfig(num_fft=128, hop=64, num_mels=10, num_coefficients=7), "convolutions": 1},
    ],
)
def test_contract(settings):
    config = AudioCNNConfig(**({"channels": (4, 6), "front_end": FRONT_END} | settings))
    check_encoder(config, build, recordings(), dim=6)


def test_equals_plain_convolutions_on_one_clip():
    torch.manual_seed(0)
    encoder = build(AudioCNNConfig(channels=(4, 6), convolutions=2, front_end=FRONT_END, pool="mean")).eval()
    clip = Arrays(recordings().values[1:2, :700], recordings().mask[1:2, :700])
    values = encoder.front_end(clip).values.unsqueeze(1)  # [1, 1, 11, 10]
    for layer, stride in zip(encoder.layers, (2, 1, 2, 1), strict=True):
        values = nn.functional.conv2d(values, layer.convolution.weight, stride=stride, padding=1)
        values = (values / (1 + 1e-5) ** 0.5).relu()
    assert values.shape == (1, 6, 3, 3)
    expected = encoder.projection(values.mean(dim=2).flatten(1))
    torch.testing.assert_close(encoder(recordings()).values[1], expected, rtol=1e-4, atol=1e-5)


def test_statistics_in_training_ignore_padding_and_absence():
    torch.manual_seed(0)
    config = AudioCNNConfig(channels=(4,), front_end=FRONT_END.model_copy(update={"augment": None}), dropout=0.0)
    encoder = build(config)
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    tokens = encoder(recordings((700, 0, 700)))
    padded = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.load_state_dict(state)
    arrays = recordings((700, 0, 700)).take(torch.tensor([0, 2]))
    alone = encoder(Arrays(arrays.values[:, :700], arrays.mask[:, :700]))
    torch.testing.assert_close(tokens.values[[0, 2], : alone.values.shape[1]], alone.values, rtol=1e-4, atol=1e-5)
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(value, padded[name])


@pytest.mark.parametrize("lengths", [(0, 0), (0, 800)])
def test_training_with_hardly_a_recording(lengths):
    encoder = build(AudioCNNConfig(channels=(4,), front_end=FRONT_END)).train()
    tokens = encoder(recordings(lengths))
    assert tokens.present.tolist() == [length > 0 for length in lengths]
    tokens.values.square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters())


def test_mean_of_real_tokens():
    values = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]], [[7.0, 7.0]] * 3])
    pooled = mean_pool(Tokens(values, torch.tensor([[True, True, False], [False, False, False]])))
    assert pooled.values.tolist() == [[[2.0, 4.0]], [[0.0, 0.0]]]
    assert pooled.mask.tolist() == [[True], [False]]
