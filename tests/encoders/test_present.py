import torch

from tonggan.encoders.present import encode_present
from tonggan.tokens import Arrays, Tokens


def doubled(arrays: Arrays) -> Tokens:
    assert arrays.mask.all(), "an absent row was encoded"
    return Tokens(arrays.values[:, :, None].float() * 2, arrays.mask)


def test_rows_are_put_back():
    arrays = Arrays(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[True], [False], [True]]))
    tokens = encode_present(arrays, doubled)
    assert tokens.values.flatten().tolist() == [2.0, 0.0, 6.0]
    assert torch.equal(tokens.mask, arrays.mask)


def test_no_row_at_all():
    arrays = Arrays(torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.bool))
    tokens = encode_present(arrays, doubled)
    assert tokens.values.flatten().tolist() == [0.0, 0.0]


def with_maps(arrays: Arrays) -> Tokens:
    coarse = arrays.values.view(-1, 1, 1, 1).expand(-1, 2, 1, 1)
    return Tokens(arrays.values[:, :, None], arrays.mask, [coarse.expand(-1, 2, 4, 4), coarse])


def test_feature_maps_are_put_back_with_their_rows():
    arrays = Arrays(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[True], [False], [True]]))
    tokens = encode_present(arrays, with_maps)
    assert [part.shape for part in tokens.maps] == [(3, 2, 4, 4), (3, 2, 1, 1)]
    for part in tokens.maps:
        assert part[:, 0, 0, 0].tolist() == [1, 0, 3]
    whole = encode_present(arrays.take(torch.tensor([0, 2])), with_maps)
    assert [part.shape[0] for part in whole.maps] == [2, 2]
