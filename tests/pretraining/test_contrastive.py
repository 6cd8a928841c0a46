import pytest
import torch
from torch.nn import functional as F

from contracts import check_pretraining, draw
from tonggan.encoders import AudioTransformerConfig, ImageResNetConfig, TextTransformerConfig, VideoTubeletsConfig
from tonggan.modalities import AudioConfig, ImageConfig, TextConfig, VideoConfig
from tonggan.pretraining.contrastive import ContrastiveConfig, make_view, nt_xent
from tonggan.tokens import Arrays

PICTURES = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
PRESENT = torch.tensor([True, True, True, False])
TEXTS = ["the cat sat on the mat", "猫坐在垫子上", "a dog ran off", None]
SMALL = {"stem_channels": 4, "channels": (8, 8), "blocks": (0, 0), "strides": (2, 2)}


def pictures(config):
    image = ImageConfig(size=16).build()
    return config.build(ImageResNetConfig(**SMALL).build(image, dim=16), image, dim=16)


def test_contract_of_pictures():
    check_pretraining(ContrastiveConfig(), pictures, Arrays(PICTURES, PRESENT))


def test_contract_of_texts():
    text = TextConfig(vocab_size=300, max_tokens=48).build()
    text.fit(TEXTS)
    encoder = TextTransformerConfig(num_layers=1, num_heads=2)
    check_pretraining(
        ContrastiveConfig(), lambda config: config.build(encoder.build(text, dim=16), text, dim=16), text.collate(TEXTS)
    )


def test_contract_of_recordings():
    audio = AudioConfig(sample_rate=2_000).build()
    encoder = AudioTransformerConfig(
        num_layers=1, num_heads=2, front_end={"kind": "logmel", "num_fft": 128, "hop": 64, "num_mels": 20}
    )
    samples = torch.randn(4, 2_100, generator=torch.Generator().manual_seed(0)) * 0.1
    arrays = Arrays(samples, torch.arange(2_100) < torch.tensor([2_100, 900, 1_300, 0]).unsqueeze(1))
    check_pretraining(
        ContrastiveConfig(), lambda config: config.build(encoder.build(audio, dim=16), audio, dim=16), arrays
    )


def test_contract_of_clips():
    video = VideoConfig(size=16, frames=3, draws=2).build()
    encoder = VideoTubeletsConfig(num_layers=1, num_heads=2, patch=8, stem=(4,))
    clips = torch.randint(0, 256, (4, 6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = PRESENT[:, None] & torch.tensor([False, True] * 3)
    check_pretraining(
        ContrastiveConfig(),
        lambda config: config.build(encoder.build(video, dim=16), video, dim=16),
        Arrays(clips, seen),
    )


def test_a_view_of_a_clip_has_the_frames_that_are_seen_all_cropped_and_recolored_alike():
    clips = PICTURES[:3, None].repeat(1, 6, 1, 1, 1)
    clips[:, ::2] = 0  # frames that are not seen
    seen = torch.tensor([False, True] * 3).repeat(3, 1)
    seen[1, 5] = False
    column = VideoConfig(size=16, frames=3, draws=2)
    view = make_view(Arrays(clips, seen), column, ContrastiveConfig(color=1), draw(3))
    assert view.mask.tolist() == [[True] * 3, [True, True, False], [True] * 3]
    assert not torch.equal(view.values[0, 0], PICTURES[0])
    assert torch.equal(view.values[0, 0], view.values[0, 2])
    assert torch.equal(view.values[1, 0], view.values[1, 1])
    still = make_view(
        Arrays.whole(PICTURES[:3]), ImageConfig(size=16, augment=None), ContrastiveConfig(color=0), draw(3)
    )
    moving = make_view(Arrays(clips, seen), column, ContrastiveConfig(color=0), draw(3))
    assert torch.equal(moving.values[:, 0], still.values)


def test_loss_by_hand():
    vectors = F.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    guessed = nt_xent(vectors, torch.tensor([True, True, False] * 2), temperature=0.5)
    # Of items 0 and 1 alone: views 0, 1, 3, 4, where 0 and 3 belong together.
    logits = (vectors[[0, 1, 3, 4]] @ vectors[[0, 1, 3, 4]].T / 0.5).fill_diagonal_(-torch.inf)
    losses = F.cross_entropy(logits, torch.tensor([2, 3, 0, 1]), reduction="none")
    torch.testing.assert_close(guessed.loss, torch.tensor([losses[0] + losses[2], losses[1] + losses[3], 0.0]))
    assert guessed.count.tolist() == [2, 2, 0]


def test_a_view_is_mirrored_only_where_the_column_says_so():
    ramp = (torch.arange(16) * 15).to(torch.uint8).expand(64, 3, 16, 16).contiguous()
    config = ContrastiveConfig(color=0)
    for flip in (False, True):
        column = ImageConfig(size=16, augment={"flip": flip})
        view = make_view(Arrays.whole(ramp), column, config, draw(64)).values.float()
        mirrored = view[..., -1].mean(dim=(1, 2)) < view[..., 0].mean(dim=(1, 2))
        assert bool(mirrored.any()) is flip
        assert not bool(mirrored.all())


def test_without_crop_and_color_a_view_is_the_picture():
    config = ContrastiveConfig(color=0, least_crop=1.0)
    view = make_view(Arrays.whole(PICTURES), ImageConfig(size=16), config, draw(4))
    # Sides of another ratio cannot lie in the picture, so that only squares are whole.
    assert view.values.shape == PICTURES.shape
    assert view.values.dtype == torch.uint8


def test_hue_keeps_brightness_and_grey_has_none():
    from tonggan.pretraining.contrastive import _color_maps

    maps = _color_maps(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(maps[0], torch.eye(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(maps[1] @ torch.tensor([1.0, 0.0, 0.0]), torch.full((3,), 0.299), atol=1e-3, rtol=0)
    light = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(light @ maps[2], light, atol=1e-3, rtol=0)


@pytest.mark.parametrize("least", [0.3, 1.0])
def test_a_crop_of_a_recording_is_a_part_of_it(least):
    lengths = torch.tensor([40, 25, 0])
    samples = torch.arange(1.0, 41).repeat(3, 1)
    arrays = Arrays(samples, torch.arange(40) < lengths.unsqueeze(1))
    view = make_view(arrays, AudioConfig(), ContrastiveConfig(least_crop=least), draw(3))
    for row in range(2):
        own = view.values[row][view.mask[row]]
        assert len(own) >= least * int(lengths[row])
        assert own.diff().eq(1).all()
        assert own[-1] <= lengths[row]
    assert not view.mask[2].any()


def test_a_view_of_a_text_lacks_tokens_and_keeps_their_order():
    ids = torch.arange(1, 31).repeat(50, 1)
    arrays = Arrays(ids, torch.ones_like(ids, dtype=torch.bool))
    view = make_view(arrays, TextConfig(), ContrastiveConfig(left_out=0.5), draw(50))
    assert 0.4 < float(view.mask.float().mean()) < 0.6
    for row in range(50):
        assert view.values[row][view.mask[row]].diff().gt(0).all()
        assert view.mask[row].long().diff().le(0).all()
