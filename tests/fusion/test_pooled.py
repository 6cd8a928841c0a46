import torch

from contracts import example_tokens
from tonggan.fusion.pooled import PooledInputs, ProjectedInputs, one_token, softmax_present

NAMES = ["picture", "words", "sound"]


def test_absent_inputs_are_zeros_and_scale_does_not_matter():
    tokens = example_tokens()
    pooled, present = PooledInputs(NAMES, dim=16)(tokens)
    assert present.tolist() == [[True] * 3, [True, True, False], [True] * 3, [False, False, True], [False] * 3]
    assert not pooled[~present].any()
    assert not ProjectedInputs(NAMES, dim=16)(tokens)[0][~present].any()
    torch.testing.assert_close(pooled[present].mean(dim=-1), torch.zeros(9), rtol=0, atol=1e-5)
    torch.testing.assert_close(pooled[present].var(dim=-1, correction=0), torch.ones(9), rtol=1e-3, atol=0)


def test_softmax_among_the_present():
    present = torch.tensor([[True, True, False], [False, False, False]])
    weights = softmax_present(torch.tensor([[1.0, 3.0, 9.0]] * 2).log(), present)
    torch.testing.assert_close(weights, torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.0, 0.0]]))


def test_one_token_for_each_row_that_has_an_input():
    tokens = one_token(torch.ones(2, 4), torch.tensor([[True, False], [False, False]]))
    assert tokens.values.shape == (2, 1, 4)
    assert tokens.present.tolist() == [True, False]
