import numpy as np
import pytest
import torch

from contracts import check_config, check_save_load
from tonggan.encoders.whisper import (
    WhisperConfig,
    WhisperEncoder,
    load_whisper,
    whisper_frames,
    whisper_from_ctranslate2,
)
from tonggan.errors import ConfigError, DataError
from tonggan.tokens import Arrays
from tonggan.weights import CATALOGUE
from tonggan.weights.ctranslate2_file import joined_files
from tonggan.weights.folder import WeightsFolder
from whisper_scene import need_whisper

SMALL = WhisperConfig(num_mel_bins=8, d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24)


def recordings(*lengths):
    values = torch.randn(len(lengths), max(lengths), generator=torch.Generator().manual_seed(0)) / 10
    return Arrays(values, torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1))


def test_config_and_weights_survive_a_round_trip():
    check_config(SMALL)
    frames = whisper_frames(recordings(5_000, 3_000), num_mels=8)
    check_save_load(SMALL.build(), SMALL.build(), lambda encoder: encoder(frames).mean())
    with pytest.raises(ConfigError, match="d_model 16 is not a multiple of 3 heads"):
        WhisperConfig.parse({"d_model": 16, "encoder_attention_heads": 3}, who="config")


def test_frames_equal_those_of_transformers():
    library = pytest.importorskip("transformers", reason="transformers is the reference")
    arrays = recordings(30_000, 17_011)
    actual = whisper_frames(arrays, whole_window=True)
    for row, length in enumerate((30_000, 17_011)):
        samples = arrays.values[row, :length].numpy()
        expected = library.WhisperFeatureExtractor()(samples, sampling_rate=16_000, return_tensors="np").input_features
        np.testing.assert_allclose(actual.values[row].T, expected[0], rtol=0, atol=1e-5)


def test_a_recording_is_encoded_by_itself():
    """Whatever is beside it, and however long: nothing behind its end reaches it."""
    torch.manual_seed(0)
    encoder = SMALL.build().eval()
    arrays = recordings(9_000, 3_333, 300, 0)
    with torch.no_grad():
        tokens = encoder(whisper_frames(arrays, num_mels=8))
        for row, (length, num_tokens) in enumerate(((9_000, 29), (3_333, 11), (300, 1))):
            alone = Arrays(arrays.values[row : row + 1, :length], arrays.mask[row : row + 1, :length])
            expected = encoder(whisper_frames(alone, num_mels=8))
            assert tokens.mask[row].sum() == expected.mask.sum() == num_tokens
            torch.testing.assert_close(tokens.values[row, :num_tokens], expected.values[0, :num_tokens])
    assert not tokens.mask[3].any()
    assert torch.isfinite(tokens.values).all()


def test_a_folder_of_hugging_face_gives_its_hidden_states(tmp_path):
    library = pytest.importorskip("transformers", reason="transformers is the reference")
    torch.manual_seed(0)
    config = library.WhisperConfig(
        **SMALL.to_dict(), decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=8, activation_function="gelu"
    )
    model = library.WhisperModel(config)
    reference = model.encoder.eval()
    model.save_pretrained(tmp_path)
    encoder = WhisperEncoder.from_folder(WeightsFolder(tmp_path))
    frames = whisper_frames(recordings(20_000), num_mels=8, whole_window=True)
    with torch.no_grad():
        expected = reference(frames.values.transpose(1, 2), output_hidden_states=True)
        torch.testing.assert_close(encoder(frames).values, expected.last_hidden_state, rtol=1e-4, atol=1e-5)
        states = encoder.hidden_states(frames, num_blocks=1)
        for state, other in zip(states, expected.hidden_states[:2], strict=True):
            torch.testing.assert_close(state, other, rtol=1e-4, atol=1e-5)


def test_whisper_base_equals_ctranslate2():
    need_whisper()
    import ctranslate2

    files = joined_files(CATALOGUE["whisper_base"].files())
    reference = ctranslate2.models.Whisper("whisper_base", files=files, compute_type="float32")
    frames = whisper_frames(recordings(40_000), whole_window=True)
    channels_first = np.ascontiguousarray(frames.values.transpose(1, 2).numpy())
    expected = np.array(reference.encode(ctranslate2.StorageView.from_array(channels_first), to_cpu=True))
    with torch.no_grad():
        actual = load_whisper("whisper_base")(frames).values.numpy()
    assert np.abs(expected).max() > 10
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-3)
    assert np.abs(actual - expected).mean() < 1e-5


def test_variables_of_another_network_are_refused():
    with pytest.raises(DataError, match=r"weights 'x': got KeyError.*expected the variables of a Whisper encoder"):
        whisper_from_ctranslate2({"encoder/embeddings/weight": torch.zeros(3, 3)}, who="weights 'x'", remedy="Copy it")
