"""Objectives that no task is: adversaries, rows compared with each other, steps cut short, several processes."""

import numpy as np
import pytest
import torch
from torch import nn

from tonggan.decoders import TARGET
from tonggan.errors import ConfigError, TrainingError
from tonggan.tokens import Arrays, Batch
from tonggan.training import TrainingConfig, train
from tonggan.training.objective import Objective
from tonggan.training.optimizer import build_optimizer
from tonggan.training.stepper import Stepper
from tonggan.training.supervised import Supervised, loaders
from tonggan.training.world import World
from training_scene import CONFIG, SEED, Plain, scene

ALONE = World(0, 1, torch.device("cpu"))


class Adversaries(Objective):
    """A generator of numbers near the mean of the input ``x``, and a discriminator that tells them from real ones."""

    def __init__(self):
        super().__init__()
        self.generator = nn.Linear(2, 1)
        self.discriminator = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 1))

    def losses(self, batch):
        real = batch.inputs["x"].values[:, :1]
        made = self.generator(torch.randn(len(batch), 2))
        judge, bce = self.discriminator, nn.functional.binary_cross_entropy_with_logits
        ones, zeros = torch.ones(len(batch), 1), torch.zeros(len(batch), 1)
        return {
            "generator": bce(judge(made), ones),
            "discriminator/real": bce(judge(real), ones),
            "discriminator/made": bce(judge(made.detach()), zeros),
        }

    def optimizers(self, config):
        return {
            "generator": build_optimizer(self.generator, config),
            "discriminator": build_optimizer(self.discriminator, config),
        }


def test_each_of_two_optimizers_minimizes_its_own_losses():
    torch.manual_seed(0)
    objective = Adversaries()
    *_, part, _ = scene()
    batch = part.batch(np.arange(32))
    torch.manual_seed(int(np.random.SeedSequence((SEED, 0, 0)).generate_state(1)[0]))
    losses = objective.losses(batch)
    expected = {}
    for name in ("generator", "discriminator"):
        parameters = list(getattr(objective, name).parameters())
        loss = sum(value for key, value in losses.items() if key.startswith(name))
        expected[name] = torch.autograd.grad(loss, parameters, retain_graph=True)
    stepper = Stepper(objective, config=TrainingConfig(clip_norm=None, precision="fp32"), world=ALONE, seed=SEED)
    found = stepper.step(0, [batch], learning_rate=0.0)
    torch.testing.assert_close(found[1:], torch.stack([value.detach() for value in losses.values()]))
    assert stepper.loss_names == list(losses)
    for name, gradients in expected.items():
        for parameter, gradient in zip(getattr(objective, name).parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)


def test_an_adversarial_pair_trains_and_resumes_without_a_validation_part(tmp_path):
    *_, part, valid = scene()
    part.inputs["x"].values[:, 0] += 3.0
    config = CONFIG.model_copy(update={"epochs": 40, "learning_rate": 0.02, "weight_decay": 0.0})
    learned, _ = loaders(part, valid, config=config, seed=SEED)
    torch.manual_seed(0)
    objective = Adversaries()
    result = train(objective, learned, config=config, folder=tmp_path, seed=SEED)
    assert (result.steps, result.best_step, result.best_score, result.history) == (400, 400, None, [])
    assert result.learned == 400 * 16
    assert abs(float(objective.generator.bias.detach()) - 3.0) < 1.0
    other = Adversaries()
    assert train(other, learned, config=config, folder=tmp_path, seed=SEED) == result
    for one, two in zip(objective.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_loss_that_is_not_finite_is_named_without_a_measure_too(tmp_path):
    *_, part, valid = scene()
    part.inputs["x"].values[:] = np.nan
    learned, _ = loaders(part, valid, config=CONFIG, seed=SEED)
    with pytest.raises(TrainingError, match=r"training step 1: got .* not finite in 16 of 16 rows"):
        train(Adversaries(), learned, config=CONFIG, folder=tmp_path, seed=SEED)


class Compared(Objective):
    """Rows that are each other's wrong answers."""

    splits_batches = False

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def losses(self, batch):
        values = batch.inputs["x"].values
        return {"loss": nn.functional.cross_entropy(self.layer(values) @ values.T, torch.arange(len(batch)))}


@pytest.mark.parametrize(
    ("config", "world", "got"),
    [
        (CONFIG.model_copy(update={"accumulation": 2}), ALONE, "accumulation 2"),
        (CONFIG, World(0, 2, torch.device("cpu")), "2 processes"),
    ],
)
def test_a_batch_of_compared_rows_is_not_cut(config, world, got):
    with pytest.raises(ConfigError, match=f"Compared: got {got}, expected whole batches.*larger batch_size"):
        Stepper(Compared(), config=config, world=world, seed=0)
    Stepper(Compared(), config=CONFIG, world=ALONE, seed=0)


def test_batches_of_a_step_count_by_their_weight_and_a_cut_step_by_what_it_saw():
    _, task, part, _ = scene()
    part.inputs["x"].modality.vary = lambda arrays, _, **__: arrays
    batches = [part.batch(np.arange(10)), part.batch(np.arange(10, 40))]
    config = TrainingConfig(clip_norm=None, precision="fp32")

    def gradient(given, **options):
        torch.manual_seed(0)
        model = Plain()
        Stepper(Supervised(model, task), config=config, world=ALONE, seed=0).step(
            0, given, learning_rate=0.1, **options
        )
        return model.layers.weight.grad

    whole = gradient([part.batch(np.arange(40))])
    torch.testing.assert_close(gradient(batches), whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradient(batches, enough=lambda: True), gradient(batches[:1]), rtol=1e-4, atol=1e-6)


def test_half_precision_computes_in_half_and_loses_in_float32():
    _, task, part, _ = scene()
    seen = []
    model = Plain()
    model.layers.register_forward_hook(lambda *call: seen.append(call[-1].dtype))
    config = TrainingConfig(precision="bf16")
    stepper = Stepper(Supervised(model, task), config=config, world=ALONE, seed=0)
    with stepper.arithmetic():
        losses = stepper.objective.losses(part.batch(np.arange(4)))
    assert seen == [torch.bfloat16]
    assert losses["loss"].dtype == torch.float32


def test_the_rows_of_a_batch_that_share_a_picture_still_do_after_take():
    shared = Arrays(torch.arange(3.0).unsqueeze(1), torch.ones(3, dtype=torch.bool), torch.tensor([0, 0, 2, 1]))
    targets = {TARGET: Arrays.whole(torch.tensor([5, 6, 7, 8])), "y": Arrays.whole(torch.arange(4))}
    batch = Batch(torch.arange(4), {"x": shared}, targets)
    taken = batch.take(torch.tensor([1, 2]))
    assert taken.inputs["x"].expand().values.flatten().tolist() == [0.0, 2.0]
    assert len(taken.inputs["x"].values) == 2
    found = [taken.rows, taken.targets[TARGET].values, taken.targets["y"].values]
    assert [values.tolist() for values in found] == [[1, 2], [6, 7], [1, 2]]
