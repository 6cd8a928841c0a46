"""Masked values: what is absent changes nothing; and what a head says, row by row."""

import pytest
import torch

from tonggan.tokens import Arrays, Batch, Prediction, Tokens


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


def test_feature_maps_go_with_their_rows_until_tokens_are_joined():
    maps = [torch.arange(2.0 * 3 * side * side).view(2, 3, side, side) for side in (4, 2)]
    tokens = Tokens(torch.zeros(2, 4, 2), torch.ones(2, 4, dtype=torch.bool), maps)
    kept = tokens.keep(torch.tensor([False, True]))
    assert all(torch.equal(one, other) for one, other in zip(kept.maps, maps, strict=True))
    rows = torch.tensor([1, 0, 1])
    taken = tokens.take(rows)
    assert [part.shape[2] for part in taken.maps] == [4, 2], "the finest first"
    assert all(torch.equal(one, other[rows]) for one, other in zip(taken.maps, maps, strict=True))
    assert [part.device.type for part in tokens.to("meta").maps] == ["meta", "meta"]
    assert not Tokens.concat([tokens, tokens]).maps
    assert not tokens.packed().maps
    assert not Tokens(tokens.values, tokens.mask).maps


def test_shapes_that_cannot_be_are_refused():
    with pytest.raises(AssertionError, match="does not lead"):
        Arrays(torch.zeros(2, 3), torch.ones(3, dtype=torch.bool))
    with pytest.raises(AssertionError, match="not bool"):
        Arrays(torch.zeros(2, 3), torch.ones(2))
    with pytest.raises(AssertionError, match="Tokens want"):
        Tokens(torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool))


def test_the_extent_of_a_picture_goes_with_it():
    extent = torch.tensor([[480, 640], [0, 0], [30, 20]])
    index = torch.tensor([2, 0, 2, 1])
    shared = Arrays(torch.arange(3.0).view(3, 1), torch.tensor([True, False, True]), index, extent)
    assert shared.expand().extent.tolist() == [[30, 20], [480, 640], [30, 20], [0, 0]]
    assert shared.expand().index is None
    own = shared.of_rows(torch.tensor([3, 0]))
    assert own.extent[own.index].tolist() == [[0, 0], [30, 20]]
    assert own.expand().values[:, 0].tolist() == [1, 2]
    assert own.expand().extent.tolist() == [[0, 0], [30, 20]]
    single = Arrays(shared.values, shared.mask, extent=extent)
    assert single.take(torch.tensor([2, 2])).extent.tolist() == [[30, 20], [30, 20]]
    assert single.of_rows(torch.tensor([0])).extent.tolist() == [[480, 640]]
    assert single.keep(torch.tensor([True, False, False])).extent is extent
    assert single.expand() is single
    assert single.to("meta").extent.device.type == "meta"
    unknown = Arrays(shared.values, shared.mask, index)
    assert unknown.expand().extent is unknown.of_rows(torch.tensor([0])).extent is unknown.to("cpu").extent is None


def test_whole_arrays_have_something_in_every_row():
    whole = Arrays.whole(torch.zeros(3, 2))
    assert whole.mask.tolist() == [True] * 3
    assert whole.present.all()
    assert whole.index is whole.extent is None


def test_a_batch_moves_as_a_whole():
    arrays = Arrays(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), torch.tensor([0, 0]), torch.ones(1, 2))
    targets = {"target": Arrays.whole(torch.zeros(2)), "more": Arrays.whole(torch.ones(2))}
    batch = Batch(torch.arange(2), {"x": arrays}, targets)
    moved = batch.to("meta")
    assert moved.inputs["x"].index.device.type == moved.inputs["x"].extent.device.type == "meta"
    for target in moved.targets.values():
        assert target.values.device.type == target.mask.device.type == "meta"
    assert len(moved) == 2


def test_rows_of_a_batch_take_their_targets_along():
    inputs = {"x": Arrays(torch.tensor([[5.0], [6.0]]), torch.ones(2, 1, dtype=torch.bool), torch.tensor([1, 1, 0]))}
    targets = {"target": Arrays(torch.tensor([7.0, 8.0, 9.0]), torch.tensor([True, False, True]))}
    taken = Batch(torch.tensor([10, 11, 12]), inputs, targets).take(torch.tensor([2, 1]))
    assert taken.rows.tolist() == [12, 11]
    assert taken.inputs["x"].expand().values[:, 0].tolist() == [5, 6]
    assert taken.targets["target"].values.tolist() == [9, 8]
    assert taken.targets["target"].present.tolist() == [True, False]
    assert not Batch(torch.arange(3), inputs).take(torch.tensor([0])).targets


def test_rows_of_a_prediction_are_tensors_and_lists_alike():
    boxes = [torch.zeros(2, 4), torch.ones(0, 4), torch.full((1, 4), 2.0)]
    prediction = Prediction({"outputs": torch.arange(6.0).view(3, 2), "boxes": boxes})
    assert len(prediction) == 3
    assert "boxes" in prediction
    assert "loss" not in prediction
    taken = prediction.take(torch.tensor([2, 0, 2]))
    assert len(taken) == 3
    assert taken["outputs"].tolist() == [[4, 5], [0, 1], [4, 5]]
    assert [part.shape[0] for part in taken["boxes"]] == [1, 2, 1]
    assert taken["boxes"][0] is boxes[2]
    assert len(prediction.take(torch.tensor([], dtype=torch.int64))) == 0


def test_outputs_of_unequal_numbers_of_rows_are_refused():
    with pytest.raises(AssertionError, match="'outputs': 3, 'boxes': 2"):
        Prediction({"outputs": torch.zeros(3, 2), "boxes": [1, 2]})


def test_a_prediction_in_main_memory_is_of_plain_numbers():
    half = torch.tensor([[1.5, 2.5]], dtype=torch.bfloat16, requires_grad=True)
    parts = [torch.tensor([0.5], dtype=torch.float16)]
    plain = Prediction({"outputs": half, "ids": torch.tensor([[3]]), "boxes": parts}).cpu()
    assert plain["outputs"].dtype == torch.float32
    assert not plain["outputs"].requires_grad
    assert plain["outputs"].tolist() == [[1.5, 2.5]]
    assert plain["ids"].dtype == torch.int64
    assert plain["boxes"][0].dtype == torch.float32
