import pytest
import torch
from transformers import Wav2Vec2ConformerConfig
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import Wav2Vec2ConformerEncoderLayer

from contracts import check_encoder
from tonggan.encoders.audio_conformer import AudioConformerConfig, ConformerBlock
from tonggan.encoders.audio_front_end import LogMelConfig, MFCCConfig
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
        {"positions": "sinusoidal", "width": 12, "channels": (4,), "num_layers": 2},
        {"front_end": MFCCConfig(num_fft=128, hop=64, num_mels=10, num_coefficients=7), "kernel_size": 3},
    ],
)
def test_contract(settings):
    given = {"num_layers": 1, "num_heads": 2, "front_end": FRONT_END, "kernel_size": 5, "channels": (4, 4)}
    check_encoder(AudioConformerConfig(**(given | settings)), build, recordings(), dim=8)


def as_reference(block: ConformerBlock) -> Wav2Vec2ConformerEncoderLayer:
    config = Wav2Vec2ConformerConfig(
        hidden_size=8, num_attention_heads=2, intermediate_size=32, hidden_act="swish", attention_dropout=0.0,
        hidden_dropout=0.0, activation_dropout=0.0, conformer_conv_dropout=0.0, conv_depthwise_kernel_size=5,
        position_embeddings_type=None,
    )  # fmt: skip
    config._attn_implementation = "eager"
    theirs = Wav2Vec2ConformerEncoderLayer(config)
    first = (block.first, theirs.ffn1_layer_norm, theirs.ffn1)
    for ours, norm, ffn in (first, (block.second, theirs.ffn2_layer_norm, theirs.ffn2)):
        norm.load_state_dict(ours[0].state_dict())
        ffn.intermediate_dense.load_state_dict(ours[1].state_dict())
        ffn.output_dense.load_state_dict(ours[4].state_dict())
    theirs.self_attn_layer_norm.load_state_dict(block.attention_norm.state_dict())
    attention, own = theirs.self_attn, block.attention
    parts = zip(own.in_projection.weight.chunk(3), own.in_projection.bias.chunk(3), strict=True)
    for layer, (weight, bias) in zip((attention.linear_q, attention.linear_k, attention.linear_v), parts, strict=True):
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(bias)
    attention.linear_out.load_state_dict(own.out_projection.state_dict())
    module = theirs.conv_module
    module.layer_norm.load_state_dict(block.convolution.norm.state_dict())
    module.pointwise_conv1.weight.data.copy_(block.convolution.gate.weight.unsqueeze(-1))
    module.depthwise_conv.weight.data.copy_(block.convolution.depthwise.weight)
    module.batch_norm.load_state_dict(block.convolution.batch_norm.state_dict())
    module.pointwise_conv2.weight.data.copy_(block.convolution.output.weight.unsqueeze(-1))
    theirs.final_layer_norm.load_state_dict(block.norm.state_dict())
    return theirs


@pytest.mark.parametrize("training", [True, False])
def test_a_block_equals_transformers(training):
    torch.manual_seed(0)
    config = AudioConformerConfig(num_heads=2, kernel_size=5, dropout=0.0, positions="sinusoidal")
    block = ConformerBlock(8, config=config).train(training)
    values = torch.randn(3, 7, 8)
    expected = as_reference(block).train(training)(values)
    torch.testing.assert_close(block(values, torch.ones(3, 7).bool()), expected, rtol=1e-4, atol=1e-5)


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel_size is even"):
        AudioConformerConfig(kernel_size=4)
