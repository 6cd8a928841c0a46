import pytest
import torch

from contracts import check_encoder
from tonggan.encoders.video_tubelets import VideoTubeletsConfig
from tonggan.errors import ConfigError
from tonggan.modalities.video import Video, VideoConfig
from tonggan.tokens import Arrays

VIDEO = Video(VideoConfig(size=20, frames=3, draws=2))
VALUES = torch.randint(0, 256, (4, 6, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[0, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0], [0] * 6], dtype=torch.bool)


def build(config):
    return config.build(VIDEO, dim=8)


def test_contract():
    check_encoder(VideoTubeletsConfig(patch=8, num_heads=2), build, Arrays(VALUES, MASK), dim=8)


def test_tubelets_are_those_of_a_convolution_in_space_and_time():
    encoder = build(VideoTubeletsConfig(patch=8, stem=(), num_layers=0)).eval()
    encoder.transformer.norm = torch.nn.Identity()
    frames = VALUES[:1, [1, 3, 5, 5]]  # the last tubelet lacks a frame
    weight = encoder.projection.weight.view(8, 2, 3, 8, 8).transpose(1, 2)
    expected = torch.nn.functional.conv3d(
        (frames.float() - 128).transpose(1, 2) / 64, weight, encoder.projection.bias, stride=(2, 8, 8)
    )
    expected = expected.flatten(3).permute(0, 2, 3, 1) + encoder.places + encoder.times[:, None]
    torch.testing.assert_close(encoder(Arrays(VALUES[:1], MASK[:1])).values, expected.flatten(1, 2))


def test_convolutions_see_a_frame_and_how_it_differs_from_the_one_before():
    encoder = build(VideoTubeletsConfig(patch=8, stem=(4,), num_layers=0))
    frames = VALUES[:1, [1, 3, 5]].float()
    seen = torch.cat([frames - 128, frames - frames[:, [0, 0, 1]]], dim=2) / 64
    convolution, _, norm = encoder.stem[0][0]
    expected = torch.nn.functional.max_pool2d(torch.nn.functional.conv2d(seen[0], convolution.weight, padding=1), 2)
    expected = torch.nn.functional.group_norm(expected, 1, norm.weight, norm.bias).relu()
    torch.testing.assert_close(encoder._maps(VALUES[:1, [1, 3, 5]])[0], expected)


def test_a_patch_has_whole_cells():
    with pytest.raises(ConfigError, match="2 convolutions need a patch that is a multiple of 4"):
        VideoTubeletsConfig.parse({"patch": 6}, who="encoder")


def test_it_learns_at_once_which_way_a_bar_moves():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    config = VideoTubeletsConfig(patch=8, num_layers=1, dropout=0)
    network = torch.nn.ModuleList([config.build(Video(VideoConfig(size=16, frames=4)), dim=16), torch.nn.Linear(16, 1)])
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.004)
    for _ in range(20):
        ways = torch.randint(2, (32,), generator=generator)
        middles = torch.randint(4, 12, (32, 1), generator=generator)
        bars = middles + torch.tensor([-3, -1, 1, 3]) * (2 * ways[:, None] - 1)
        clips = 255 * torch.nn.functional.one_hot(bars, 16).to(torch.uint8)[:, :, None, None].expand(-1, -1, 3, 16, -1)
        encoder, head = network
        outputs = head(encoder(Arrays(clips, torch.ones(32, 4, dtype=torch.bool))).mean())[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(outputs, ways.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((outputs > 0) == (ways > 0)).all()  # 0.5 to 0.6 where the pixels themselves are cut
