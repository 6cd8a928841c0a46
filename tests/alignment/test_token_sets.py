import numpy as np
import pytest
import torch

from tonggan.alignment import AlignmentConfig, PairShape
from tonggan.alignment.token_sets import SETS, late_interaction_plan, pooled, rescored, set_scores, transport_plan
from tonggan.tokens import Tokens

COSINES = torch.tensor([[0.9, 0.1, -0.2], [0.2, 0.8, 0.3]])
ALL = torch.ones(2, dtype=torch.bool), torch.ones(3, dtype=torch.bool)


def unit(*degrees: float) -> torch.Tensor:
    radians = torch.tensor(degrees).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def sets(*items: torch.Tensor, length: int = 0) -> Tokens:
    length = length or max(map(len, items))
    values, mask = torch.full((len(items), length, 2), 7.0), torch.zeros(len(items), length, dtype=torch.bool)
    for row, item in enumerate(items):
        values[row, : len(item)], mask[row, : len(item)] = item, True
    return Tokens(values, mask)


# ot.bregman.sinkhorn(a, b, 1 - COSINES, entropy, method="sinkhorn_log", stopThr=1e-13) of POT 0.9.7.
POT = {
    0.1: [[3.33330423e-01, 2.89857741e-02, 1.37683803e-01], [2.91029577e-06, 3.04347559e-01, 1.95649530e-01]],
    0.02: [[3.33333333e-01, 1.51298758e-05, 1.66651537e-01], [0, 3.33318203e-01, 1.66681797e-01]],
    0.5: [[0.28740701, 0.09188358, 0.1207094], [0.04592632, 0.24144975, 0.21262393]],
}


@pytest.mark.parametrize("entropy", POT)
def test_the_transport_plan_is_that_of_pot(entropy):
    plan = transport_plan(COSINES, *ALL, entropy=entropy, iterations=500)
    np.testing.assert_allclose(plan, POT[entropy], atol=1e-6)
    if entropy >= 0.1:
        few = transport_plan(COSINES, *ALL, entropy=entropy)
        np.testing.assert_allclose(few, POT[entropy], atol=2e-3)  # the iterations that a space takes


def test_late_interaction_worked_by_hand():
    plan = late_interaction_plan(COSINES, *ALL)
    assert plan.tolist() == [[0.5, 0, 0], [0, 0.5, 0]]
    # Two tokens at 0 and 90 degrees and one at 60: its greatest cosine is cos 30, theirs are cos 60 and cos 30.
    forth, back = set_scores(sets(unit(0, 90)), sets(unit(60)), "late_interaction")
    assert forth.item() == pytest.approx((0.5 + 0.75**0.5) / 2)
    assert back.item() == pytest.approx(0.75**0.5)


def test_transport_worked_by_hand():
    """All of a single token is laid beside all of the others, whatever the entropy."""
    forth, back = set_scores(sets(unit(0, 90)), sets(unit(60)), "transport")
    assert forth.item() == pytest.approx((0.5 + 0.75**0.5) / 2)
    assert back.item() == forth.item()


@pytest.mark.parametrize("matching", SETS)
def test_padding_changes_nothing_and_an_absent_side_scores_nothing(matching):
    left, right = [unit(0, 90), unit(10)], [unit(60), unit(5, 80, 200)]
    short = set_scores(sets(*left), sets(*right), matching)
    long = set_scores(sets(*left, length=5), sets(*right, length=9), matching)
    for one, other in zip(short, long, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(pooled(sets(*left)), pooled(sets(*left, length=5)))
    asked = Tokens(*(torch.cat([each, each]) for each in (sets(*right).values, sets(*right).mask)))
    means = pooled(sets(*left)) @ pooled(sets(*right)).T
    torch.testing.assert_close(0.4 + means + short[0] - means, rescored(0.4 + means, sets(*left), asked, matching))
    absent = sets(unit(), *right)
    forth, back = set_scores(sets(*left), absent, matching)
    assert forth[:, 0].tolist() == back[0].tolist() == [0, 0]
    torch.testing.assert_close(forth[:, 1:], short[0])


@pytest.mark.parametrize("matching", SETS)
def test_gradients_are_those_of_the_greatest_sum(matching):
    """Of late interaction that of the maximum; of transport that of the cosines with the entropy of their plan."""
    torch.manual_seed(0)
    left, right = torch.randn(1, 3, 2, dtype=torch.double), torch.randn(1, 4, 2, dtype=torch.double)

    def score(values: torch.Tensor) -> torch.Tensor:
        own = torch.nn.functional.normalize(values, dim=-1)
        cosines = own[0] @ torch.nn.functional.normalize(right, dim=-1)[0].T
        if matching == "late_interaction":
            return cosines.max(dim=1).values.mean()
        plan = transport_plan(cosines, *(torch.ones(n, dtype=torch.bool) for n in (3, 4)), entropy=0.1, iterations=2000)
        return (plan * cosines).sum() - 0.1 * (plan * plan.log()).sum()

    step = 1e-5
    wanted = torch.zeros_like(left)
    for place in range(left.numel()):
        nudge = torch.zeros(left.numel(), dtype=torch.double)
        nudge[place] = step
        up, down = (score(left + sign * nudge.view_as(left)) for sign in (1, -1))
        wanted.view(-1)[place] = (up - down) / (2 * step)
    learned = left.clone().requires_grad_()
    whole = [Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool)) for values in (learned, right)]
    set_scores(*whole, matching)[0].sum().backward()
    torch.testing.assert_close(learned.grad, wanted, atol=5e-3 if matching == "transport" else 1e-6, rtol=0)


@pytest.mark.parametrize("kind", [name for name, each in AlignmentConfig.family().items() if each.compares_sets])
def test_alignments_read_scores_in_place_of_vectors(kind):
    """Scores that are the cosines give the loss of the vectors, and those of each direction count in it."""
    torch.manual_seed(0)
    left, right = torch.randn(6, 8), torch.randn(6, 8)
    loss = AlignmentConfig.parse({"kind": kind}, who="alignment").build(PairShape(8, num_labels=3))
    labels = torch.tensor([0, 1, 2, 0, 1, -1])
    cosines = torch.nn.functional.normalize(left, dim=1) @ torch.nn.functional.normalize(right, dim=1).T
    wanted = loss(left, right, labels=labels)
    torch.testing.assert_close(loss(left, right, labels=labels, scores=(cosines, cosines.T)), wanted)
    sharper = cosines.T + torch.eye(6)
    assert loss(left, right, labels=labels, scores=(cosines, sharper)) < wanted
