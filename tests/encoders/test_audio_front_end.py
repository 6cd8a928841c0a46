import pytest
import torch
from pydantic import ValidationError

from tonggan.encoders.audio_front_end import (
    AudioFrontEnd,
    LogMelConfig,
    MFCCConfig,
    SpecAugmentConfig,
    normalize_frames,
    spec_augment,
)
from tonggan.modalities.spectrum import log_mel, mfcc
from tonggan.tokens import Arrays, Tokens


def recordings() -> Arrays:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([4000, 2500, 0])
    mask = torch.arange(4000) < lengths[:, None]
    return Arrays((torch.rand(3, 4000, generator=generator) - 0.5) * mask, mask)


def test_log_mel_of_each_clip_has_mean_0_and_deviation_1():
    arrays = recordings()
    config = LogMelConfig(num_mels=20)
    frames = AudioFrontEnd(config, sample_rate=8000).eval()(arrays)
    assert frames.mask.sum(dim=1).tolist() == [26, 16, 0]
    raw, _ = log_mel(
        arrays.values[1:2, :2500], arrays.mask[1:2, :2500], sample_rate=8000, num_fft=512, hop=160, num_mels=20
    )
    expected = (raw[0] - raw[0].mean()) / raw[0].std(correction=0)
    torch.testing.assert_close(frames.values[1, :16], expected, rtol=1e-3, atol=1e-3)
    assert frames.values[~frames.mask].abs().max() == 0


def test_mfcc_is_normalized_for_each_coefficient():
    arrays = recordings()
    frames = AudioFrontEnd(MFCCConfig(num_mels=20, num_coefficients=13), sample_rate=8000).eval()(arrays)
    raw, _ = mfcc(
        arrays.values[:1], arrays.mask[:1], sample_rate=8000, num_coefficients=13, num_fft=512, hop=160, num_mels=20
    )
    expected = (raw[0] - raw[0].mean(dim=0)) / raw[0].std(dim=0, correction=0)
    torch.testing.assert_close(frames.values[0], expected, rtol=1e-3, atol=1e-3)


def test_a_constant_clip_becomes_zeros():
    frames = Tokens(torch.full((1, 4, 3), 5.0), torch.tensor([[True, True, False, False]]))
    assert normalize_frames(frames, each_band=True).values.abs().max() < 1e-3


def test_spec_augment_blanks_what_it_says():
    torch.manual_seed(0)
    mask = torch.arange(40) < torch.tensor([40] * 50 + [10] * 50)[:, None]
    frames = Tokens(torch.ones(100, 40, 30), mask)
    config = SpecAugmentConfig(num_time_masks=1, max_time=0.5, num_frequency_masks=1, max_frequency=0.2)
    blank = spec_augment(frames, config).values == 0
    blank_frames, blank_bands = blank.all(dim=2), blank.all(dim=1)
    assert torch.equal(blank, blank_frames[:, :, None] | blank_bands[:, None, :])
    assert not blank_frames[~mask].any()
    assert blank_frames[:50].sum(dim=1).max() <= 20
    assert 8 < blank_frames[:50].sum(dim=1).float().mean() < 12  # half of the longest run on average
    assert blank_frames[50:].sum(dim=1).max() <= 5
    assert blank_bands.sum(dim=1).max() <= 6
    # Each is one run: at most one step from kept to blank.
    assert (blank_bands.int().diff(dim=1, prepend=torch.zeros(100, 1).int()) == 1).sum(dim=1).max() == 1


def test_blanks_in_training_only():
    arrays = recordings()
    front_end = AudioFrontEnd(LogMelConfig(num_mels=20), sample_rate=8000)
    torch.manual_seed(0)
    assert not torch.equal(front_end(arrays).values, front_end(arrays).values)
    assert torch.equal(front_end.eval()(arrays).values, front_end(arrays).values)
    without = AudioFrontEnd(LogMelConfig(num_mels=20, augment=None), sample_rate=8000).train()
    assert torch.equal(without(arrays).values, front_end(arrays).values)


def test_more_coefficients_than_bands():
    with pytest.raises(ValidationError, match="num_coefficients 20 is more than num_mels 10"):
        MFCCConfig(num_mels=10)
