"""Small networks of one input with a linear head, and rows for them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tonggan.decoders import TARGET, LinearHeadConfig, Vector
from tonggan.encoders.audio_cnn import AudioCNNConfig
from tonggan.encoders.audio_transformer import AudioTransformerConfig
from tonggan.encoders.image_cnn import ImageCNNConfig
from tonggan.encoders.image_resnet import ImageResNetConfig
from tonggan.encoders.text_transformer import TextTransformer, TextTransformerConfig
from tonggan.fusion import default_fusion
from tonggan.modalities.audio import Audio, AudioConfig
from tonggan.modalities.image import Image, ImageConfig
from tonggan.models import FusedModel
from tonggan.tokens import Arrays, Batch

DIM, ROWS = 16, 8
NAMES = ["cnn", "resnet", "strided", "audio", "sound", "text"]


def network(name: str) -> tuple[FusedModel, Batch]:
    """One of ``NAMES``, in evaluation mode, and a batch of which all rows have the input."""
    torch.manual_seed(0)
    if name in ("cnn", "resnet", "strided"):
        config = {
            "cnn": ImageCNNConfig(channels=(16, 32), whiten=True, pool_first=True, activation="gelu", pool="max"),
            "resnet": ImageResNetConfig(stem_channels=16, channels=(16, 32), blocks=(1, 1), strides=(2, 2)),
            "strided": ImageResNetConfig(
                stem_channels=16, channels=(16, 32), blocks=(1, 1), strides=(1, 2), downsample="stride"
            ),
        }[name]
        encoder = config.build(Image(ImageConfig(size=16)), dim=DIM)
        arrays = Arrays.whole(torch.randint(0, 256, (ROWS, 3, 16, 16), dtype=torch.uint8))
    elif name in ("audio", "sound"):
        config = AudioCNNConfig(channels=(16, 32), convolutions=1, blocks=1, num_heads=2)
        if name == "sound":
            config = AudioTransformerConfig(num_layers=1, num_heads=2)
        encoder = config.build(Audio(AudioConfig(sample_rate=8000, max_seconds=0.5)), dim=DIM)
        arrays = Arrays(torch.randn(ROWS, 4000), torch.ones(ROWS, 4000, dtype=torch.bool))
    else:
        text = TextTransformerConfig(positions="rotary", num_layers=1, num_heads=4)
        encoder = TextTransformer(text, num_tokens=50, max_tokens=12, dim=DIM)
        arrays = Arrays(torch.randint(0, 50, (ROWS, 12)), torch.ones(ROWS, 12, dtype=torch.bool))
    answer = Vector(3, lambda outputs, target: F.cross_entropy(outputs, target, reduction="none"))
    model = FusedModel(
        {"x": encoder},
        fusion=default_fusion().build(("x",), dim=DIM),
        head=LinearHeadConfig().build(DIM, answer=answer),
    )
    targets = {TARGET: Arrays.whole(torch.randint(0, 3, (ROWS,)))}
    return model.eval(), Batch(torch.arange(ROWS), {"x": arrays}, targets)


def losses_of(model: FusedModel, batch: Batch) -> dict[str, torch.Tensor]:
    """Of the model's head."""
    return model.head.losses(model.context(model.encode(batch.inputs), batch.inputs), batch.targets)
