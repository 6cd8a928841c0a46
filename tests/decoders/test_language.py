import pytest
import torch
from torch import nn

from contracts import check_config, check_gradients, check_save_load, scramble_hidden
from tonggan.decoders import LanguageHeadConfig, TextFormat
from tonggan.decoders.text_format import PAD
from tonggan.errors import ConfigError
from tonggan.tokens import Tokens

TEXT = TextFormat(vocab_size=20, ends=(2,), max_tokens=5, start=1)
TARGET = torch.tensor([[5, 6, 2, PAD, PAD], [7, 2, PAD, PAD, PAD], [9, 8, 7, 6, 2]])


def build(**settings):
    torch.manual_seed(0)
    config = LanguageHeadConfig(**{"num_layers": 2, "num_heads": 2, "dropout": 0.0} | settings)
    head = config.build(16, text=TEXT)
    for parameter in head.parameters():  # Larger than at the start of training, so that every input tells.
        parameter.data.mul_(4) if parameter.dim() > 1 else None
    return head.eval()


def prefix():
    """Three rows: one with a gap, one whole, one with nothing at all."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.tensor([[True, False, True, False], [True] * 4, [False] * 4])
    return Tokens(torch.randn(3, 4, 16, generator=generator), mask)


def test_config():
    check_config(LanguageHeadConfig(num_layers=1, label_smoothing=0.1, num_beams=3))


def test_losses_by_hand():
    head, fused = build(), prefix()
    losses = head.losses(fused, TARGET)
    for row, length in enumerate([3, 2, 5]):
        ids = TARGET[row, :length]
        start, written = head.model.embed(torch.tensor([1])), head.model.embed(ids[:-1])
        values = torch.cat([fused.values[row][fused.mask[row]], start, written]).unsqueeze(0)
        logits = head.model.logits(head.model(values))[0, -length:]
        expected = nn.functional.cross_entropy(logits, ids, reduction="sum")
        torch.testing.assert_close(losses[row], torch.stack([expected, torch.tensor(float(length))]))


def test_padding_and_what_is_hidden_change_nothing():
    head, fused = build(), prefix()
    expected = head.losses(fused, TARGET)
    longer = Tokens(nn.functional.pad(fused.values, (0, 0, 3, 2)), nn.functional.pad(fused.mask, (3, 2)))
    torch.testing.assert_close(head.losses(scramble_hidden(longer), TARGET), expected)
    torch.testing.assert_close(head.losses(fused, nn.functional.pad(TARGET, (0, 3), value=PAD)), expected)
    torch.testing.assert_close(head(longer)[:, 2:], head(fused)[:, 2:])
    for row in range(3):
        single = fused.take(torch.tensor([row]))
        torch.testing.assert_close(head.losses(single, TARGET[row : row + 1]), expected[row : row + 1])
        assert torch.equal(head(single)[0, 2:], head(fused)[row, 2:])


@pytest.mark.parametrize("num_beams", [1, 2])
def test_texts_do_not_depend_on_how_many_prefixes_are_read_together(num_beams, monkeypatch):
    head, fused = build(num_beams=num_beams), prefix()
    fused = fused.take(torch.tensor([1, 0, 2, 1, 0]))
    expected = head(fused)
    monkeypatch.setattr("tonggan.decoders.language._TOKENS_AT_ONCE", {"cpu": 10})
    assert torch.equal(head(fused)[:, 2:], expected[:, 2:])
    assert torch.equal(expected[0, 2:], expected[3, 2:])
    assert not torch.equal(expected[0, 2:], expected[1, 2:])


def test_it_writes_what_its_losses_find_likeliest():
    head, fused = build(), prefix()
    outputs = head(fused)
    assert outputs.shape == (3, 7)
    assert outputs[:, 0].isnan().all()
    assert not outputs[:, 1].any()
    for row in range(3):
        text = outputs[row, 2:].long()
        same = fused.take(torch.full((20,), row))
        assert int(head.losses(same, torch.arange(20).unsqueeze(1))[:, 0].argmin()) == int(text[0])


def test_wide_beams_find_the_likeliest_text_of_all():
    head = build(num_beams=20, length_penalty=0.0)
    head.text = TextFormat(vocab_size=20, ends=(2,), max_tokens=2, start=1)
    fused = prefix().take(torch.tensor([1]))
    pairs = [[2, PAD], *([one, two] for one in range(20) if one != 2 for two in range(20))]
    losses = head.losses(fused.take(torch.zeros(len(pairs), dtype=torch.int64)), torch.tensor(pairs))[:, 0]
    assert head(fused)[0, 2:].long().tolist() == pairs[int(losses.argmin())]


def test_gradients_and_save_and_load():
    fused, head = prefix(), build()
    check_gradients(head, lambda: head.losses(fused, TARGET)[:, 0])
    check_save_load(build(), build(), lambda module: module.losses(fused, TARGET))


def test_label_smoothing_is_for_training_alone():
    plain, smooth = build(), build(label_smoothing=0.3)
    torch.testing.assert_close(plain.losses(prefix(), TARGET), smooth.losses(prefix(), TARGET))
    assert not torch.allclose(plain.train().losses(prefix(), TARGET), smooth.train().losses(prefix(), TARGET))


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="3 heads at width 16"):
        LanguageHeadConfig(num_heads=3).build(16, text=TEXT)


def test_ctc_on_the_prefix_is_for_training_alone():
    plain, joint = build(), build(ctc_weight=0.5)
    fused, short = prefix(), torch.tensor([[5, 2, PAD], [7, 2, PAD], [9, 2, PAD]])
    torch.testing.assert_close(plain.losses(fused, short), joint.losses(fused, short))
    expected = joint.losses(fused, short)[:, 0] + 0.5 * joint.alignment.losses(fused, short)[:, 0]
    torch.testing.assert_close(joint.train().losses(fused, short)[:, 0], expected)
    check_gradients(joint, lambda: joint.losses(fused, short)[:, 0])
