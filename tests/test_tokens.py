"""Masked values: what is absent changes nothing."""

import pytest
import torch

from tonggan.tokens import Arrays, Batch, Tokens


def test_the_mean_counts_real_tokens_only():
    values = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]], [[5.0, 5.0], [6.0, 6.0], [7.0, 7.0]]])
    tokens = Tokens(values, torch.tensor([[True, True, False], [False, False, False]]))
    assert tokens.mean().tolist() == [[2.0, 3.0], [0.0, 0.0]]
    assert tokens.present.tolist() == [True, False]
    nan = Tokens(values.masked_fill(~tokens.mask.unsqueeze(-1), float("nan")), tokens.mask)
    assert nan.mean().tolist() == [[2.0, 3.0], [0.0, 0.0]]


def test_keep_take_and_concat():
    tokens = Tokens(torch.arange(8.0).view(2, 2, 2), torch.ones(2, 2, dtype=torch.bool))
    assert tokens.keep(torch.tensor([False, True])).present.tolist() == [False, True]
    assert tokens.take(torch.tensor([1, 1])).values[:, 0, 0].tolist() == [4.0, 4.0]
    assert Tokens.concat([tokens, tokens]).values.shape == (2, 4, 2)
    pictures = Arrays(torch.zeros(2, 3, 4, 4), torch.tensor([True, True]))
    assert pictures.keep(torch.tensor([True, False])).present.tolist() == [True, False]


def test_shapes_that_cannot_be_are_refused():
    with pytest.raises(AssertionError, match="does not lead"):
        Arrays(torch.zeros(2, 3), torch.ones(3, dtype=torch.bool))
    with pytest.raises(AssertionError, match="not bool"):
        Arrays(torch.zeros(2, 3), torch.ones(2))
    with pytest.raises(AssertionError, match="Tokens want"):
        Tokens(torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool))


def test_a_batch_moves_as_a_whole():
    arrays = Arrays(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), torch.tensor([0, 0]))
    batch = Batch(torch.arange(2), {"x": arrays}, torch.zeros(2), {"more": torch.ones(2)})
    moved = batch.to("meta")
    assert moved.inputs["x"].index.device.type == moved.target.device.type == "meta"
    assert moved.auxiliary["more"].device.type == "meta"
    assert len(moved) == 2
