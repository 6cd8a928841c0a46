import sys

import pytest
import torch
from safetensors.torch import load_file

import forked
import matching_scene
from matching_scene import KINDS, ROWS, WAYS, every_step, scene, stepped
from tonggan.alignment.token_sets import SETS
from tonggan.errors import ConfigError
from tonggan.training import TrainingConfig
from tonggan.training.stepper import Stepper
from tonggan.training.world import World


def test_two_processes_find_the_losses_and_gradients_of_one(tmp_path):
    """Each encodes its rows, five and four, and compares them with all."""
    path = tmp_path / "found.safetensors"
    for done in forked.run_together([sys.executable, matching_scene.__file__, str(path)], number=2):
        assert done.returncode == 0, done.stderr
    wanted, found = every_step(), load_file(path)
    assert found.keys() == wanted.keys()
    for name, each in wanted.items():
        torch.testing.assert_close(found[name], each, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("matching", ["pooled", *SETS])
def test_gradients_of_an_encoder_are_the_same_in_pieces(matching):
    whole, pieces = (stepped("contrastive", matching, learns=True, at_once=at_once) for at_once in (ROWS, 2))
    assert "space.encoders.image.layer.weight" in whole
    for name, each in whole.items():
        torch.testing.assert_close(pieces[name], each, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize(("alignment", "matching"), WAYS)
def test_a_row_without_a_side_teaches_nothing_of_it(alignment, matching):
    objective, batches = scene(alignment, matching, learns=False)
    objective.eval()
    (batch,) = batches.epoch(0)
    before = objective.losses(batch)
    batch.inputs["name"].values[0] = 99.0
    after = objective.losses(batch)
    assert set(before) == {"picture~name", "picture~other", "name~other"}
    for name, each in before.items():
        assert torch.isfinite(each)
        torch.testing.assert_close(after[name], each)


def test_predictions_have_sets_where_they_are_compared():
    objective, batches = scene("contrastive", "transport", learns=False)
    objective.eval()
    (batch,) = batches.epoch(0)
    prediction = objective.predict(batch).cpu()
    for name in KINDS:
        assert prediction[f"{name}/tokens"].shape == (*prediction[f"{name}/mask"].shape, 6)
    measure = objective.measure(prediction, {})
    assert measure.matching == "transport"
    assert 0 < measure.score() <= 1


def test_what_cannot_compare_sets_or_cut_batches_is_named():
    with pytest.raises(ConfigError, match=r"space.matching 'transport'.*alignment 'angular'.*contrastive"):
        scene("angular", "transport", learns=False)
    with pytest.raises(ConfigError, match="frozen encoders"):
        scene("likelihood", "pooled", learns=True)
    objective, _ = scene("contrastive", "pooled", learns=False)
    config = TrainingConfig(accumulation=2)
    with pytest.raises(ConfigError, match="accumulation 2"):
        Stepper(objective, config=config, world=World(0, 2, torch.device("cpu")), seed=0)
