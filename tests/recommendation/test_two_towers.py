"""Two towers: their contract, the correction of the softmax by hand, and items known by content alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recommendation_scene
from contracts import check_scorer
from tonggan.floor import CannotFitError
from tonggan.recommendation import Examples, Histories
from tonggan.recommendation.two_towers import HistoryBatches, Towers, TowersObjective, TwoTowersConfig
from tonggan.training.config import TrainingConfig

SMALL = TwoTowersConfig(dim=16, training=TrainingConfig(epochs=12, batch_size=64, learning_rate=1e-2))


def test_contract() -> None:
    check_scorer(SMALL)


def test_histories_are_what_came_before() -> None:
    histories = Histories.grouped(np.array([0, 1, 0, 0]), np.array([5, 6, 7, 8]), num_users=2, num_items=9)
    (batch,) = HistoryBatches(histories, TwoTowersConfig(length=1), seed=0).epoch(0)
    found = {
        int(item): history[mask].tolist()
        for item, history, mask in zip(
            batch.targets["item"].values, batch.inputs["history"].values, batch.inputs["history"].mask, strict=True
        )
    }
    assert found == {7: [5], 8: [7]}
    assert batch.inputs["user"].values.tolist() == [0, 0]


def test_the_loss_is_the_corrected_softmax() -> None:
    histories = Histories.of([[0, 1], [2, 1], [0, 3]], num_items=4, users=np.arange(3))
    counts = histories.counts()
    torch.manual_seed(0)
    towers = Towers(SMALL, content=torch.zeros(4, 0), people=torch.zeros(3, 0)).eval()
    objective = TowersObjective(towers, SMALL, counts, held=None)
    (batch,) = HistoryBatches(histories, SMALL, seed=0).epoch(0)
    items, before = batch.targets["item"].values, batch.inputs["history"].values[:, 0]
    with torch.no_grad():
        vectors = towers.items(torch.arange(4))
        users = towers.users(vectors[before][:, None], torch.ones(3, 1, dtype=torch.bool), torch.arange(3))
        logits = users @ vectors.T / SMALL.temperature - torch.from_numpy(np.log(counts / counts.sum())).float()
    losses = []
    for row, item in enumerate(items.tolist()):
        others = [other for other in items.tolist() if other not in (item, int(before[row]))]
        chosen = logits[row, [item, *others]]
        losses.append(torch.logsumexp(chosen, 0) - chosen[0])
    torch.testing.assert_close(objective.losses(batch)["softmax"].detach(), torch.stack(losses).mean())


def test_items_that_nobody_has_liked_are_scored_by_what_they_are() -> None:
    examples = recommendation_scene.examples()
    scorer = SMALL.fit(examples, seed=0, seconds=float("inf"))
    asked = Histories.of([[1, 5, 9], [2, 6, 10]], num_items=recommendation_scene.NUM_ITEMS)
    never = np.arange(recommendation_scene.NUM_ITEMS - 4, recommendation_scene.NUM_ITEMS)
    best = never[scorer.score(asked)[:, never].argmax(axis=1)]
    assert [recommendation_scene.genre_of(item) for item in best] == [1, 2]


def test_users_of_one_item_each_cannot_be_learned_from() -> None:
    with pytest.raises(CannotFitError, match="no user with two likes"):
        SMALL.fit(Examples(Histories.of([[0], [1]], num_items=2)), seed=0, seconds=9)
