"""The CTC head: its loss worked by hand, its two decodings against brute force, and its contract."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from contracts import check_head, scramble_hidden
from tonggan.decoders import TARGET, Context, CTCHeadConfig, Writing
from tonggan.decoders.ctc import prefix_beam_search
from tonggan.tokens import Arrays, Tokens

DIM = 8
END = 4
ANSWER = Writing(vocab_size=5, ends=(END,), max_tokens=6)
BLANK = 5


def make_head(*, seed=0, answer=ANSWER, **options):
    torch.manual_seed(seed)
    head = CTCHeadConfig(**options).build(DIM, answer=answer).eval()
    with torch.no_grad():
        head.linear.weight.mul_(4)  # a head that has learned nothing says all ids alike
    return head


def make_tokens():
    """Five rows: whole, with gaps, short, of one token, of none."""
    mask = torch.tensor(
        [
            [1, 1, 1, 1, 1, 1, 1],
            [1, 0, 1, 1, 0, 0, 1],
            [1, 1, 1, 0, 0, 0, 0],
            [0, 0, 1, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ]
    ).bool()
    return Tokens(torch.randn(5, 7, DIM, generator=torch.Generator().manual_seed(1)), mask)


IDS = torch.tensor(
    [[0, 1, 1, 2, END], [3, 2, END, -1, -1], [1, END, -1, -1, -1], [2, END, -1, -1, -1], [END] + [-1] * 4]
)


def frames_of(head, tokens, row):
    """[n, V + 1] float64: probabilities of the real tokens of a row, worked apart from the head's own batching."""
    with torch.no_grad():
        values = tokens.values[row][tokens.mask[row]]
        return head.linear(head.norm(values)).double().softmax(dim=-1).numpy()


def collapse(path, blank=BLANK):
    return tuple(token for token, _ in itertools.groupby(path) if token != blank)


def probabilities_by_text(frames):
    """The sum over all spellings of each text, by writing every one of them out."""
    result = {}
    for path in itertools.product(range(frames.shape[1]), repeat=len(frames)):
        text = collapse(path, blank=frames.shape[1] - 1)
        result[text] = result.get(text, 0.0) + math.prod(frames[index, token] for index, token in enumerate(path))
    return result


def forward_algorithm(frames, ids, blank=BLANK):
    """The probability of ``ids`` by the forward variables of Graves et al. 2006, section 4.1."""
    labels = [blank]
    for token in ids:
        labels += [token, blank]
    alpha = np.zeros(len(labels))
    alpha[:2] = frames[0][labels[:2]]
    for frame in frames[1:]:
        before, alpha = alpha, np.zeros(len(labels))
        for place, label in enumerate(labels):
            total = before[place] + (before[place - 1] if place > 0 else 0)
            if place > 1 and label not in (blank, labels[place - 2]):
                total += before[place - 2]
            alpha[place] = total * frame[label]
    return alpha[-2:].sum()


TARGETS = {TARGET: Arrays(IDS, IDS >= 0)}


def context_of(tokens):
    return Context(tokens, {}, {})


def ids_of(head, tokens):
    return [tuple(token for token in row if token >= 0) for row in head(context_of(tokens))["ids"].tolist()]


def losses_of(head, tokens, ids=IDS):
    """[B, 2]: each row's negative log-likelihood, and the number of its target's tokens."""
    return torch.stack(head.likelihood(tokens, ids), dim=1)


def test_loss_is_that_of_the_forward_algorithm():
    head, tokens = make_head(), make_tokens()
    losses = losses_of(head, tokens)
    for row, ids in enumerate([(0, 1, 1, 2), (3, 2), (1,), (2,)]):
        expected = -math.log(forward_algorithm(frames_of(head, tokens, row), ids))
        assert losses[row, 0].item() == pytest.approx(expected, rel=1e-5)
    assert losses[:4, 1].tolist() == [5, 3, 2, 2], "the end counts, as it does for every head that writes text"
    assert losses[4].tolist() == [0, 1], "no token says the empty text for certain"


