import pytest
import torch
from torch import nn

from contracts import check_encoder
from tonggan.encoders.image_resnet import ImageResNetConfig
from tonggan.encoders.video_cnn_rnn import VideoCNNRNNConfig
from tonggan.modalities.video import Video, VideoConfig
from tonggan.tokens import Arrays

VIDEO = Video(VideoConfig(size=16, frames=3, draws=2))
VALUES = torch.randint(0, 256, (4, 6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[0, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0], [0] * 6], dtype=torch.bool)
SMALL = {"frame": {"kind": "image_cnn", "channels": [4, 8], "norm": "group"}}


def build(config):
    return config.build(VIDEO, dim=8)


@pytest.mark.parametrize("settings", [{}, {"cell": "lstm", "num_layers": 2, "bidirectional": False}])
def test_contract(settings):
    check_encoder(VideoCNNRNNConfig(**SMALL, **settings), build, Arrays(VALUES, MASK), dim=8)


def test_any_encoder_of_pictures():
    encoder = build(VideoCNNRNNConfig(frame=ImageResNetConfig())).eval()
    assert encoder(Arrays(VALUES, MASK)).values.shape == (4, 3, 8)
    with pytest.raises(ValueError, match="audio_cnn reads audio"):
        VideoCNNRNNConfig.model_validate({"frame": {"kind": "audio_cnn"}})


def test_a_gru_by_hand():
    torch.manual_seed(0)
    encoder = build(VideoCNNRNNConfig(**SMALL, bidirectional=False)).eval()
    tokens = encoder(Arrays(VALUES[:1], MASK[:1]))
    vectors = encoder.frame(VALUES[:1, [1, 3, 5]], torch.ones(1, 3, dtype=torch.bool))
    cell = nn.GRUCell(8, 8)
    cell.load_state_dict({name.removesuffix("_l0"): weight for name, weight in encoder.network.state_dict().items()})
    state = torch.zeros(1, 8)
    for time in range(3):
        state = cell(vectors[:, time], state)
        torch.testing.assert_close(tokens.values[:, time], encoder.projection(encoder.norm(state)))


def test_where_things_stand_in_a_frame_counts():
    encoder = build(VideoCNNRNNConfig(**SMALL)).eval()
    turned = encoder.frame(VALUES[:1].flip(-1), torch.ones(1, 6, dtype=torch.bool))
    plain = encoder.frame(VALUES[:1], torch.ones(1, 6, dtype=torch.bool))
    assert (turned - plain).abs().max() > 1e-4
