import pytest
import torch
from torch import nn

from contracts import check_config, check_gradients, check_head, check_save_load, scramble_hidden
from tonggan.decoders import TARGET, Context, LanguageHeadConfig, Writing, default_head
from tonggan.decoders.answers import PAD
from tonggan.errors import ConfigError
from tonggan.tokens import Arrays, Tokens

ANSWER = Writing(vocab_size=20, ends=(2,), max_tokens=5, start=1)
IDS = torch.tensor([[5, 6, 2, PAD, PAD], [7, 2, PAD, PAD, PAD], [9, 8, 7, 6, 2]])
TARGETS = {TARGET: Arrays(IDS, IDS != PAD)}


def config_of(**settings):
    return LanguageHeadConfig(**{"num_layers": 2, "num_heads": 2, "dropout": 0.0} | settings)


def build(**settings):
    torch.manual_seed(0)
    head = config_of(**settings).build(16, answer=ANSWER)
    for parameter in head.parameters():  # Larger than at the start of training, so that every input tells.
        parameter.data.mul_(4) if parameter.dim() > 1 else None
    return head.eval()


def prefix():
    """Three rows: one with a gap, one whole, one with nothing at all."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.tensor([[True, False, True, False], [True] * 4, [False] * 4])
    return Tokens(torch.randn(3, 4, 16, generator=generator), mask)


def context_of(fused):
    return Context(fused, {}, {})


def written(head, fused):
    """int64 [B, T]: the ids that are predicted."""
    return head(context_of(fused))["ids"]


def losses_of(head, fused, ids=IDS):
    """[B, 2]: each row's negative log-likelihood, and the number of its target's tokens."""
    return torch.stack(head.likelihood(fused, ids), dim=1)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 2}])
def test_contract(settings):
    config = config_of(**settings)
    check_head(config, lambda config: config.build(16, answer=ANSWER), context_of(prefix()), TARGETS)


def test_config():
    check_config(LanguageHeadConfig(num_layers=1, label_smoothing=0.1, num_beams=3))


def test_losses_by_hand():
    head, fused = build(), prefix()
    losses = losses_of(head, fused)
    for row, length in enumerate([3, 2, 5]):
        ids = IDS[row, :length]
        start, written = head.model.embed(torch.tensor([1])), head.model.embed(ids[:-1])
        values = torch.cat([fused.values[row][fused.mask[row]], start, written]).unsqueeze(0)
        logits = head.model.logits(head.model(values))[0, -length:]
        expected = nn.functional.cross_entropy(logits, ids, reduction="sum")
        torch.testing.assert_close(losses[row], torch.stack([expected, torch.tensor(float(length))]))


def test_padding_and_what_is_hidden_change_nothing():
    head, fused = build(), prefix()
    expected = losses_of(head, fused)
    longer = Tokens(nn.functional.pad(fused.values, (0, 0, 3, 2)), nn.functional.pad(fused.mask, (3, 2)))
    torch.testing.assert_close(losses_of(head, scramble_hidden(longer)), expected)
    torch.testing.assert_close(losses_of(head, fused, nn.functional.pad(IDS, (0, 3), value=PAD)), expected)
    assert torch.equal(written(head, longer), written(head, fused))
    for row in range(3):
        single = fused.take(torch.tensor([row]))
        torch.testing.assert_close(losses_of(head, single, IDS[row : row + 1]), expected[row : row + 1])
        assert torch.equal(written(head, single)[0], written(head, fused)[row])


@pytest.mark.parametrize("num_beams", [1, 2])
def test_texts_do_not_depend_on_how_many_prefixes_are_read_together(num_beams, monkeypatch):
    head, fused = build(num_beams=num_beams), prefix()
    fused = fused.take(torch.tensor([1, 0, 2, 1, 0]))
    expected = written(head, fused)
    monkeypatch.setattr("tonggan.decoders.language._TOKENS_AT_ONCE", {"cpu": 10})
    assert torch.equal(written(head, fused), expected)
    assert torch.equal(expected[0], expected[3])
    assert not torch.equal(expected[0], expected[1])


def test_it_writes_what_its_losses_find_likeliest():
    head, fused = build(), prefix()
    prediction = head(context_of(fused))
    assert prediction["ids"].shape == (3, 5)
    assert list(prediction.outputs) == ["ids"], "without a target nothing is known of its likelihood"
    for row in range(3):
        text = prediction["ids"][row]
        same = fused.take(torch.full((20,), row))
        assert int(losses_of(head, same, torch.arange(20).unsqueeze(1))[:, 0].argmin()) == int(text[0])


def test_wide_beams_find_the_likeliest_text_of_all():
    head = build(num_beams=20, length_penalty=0.0)
    head.answer = Writing(vocab_size=20, ends=(2,), max_tokens=2, start=1)
    fused = prefix().take(torch.tensor([1]))
    pairs = [[2, PAD], *([one, two] for one in range(20) if one != 2 for two in range(20))]
    losses = losses_of(head, fused.take(torch.zeros(len(pairs), dtype=torch.int64)), torch.tensor(pairs))[:, 0]
    assert written(head, fused)[0].tolist() == pairs[int(losses.argmin())]


def test_gradients_and_save_and_load():
    fused, head = prefix(), build()
    check_gradients(head, lambda: losses_of(head, fused)[:, 0])
    check_save_load(build(), build(), lambda module: losses_of(module, fused))


def test_label_smoothing_is_for_training_alone():
    plain, smooth = build(), build(label_smoothing=0.3)
    torch.testing.assert_close(losses_of(plain, prefix()), losses_of(smooth, prefix()))
    assert not torch.allclose(losses_of(plain.train(), prefix()), losses_of(smooth.train(), prefix()))


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="3 heads at width 16"):
        LanguageHeadConfig(num_heads=3).build(16, answer=ANSWER)


def test_losses_are_the_mean_of_the_target_tokens():
    head, fused = build(), prefix()
    total, num_tokens = losses_of(head, fused).sum(dim=0)
    losses = head.losses(context_of(fused), TARGETS)
    assert list(losses) == ["loss"]
    torch.testing.assert_close(losses["loss"], total / num_tokens)
    assert head.weight(TARGETS) == num_tokens == 10
    prediction = head(context_of(fused), TARGETS)
    assert torch.equal(torch.stack([prediction["nll"], prediction["num_tokens"]], dim=1), losses_of(head, fused))
    torch.testing.assert_close(prediction["loss"], prediction["nll"] / prediction["num_tokens"])


def test_it_is_the_head_of_texts_where_none_is_named():
    assert default_head(Writing) == LanguageHeadConfig()


def test_ctc_on_the_prefix_is_for_training_alone():
    plain, joint = build(), build(ctc_weight=0.5)
    fused, short = context_of(prefix()), torch.tensor([[5, 2, PAD], [7, 2, PAD], [9, 2, PAD]])
    targets = {TARGET: Arrays(short, short != PAD)}
    for name in ("loss", "nll", "num_tokens"):
        torch.testing.assert_close(plain(fused, targets)[name], joint(fused, targets)[name])
    losses = joint.train().losses(fused, targets)
    assert list(losses) == ["loss", "ctc"]
    expected = losses_of(joint, prefix(), short)[:, 0]
    expected = expected + 0.5 * losses_of(joint.alignment, prefix(), short)[:, 0]
    torch.testing.assert_close(losses["loss"] + losses["ctc"], expected.sum() / 6)
    check_gradients(joint, lambda: torch.stack(list(joint.losses(fused, targets).values())))