def test_the_forward_algorithm_sums_all_spellings():
    head, tokens = make_head(), make_tokens()
    frames = frames_of(head, tokens, 1)
    spelled = probabilities_by_text(frames)
    assert sum(spelled.values()) == pytest.approx(1)
    for text in [(3, 2), (1, 1), (0, 1, 2, 3)]:
        assert forward_algorithm(frames, text) == pytest.approx(spelled[text])


def test_a_row_too_short_for_its_text_teaches_nothing():
    head, tokens = make_head(), make_tokens()
    target = torch.full((5, 5), -1)
    target[:, 0] = END
    target[2, :4] = torch.tensor([1, 2, 2, END])  # three ids and a blank between, of three tokens
    target[3, :3] = torch.tensor([1, 2, END])
    target[4, :2] = torch.tensor([1, END])
    losses = losses_of(head, tokens, target)
    assert losses[2:].tolist() == [[0, 0]] * 3
    losses[2:, 0].sum().backward()
    assert all(not parameter.grad.any() for parameter in head.parameters())
    target[2, :4] = torch.tensor([1, 2, END, -1])
    assert losses_of(head, tokens, target)[2, 1] == 3


def test_greedy_takes_the_best_id_of_each_token():
    head, tokens = make_head(), make_tokens()
    prediction = head(context_of(tokens))
    assert prediction["ids"].shape == (5, ANSWER.max_tokens)
    assert list(prediction.outputs) == ["ids"], "without a target nothing is known of its likelihood"
    expected = [collapse(frames_of(head, tokens, row).argmax(axis=1).tolist()) for row in range(5)]
    assert ids_of(head, tokens) == [text[: ANSWER.max_tokens] for text in expected]
    assert expected[4] == ()
    assert max(map(len, expected)) > 1


def test_equal_neighbors_are_one_unless_a_blank_is_between():
    head = make_head()
    with torch.no_grad():  # each token says the id that its largest number names
        head.norm.bias.zero_()
        head.linear.weight.copy_(torch.eye(6, DIM))
        head.linear.bias.zero_()
    path = torch.tensor([[1, 1, BLANK, 1, 2, 2, BLANK, BLANK, 0]])
    tokens = Tokens(nn.functional.one_hot(path, DIM).float(), torch.ones_like(path, dtype=torch.bool))
    assert ids_of(head, tokens) == [(1, 1, 2, 0)]
    # A gap is no blank: what is hidden is not there.
    assert ids_of(head, Tokens(tokens.values, path != BLANK)) == [(1, 2, 0)]


def test_a_text_is_cut_at_the_most_tokens_allowed():
    answer = Writing(vocab_size=5, ends=(END,), max_tokens=2)
    for beam in (1, 4):
        assert make_head(answer=answer, beam=beam)(context_of(make_tokens()))["ids"].shape == (5, 2)


def test_a_batch_without_any_token_has_empty_texts():
    tokens = make_tokens().keep(torch.zeros(5, dtype=torch.bool))
    for beam in (1, 3):
        assert ids_of(make_head(beam=beam), tokens) == [()] * 5
    assert losses_of(make_head(), tokens)[:, 0].tolist() == [0] * 5


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_beam_finds_the_most_probable_text(seed):
    frames = np.random.default_rng(seed).dirichlet(np.full(4, 0.5), size=5)
    spelled = probabilities_by_text(frames)
    assert tuple(prefix_beam_search(frames, blank=3, beam=1000)) == max(spelled, key=spelled.get)


def test_a_beam_finds_what_the_best_single_spelling_misses():
    frames = np.array([[0.4, 0.6], [0.4, 0.6]])  # Graves 2012, figure 7.4
    assert collapse(frames.argmax(axis=1), blank=1) == ()
    assert prefix_beam_search(frames, blank=1, beam=2) == [0], "0.64 against 0.36"


