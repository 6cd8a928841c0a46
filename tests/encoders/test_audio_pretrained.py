"""Pretrained audio encoders: the contract for each way to tune, folders of Hugging Face, what is refused."""

import pytest
import torch

from contracts import check_encoder
from tonggan.encoders.audio_pretrained import AudioPretrained, AudioPretrainedConfig, WaveTrunk, WhisperTrunk
from tonggan.encoders.whisper import WhisperConfig
from tonggan.errors import ConfigError, DataError
from tonggan.modalities.audio import Audio, AudioConfig
from tonggan.models.state import learned_state
from tonggan.tokens import Arrays
from tonggan.weights.folder import WeightsFolder
from whisper_scene import need_whisper

SMALL = WhisperConfig(num_mel_bins=8, d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24)


def recordings(*lengths):
    values = torch.randn(len(lengths), max(lengths), generator=torch.Generator().manual_seed(0)) / 10
    return Arrays(values, torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1))


def config(**settings):
    return AudioPretrainedConfig(weights="whisper_base", **settings)


def tiny(settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trunk = WhisperTrunk(SMALL.build(), depth=settings.depth)
    return AudioPretrained(settings, trunk, dim=6)


@pytest.mark.parametrize("settings", [{"tune": "full"}, {"tune": "full", "depth": 1, "pool": 1}])
def test_contract(settings):
    check_encoder(config(**settings), tiny, recordings(4_000, 2_000, 0), dim=6)


@pytest.mark.parametrize(
    ("settings", "learning"),
    [
        ({}, set()),
        ({"tune": "last", "layers": 1}, {"transformer.blocks.1", "transformer.norm"}),
        ({"tune": "low_rank", "rank": 2}, {"transformer.blocks.0", "transformer.blocks.1"}),
    ],
)
def test_what_learns_is_what_is_stored(settings, learning):
    encoder = tiny(config(**settings)).train()
    names = [name.removeprefix("trunk.network.") for name in learned_state(encoder) if name.startswith("trunk.")]
    assert {".".join(name.split(".")[: 3 if "blocks" in name else 2]) for name in names} == learning
    encoder(recordings(4_000, 2_000)).values.square().sum().backward()
    assert all(each.grad is not None for each in encoder.parameters() if each.requires_grad)


def test_tokens_are_means_of_the_frames_of_each_recording():
    plain, pooled = tiny(config(pool=1)).eval(), tiny(config(pool=4)).eval()
    arrays = recordings(3_200, 1_600, 0)
    with torch.no_grad():
        frames = plain.trunk(arrays)
        pooled.load_state_dict(plain.state_dict())
        tokens = pooled(arrays)
        assert tokens.mask.sum(dim=1).tolist() == [3, 2, 0]  # of 10, 5 and no frames
        last = frames.values[0, 8:10].mean(dim=0)
        torch.testing.assert_close(tokens.values[0, 2], plain.projection(plain.norm(last)))


@pytest.fixture
def folder_of(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs transformers")

    def save(kind):
        torch.manual_seed(0)
        shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
        shape |= {"conv_dim": (8, 8, 8), "conv_stride": (5, 8, 8), "conv_kernel": (10, 8, 8)}
        shape |= {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 3}
        if kind == "whisper":
            whisper = transformers.WhisperConfig(
                **SMALL.to_dict(), decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=8
            )
            transformers.WhisperModel(whisper).save_pretrained(tmp_path / kind)
        else:
            make = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}[kind]
            library_config = getattr(transformers, f"{make}Config")(**shape)
            getattr(transformers, f"{make}Model")(library_config).save_pretrained(tmp_path / kind)
        return tmp_path / kind

    return save


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2", "hubert", "wavlm"])
def test_a_folder_of_hugging_face_is_an_encoder(folder_of, kind):
    folder = folder_of(kind)
    settings = AudioPretrainedConfig(weights=str(folder), tune="last", layers=1)
    encoder = settings.build(Audio(AudioConfig()), dim=6).eval()
    arrays = recordings(9_000, 4_000, 0, 100)
    with torch.no_grad():
        tokens = encoder(arrays)
        assert tokens.present.tolist() == [True, True, False, True]
        for row, length in ((0, 9_000), (1, 4_000), (3, 100)):
            alone = encoder(Arrays(arrays.values[row : row + 1, :length], arrays.mask[row : row + 1, :length]))
            count = int(tokens.mask[row].sum())
            torch.testing.assert_close(tokens.values[row, :count], alone.values[0], rtol=1e-4, atol=1e-5)
    encoder.train()(arrays).values.square().sum().backward()
    assert all(each.grad is not None for each in encoder.projection.parameters())
    assert len(encoder.trunk.blocks) == (2 if kind == "whisper" else 3)
    assert len(settings.base["sha256"]) == 64


def test_samples_give_the_hidden_states_of_transformers(folder_of):
    folder = folder_of("wav2vec2")
    import transformers

    reference = transformers.AutoModel.from_pretrained(folder).eval()
    samples = recordings(8_000).values
    inputs = transformers.Wav2Vec2FeatureExtractor()(samples[0].numpy(), sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        expected = reference(**inputs).last_hidden_state
        actual = WaveTrunk(WeightsFolder(folder), depth=None).eval()(recordings(8_000)).values
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_what_does_not_go_together_is_refused(folder_of, tmp_path):
    assert config().prepare(AudioConfig()).sample_rate == 16_000
    assert config().prepare(AudioConfig(sample_rate=8_000)).sample_rate == 8_000
    with pytest.raises(ConfigError, match="got recordings at 8000 Hz, expected 16000"):
        config().build(Audio(AudioConfig(sample_rate=8_000)), dim=6)
    with pytest.raises(ConfigError, match="got 'minilm', which reads text"):
        AudioPretrainedConfig(weights="minilm").build(Audio(AudioConfig()), dim=6)
    with pytest.raises(ConfigError, match="'whisper_base', or a folder"):
        AudioPretrainedConfig(weights=str(tmp_path / "nowhere")).build(Audio(AudioConfig()), dim=6)
    folder = folder_of("whisper")
    with pytest.raises(ConfigError, match=r"recordings of up to 60 s, expected at most 30"):
        AudioPretrainedConfig(weights=str(folder)).build(Audio(AudioConfig(max_seconds=60)), dim=6)
    import transformers

    transformers.BertModel(
        transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    ).save_pretrained(tmp_path / "bert")
    with pytest.raises(DataError, match="expected a model that reads samples"):
        AudioPretrainedConfig(weights=str(tmp_path / "bert")).build(Audio(AudioConfig()), dim=6)


def test_whisper_base_is_an_encoder():
    need_whisper()
    encoder = config(depth=3).build(Audio(AudioConfig()), dim=6).eval()
    with torch.no_grad():
        tokens = encoder(recordings(16_000))
    assert tokens.mask.sum() == 13  # 50 frames
    assert torch.isfinite(tokens.values).all()
    assert len(encoder.trunk.blocks) == 3
