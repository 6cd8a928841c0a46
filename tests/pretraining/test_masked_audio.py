import pytest
import torch
from torch import nn

from contracts import check_pretraining, draw
from tonggan.encoders import AudioCNNConfig, AudioTransformerConfig
from tonggan.errors import ConfigError
from tonggan.modalities import AudioConfig
from tonggan.pretraining.masked_audio import MaskedAudioConfig, _encoded
from tonggan.tokens import Arrays

FRONT_END = {"kind": "logmel", "num_fft": 128, "hop": 64, "num_mels": 20}
AUDIO = AudioConfig(sample_rate=2_000).build()
ENCODERS = {
    "transformer": AudioTransformerConfig(num_layers=1, num_heads=2, front_end=FRONT_END),
    "cnn": AudioCNNConfig(channels=(4, 4), convolutions=1, front_end=FRONT_END),
}


def recordings():
    samples = torch.randn(4, 2_100, generator=torch.Generator().manual_seed(0)) * 0.1
    lengths = torch.tensor([2_100, 900, 1_300, 0])
    return Arrays(samples, torch.arange(2_100) < lengths.unsqueeze(1))


def build(config, encoder):
    return config.build(encoder.build(AUDIO, dim=16), AUDIO, dim=16)


@pytest.mark.parametrize("name", ENCODERS)
def test_contract(name):
    check_pretraining(MaskedAudioConfig(), lambda config: build(config, ENCODERS[name]), recordings())


def test_what_is_hidden_does_not_reach_the_encoder():
    objective = build(MaskedAudioConfig(hidden=0.5, frames=3, bands=4), ENCODERS["transformer"]).eval()
    arrays = recordings()
    frames = objective.front_end(arrays)
    same = _encoded(objective.encoder, frames, arrays)
    torch.testing.assert_close(same.values, objective.encoder(arrays).values)
    guessed = objective.guess(arrays, draw(len(arrays)))
    hidden = objective._choose(frames, draw(len(arrays)))
    assert guessed.count.tolist() == hidden.flatten(1).sum(dim=1).tolist()
    assert 0.3 < float(hidden[0].float().mean()) < 0.7


def test_encoders_that_do_not_suit_are_refused():
    with pytest.raises(ConfigError, match="an encoder without a spectrum"):
        MaskedAudioConfig().build(nn.Linear(2, 2), AUDIO, dim=16)
    pooled = AudioCNNConfig(channels=(4, 4), pool="mean", front_end=FRONT_END)
    with pytest.raises(ConfigError, match=r"one token of a recording.*encoder\.pool=frames"):
        build(MaskedAudioConfig(), pooled)
