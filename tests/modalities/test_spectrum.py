"""Spectra against librosa, clip by clip of a ragged padded batch."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from tonggan.modalities.spectrum import log_mel, mel_filter_bank, mfcc

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
