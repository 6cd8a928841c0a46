import pytest
import torch
from torch import nn

from tonggan.compression.onnx_graph import compute, graph_of, open_graph
from tonggan.encoders.image_cnn import ImageCNNConfig
from tonggan.encoders.video_cnn_rnn import VideoCNNRNNConfig
from tonggan.layers.recurrent import Recurrent, RecurrentConfig
from tonggan.modalities.video import Video, VideoConfig
from tonggan.tokens import Arrays

pytest.importorskip("onnxruntime")
GAPS = torch.tensor([[1, 1, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]]).bool()


class Flat(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, *tensors):
        return (self.part(*tensors),)


def opened(part, arguments):
    content = graph_of(Flat(part), arguments, name="part", inputs=["values", "mask"], outputs=["tokens"])
    return open_graph(content, threads=1)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_layers_answer_rows_of_other_lengths_in_a_graph(cell):
    torch.manual_seed(0)
    layer = Recurrent(4, width=5, config=RecurrentConfig(cell=cell, num_layers=2)).eval()
    session = opened(layer, [torch.randn(2, 4, 4), torch.ones(2, 4, dtype=torch.bool)])
    values = torch.randn(3, 6, 4)
    with torch.no_grad():
        expected = layer(values, GAPS)
    (found,) = compute(session, {"values": values, "mask": GAPS})
    torch.testing.assert_close(found[GAPS], expected[GAPS], rtol=1e-5, atol=1e-5)


def test_clips_are_read_frame_by_frame_in_a_graph():
    torch.manual_seed(0)
    video = Video(VideoConfig(size=16, frames=3, draws=2))
    encoder = VideoCNNRNNConfig(frame=ImageCNNConfig(channels=(8, 8))).build(video, dim=8).eval()
    clips = video.collate([torch.randint(0, 256, (6, 3, 16, 16)).numpy() for _ in range(3)])
    seen = encoder.front_end(clips)

    def tokens(values, mask):
        return encoder(Arrays(values, mask)).values

    module = nn.Module()
    module.encoder, module.forward = encoder, tokens
    session = opened(module, [seen.values[:2], seen.mask[:2]])
    (found,) = compute(session, {"values": seen.values, "mask": seen.mask})
    with torch.no_grad():
        torch.testing.assert_close(found, encoder(clips).values, rtol=1e-5, atol=1e-5)
