import pytest
import torch

from tonggan.codelm.review.learned.examples import Example, Vocabulary
from tonggan.codelm.review.learned.functions import Function
from tonggan.codelm.review.learned.game import FUNCTIONS, BugGame, BugMeasure, broken, by_kind, held_out_example
from tonggan.codelm.review.learned.game import _denoising as denoising
from tonggan.codelm.review.learned.game import _many as many
from tonggan.codelm.review.learned.game import _regret as regret
from tonggan.codelm.review.learned.network import RewriteScorerConfig
from tonggan.codelm.review.learned.rewrites import apply_all
from tonggan.tokens import Arrays, Batch
from tonggan.training import TrainingConfig

CLAMP = (
    "def clamp(value, low, high):\n    if value < low:\n        return low\n    if value > high:\n        return high\n"
    "    return value"
)
FUNCTION = Function(CLAMP, "clamp", "numbers.py", 1, "")
SMALL = RewriteScorerConfig(dim=16, num_layers=2, num_heads=2)


def test_a_bug_is_undone_by_its_repair():
    original = Example.of(CLAMP)
    made = [broken(original, [rewrite]) for rewrite in original.rewrites]
    found = [each for each in made if each is not None and each.repairs[0] is not None]
    assert len(found) > len(made) / 2
    for each in found:
        repair = each.example.rewrites[each.repairs[0]]
        assert repair.apply(each.example.graph.text) == CLAMP


def test_many_bugs_are_each_undone_by_their_repair():
    original = Example.of(CLAMP)
    torch.manual_seed(0)
    for _ in range(20):
        chosen = many(original)
        made = broken(original, chosen)
        assert len(chosen) == 2  # of 14 places
        repairs = [made.example.rewrites[repair] for repair in made.repairs if repair is not None]
        if len(repairs) == 2:
            assert apply_all(repairs, made.example.graph.text)[0] == CLAMP


def test_denoising_is_least_where_every_place_is_as_it_should_be():
    original = Example.of(CLAMP)
    made = broken(original, [next(each for each in original.rewrites if each.kind == "comparison")])
    right = torch.full((1, len(made.example.rewrites)), -8.0)
    right[0, made.repairs[0]] = 8
    calm, wrong = torch.full_like(right, -8.0), right.roll(1, dims=1)
    worst, middle, best = (denoising(scores, [made]).item() for scores in (wrong, calm, right))
    assert worst > middle > best
    assert best < 0.02
    assert middle == pytest.approx(8, abs=0.1)  # the bug's place is taken to be right


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
    game = BugGame([FUNCTION], vocabulary, config=SMALL, has_selector=has_selector)
    batch = Batch(torch.tensor([0]), {FUNCTIONS: Arrays.whole(torch.tensor([0]))}, {})
    losses = game.losses(batch)
    names = ["detector", "selector"] if has_selector else ["detector"]
    assert list(game.optimizers(TrainingConfig())) == names
    assert [name.partition("/")[0] for name in losses] == ["detector", *names]
    (losses["detector/pointing"] + losses["detector/denoising"]).backward(retain_graph=True)
    assert game.detector.words.weight.grad is not None
    if game.selector is not None:
        assert game.selector.words.weight.grad is None
        losses["selector"].backward()
        assert game.selector.words.weight.grad is not None


def test_held_out_bugs_are_the_same_each_time():
    found = [held_out_example(FUNCTION, seed=seed) for seed in range(40)]
    again = [held_out_example(FUNCTION, seed=seed) for seed in range(40)]
    texts = [[(example.graph.text, answer) for example, answer in each] for each in (found, again)]
    assert texts[0] == texts[1]
    clean = [example.graph.text == CLAMP for example, answer in found if not answer]
    assert all(clean)
    assert 10 < len(clean) < 30
    assert len({example.rewrites[answer - 1].kind for example, answer in found if answer}) > 1


def test_what_detection_is_worth():
    rows = {"answer": [2, 1, 3, 0, 0], "guess": [2, 2, 0, 0, 1], "found": [True, True, False, True, False]}
    measure = BugMeasure({name: torch.tensor(values).numpy() for name, values in rows.items()}, "accuracy", True)
    assert measure.metrics() == pytest.approx(
        {"accuracy": 2 / 5, "located": 2 / 3, "repaired": 1 / 3, "false_alarms": 1 / 2}
    )