@pytest.mark.parametrize("blank", [0, 2, 7])
@pytest.mark.parametrize("beam", [1, 2, 4])
def test_ids_that_cannot_matter_change_nothing(beam, blank):
    """The same prefixes as a search that reads every id of every frame."""

    def full_search(frames):
        kept = {(): (1.0, 0.0)}
        for frame in frames:
            grown = {}
            for prefix, (ends_blank, ends_id) in kept.items():
                for token in range(len(frame)):
                    again = bool(prefix) and token == prefix[-1]
                    if token == blank:
                        moves = [(prefix, 0, ends_blank + ends_id)]
                    elif again:
                        moves = [(prefix, 1, ends_id), ((*prefix, token), 1, ends_blank)]
                    else:
                        moves = [((*prefix, token), 1, ends_blank + ends_id)]
                    for text, place, share in moves:
                        grown.setdefault(text, [0.0, 0.0])[place] += share * frame[token]
            kept = dict(sorted(grown.items(), key=lambda item: -sum(item[1]))[:beam])
        return next(iter(kept))

    generator = np.random.default_rng(beam)
    for _ in range(20):
        frames = generator.dirichlet(np.full(8, 0.3), size=12)
        assert tuple(prefix_beam_search(frames, blank=blank, beam=beam)) == full_search(frames)


def test_a_long_row_does_not_vanish():
    frames = np.tile([[0.0, 0.0, 0.5]], (2000, 1))
    frames[500] = [0, 0.5, 0]
    assert math.prod(frames.max(axis=1)) == 0, "no float holds the product"
    assert prefix_beam_search(frames, blank=2, beam=2) == [1]


@pytest.mark.parametrize("beam", [1, 5])
def test_padding_batching_and_what_is_hidden_change_nothing(beam):
    head, tokens = make_head(beam=beam), make_tokens()
    with torch.no_grad():
        ids, losses = ids_of(head, tokens), losses_of(head, tokens)
        longer = Tokens(nn.functional.pad(tokens.values, (0, 0, 2, 3)), nn.functional.pad(tokens.mask, (2, 3)))
        for other in (scramble_hidden(tokens), longer):
            assert ids_of(head, other) == ids
            torch.testing.assert_close(losses_of(head, other), losses, rtol=1e-5, atol=1e-6)
        padded = nn.functional.pad(IDS, (0, 3), value=-1)
        torch.testing.assert_close(losses_of(head, tokens, padded), losses, rtol=1e-5, atol=1e-6)
        for row in range(5):
            rows = torch.tensor([row])
            assert ids_of(head, tokens.take(rows)) == [ids[row]]
            torch.testing.assert_close(
                losses_of(head, tokens.take(rows), IDS[rows]), losses[rows], rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize("config", [CTCHeadConfig(), CTCHeadConfig(dropout=0.1, beam=3)])
def test_contract(config):
    check_head(config, lambda config: config.build(DIM, answer=ANSWER), context_of(make_tokens()), TARGETS)


def test_losses_are_the_mean_of_the_target_tokens():
    head, tokens = make_head(), make_tokens()
    total, num_tokens = losses_of(head, tokens).sum(dim=0)
    torch.testing.assert_close(head.losses(context_of(tokens), TARGETS)["loss"], total / num_tokens)
    assert head.weight(TARGETS) == num_tokens == 13
    prediction = head(context_of(tokens), TARGETS)
    assert torch.equal(torch.stack([prediction["nll"], prediction["num_tokens"]], dim=1), losses_of(head, tokens))
    torch.testing.assert_close(prediction["loss"], prediction["nll"] / prediction["num_tokens"])


def test_ids_under_a_false_mask_are_no_target():
    head, tokens = make_head(), make_tokens()
    filled = {TARGET: Arrays(IDS.masked_fill(IDS < 0, 3), IDS >= 0)}
    assert torch.equal(
        head.losses(context_of(tokens), filled)["loss"], head.losses(context_of(tokens), TARGETS)["loss"]
    )


def test_a_row_without_a_target_is_not_an_empty_text():
    head, tokens = make_head(), make_tokens()
    ids = IDS.clone()
    ids[0] = -1
    assert losses_of(head, tokens, ids)[0].tolist() == [0, 0]
    assert torch.equal(losses_of(head, tokens, ids)[1:], losses_of(head, tokens)[1:])
