from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tonggan.encoders.audio_front_end import (
    AudioFrontEnd,
    LogMelConfig,
    MFCCConfig,
    SpecAugmentConfig,
    log_mel,
    mel_filter_bank,
    mfcc,
    normalize_frames,
    spec_augment,
)
from tonggan.tokens import Arrays, Tokens


def _librosa_as_it_is_written() -> Any:
    """Librosa without numba, which compiles for many seconds what nothing here calls."""

    def decorator(*arguments: Any, **_: Any) -> Any:
        return arguments[0] if arguments and callable(arguments[0]) else lambda function: function

    stand_in = ModuleType("numba")
    for name in ("jit", "njit", "vectorize", "guvectorize", "stencil"):
        setattr(stand_in, name, decorator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numba", stand_in)
        import librosa
        import librosa.feature
        import librosa.filters

        assert librosa.feature.mfcc
        return librosa


librosa = _librosa_as_it_is_written()
RATE = 8_000
LENGTHS = (8_000, 5_003, 300, 1, 0)


def ragged_batch() -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    samples = np.full((len(LENGTHS), max(LENGTHS)), 7.0, dtype=np.float32)  # what lies under the mask must not matter
    for row, length in enumerate(LENGTHS):
        tone = np.sin(np.arange(length) * 0.05 * (row + 1))
        samples[row, :length] = 0.5 * tone + 0.01 * random.standard_normal(length)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS).unsqueeze(1)
    return torch.from_numpy(samples), mask


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    """Within 1e-3 of the reference's own scale."""
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large for input signal")
@pytest.mark.parametrize(("num_fft", "hop", "num_mels"), [(512, 128, 40), (256, 80, 23), (1024, 512, 64)])
def test_equal_to_librosa_for_every_clip(num_fft: int, hop: int, num_mels: int) -> None:
    samples, mask = ragged_batch()
    settings = {"num_fft": num_fft, "hop": hop, "num_mels": num_mels, "sample_rate": RATE}
    bands, band_mask = log_mel(samples, mask, **settings)
    coefficients, coefficient_mask = mfcc(samples, mask, num_coefficients=13, **settings)
    for row, length in enumerate(LENGTHS[:-1]):
        clip = samples[row, :length].numpy()
        theirs = {"y": clip, "sr": RATE, "n_fft": num_fft, "hop_length": hop, "n_mels": num_mels}
        expected = librosa.power_to_db(librosa.feature.melspectrogram(**theirs)).T
        assert_close(bands[row, band_mask[row]].numpy(), expected)
        expected = librosa.feature.mfcc(n_mfcc=13, **theirs).T
        assert_close(coefficients[row, coefficient_mask[row]].numpy(), expected)


def test_an_absent_row_has_no_frames_and_finite_values() -> None:
    samples, mask = ragged_batch()
    values, frame_mask = log_mel(samples, mask, sample_rate=RATE, num_fft=512, hop=128, num_mels=40)
    assert not frame_mask[-1].any()
    assert torch.isfinite(values).all()


def test_padding_changes_nothing() -> None:
    samples, mask = ragged_batch()
    settings = {"sample_rate": RATE, "num_fft": 512, "hop": 128, "num_mels": 40}
    values, frame_mask = mfcc(samples, mask, **settings)
    longer = torch.nn.functional.pad(samples, (0, 999), value=3.0), torch.nn.functional.pad(mask, (0, 999))
    padded_values, padded_mask = mfcc(*longer, **settings)
    frames = frame_mask.shape[1]
    assert torch.equal(padded_mask[:, :frames], frame_mask)
    assert not padded_mask[:, frames:].any()
    torch.testing.assert_close(padded_values[:, :frames][frame_mask], values[frame_mask], rtol=1e-4, atol=1e-3)


def test_mel_filter_bank_equals_librosa() -> None:
    for rate, num_fft, num_mels in ((8_000, 512, 40), (16_000, 2048, 128), (1_500, 256, 10)):
        expected = librosa.filters.mel(sr=rate, n_fft=num_fft, n_mels=num_mels)
        bank = mel_filter_bank(sample_rate=rate, num_fft=num_fft, num_mels=num_mels)
        np.testing.assert_allclose(bank.numpy(), expected, rtol=1e-4, atol=1e-7)


def test_a_gradient_reaches_the_samples() -> None:
    samples, mask = ragged_batch()
    samples.requires_grad_()
    values, frame_mask = log_mel(samples, mask, sample_rate=RATE, num_fft=512, hop=128, num_mels=40)
    values[frame_mask].sum().backward()
    assert samples.grad is not None
    assert torch.isfinite(samples.grad).all()
    assert samples.grad[~mask].abs().sum() == 0


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
