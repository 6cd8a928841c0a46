import pytest
import torch

from tonggan.codelm.review.learned.examples import Example, Vocabulary
from tonggan.codelm.review.learned.game import FUNCTIONS, BugGame, BugMeasure, broken, by_kind, held_out_example
from tonggan.codelm.review.learned.game import _regret as regret
from tonggan.codelm.review.learned.network import RewriteScorerConfig
from tonggan.tokens import Arrays, Batch
from tonggan.training import TrainingConfig

CLAMP = (
    "def clamp(value, low, high):\n    if value < low:\n        return low\n    if value > high:\n        return high\n"
    "    return value"
)
SMALL = RewriteScorerConfig(dim=16, num_layers=2, num_heads=2)


def test_a_bug_is_undone_by_its_repair():
    original = Example.of(CLAMP)
    made = [broken(original, rewrite) for rewrite in original.rewrites]
    found = [each for each in made if each is not None]
    assert len(found) > len(made) / 2
    for each in found:
        repair = each.example.rewrites[each.repair]
        assert repair.apply(each.example.graph.text) == CLAMP


def test_each_kind_of_bug_is_as_likely_as_another():
    original = Example.of(CLAMP)
    chances = by_kind(original.rewrites)
    kinds = [rewrite.kind for rewrite in original.rewrites]
    sums = {kind: sum(chances[row].item() for row, each in enumerate(kinds) if each == kind) for kind in set(kinds)}
    assert sums == pytest.approx(dict.fromkeys(sums, 1 / len(sums)))
    assert len(sums) > 1


def test_the_selector_comes_to_prefer_what_the_detector_misses():
    preferences = torch.zeros(2, 3, requires_grad=True)
    owners, losses = [(0, 0), (0, 2), (1, 1), (1, 2)], torch.tensor([0.1, 3.0, 2.0, 2.0])
    for _ in range(50):
        (gradient,) = torch.autograd.grad(regret(preferences, owners, losses), preferences)
        preferences = (preferences - 0.5 * gradient).detach().requires_grad_()
    first, second = preferences.tolist()
    assert first[2] > 1 > first[0]
    assert first[1] == 0  # not drawn
    assert second == pytest.approx([0, 0, 0], abs=1e-5)  # equally hard


def test_without_a_bug_drawn_nothing_is_learned_of_the_selector():
    preferences = torch.ones(1, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(regret(preferences, [], torch.empty(0)), preferences)
    assert not gradient.any()


@pytest.mark.parametrize("has_selector", [True, False])
def test_each_network_has_losses_and_optimizers_of_its_own(has_selector):
    vocabulary = Vocabulary([])
    torch.manual_seed(0)
    game = BugGame([CLAMP], vocabulary, config=SMALL, has_selector=has_selector)
    batch = Batch(torch.tensor([0]), {FUNCTIONS: Arrays.whole(torch.tensor([0]))}, {})
    losses = game.losses(batch)
    names = ["detector", "selector"] if has_selector else ["detector"]
    assert list(losses) == list(game.optimizers(TrainingConfig())) == names
    losses["detector"].backward(retain_graph=True)
    assert game.detector.words.weight.grad is not None
    if game.selector is not None:
        assert game.selector.words.weight.grad is None
        losses["selector"].backward()
        assert game.selector.words.weight.grad is not None


def test_held_out_bugs_are_the_same_each_time():
    found = [held_out_example(CLAMP, seed=seed) for seed in range(40)]
    again = [held_out_example(CLAMP, seed=seed) for seed in range(40)]
    assert [(each.graph.text, answer, kind) for each, answer, kind in found] == [
        (each.graph.text, answer, kind) for each, answer, kind in again
    ]
    clean = [example.graph.text == CLAMP for example, answer, _ in found if not answer]
    assert all(clean)
    assert 10 < len(clean) < 30
    assert len({kind for _, _, kind in found}) > 2


def test_what_detection_is_worth():
    rows = {"answer": [2, 1, 3, 0, 0], "guess": [2, 2, 0, 0, 1], "found": [True, True, False, True, False]}
    measure = BugMeasure({name: torch.tensor(values).numpy() for name, values in rows.items()}, "accuracy", True)
    assert measure.metrics() == pytest.approx(
        {"accuracy": 2 / 5, "located": 2 / 3, "repaired": 1 / 3, "false_alarms": 1 / 2}
    )
