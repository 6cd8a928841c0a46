import itertools

import pytest
import torch
from torch import nn

from tonggan.layers.recurrent import Recurrent, RecurrentConfig

VALUES = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0]]).bool()


def build(**settings) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(5, width=4, config=RecurrentConfig(dropout=0.0, **settings))


@pytest.mark.parametrize(("cell", "reference"), [("gru", nn.GRU), ("lstm", nn.LSTM)])
def test_equals_packed_sequences_of_torch(cell, reference):
    own = build(cell=cell, num_layers=2)
    theirs = reference(5, 4, num_layers=2, batch_first=True, bidirectional=True)
    for index, directions in enumerate(own.layers):
        for direction, suffix in zip(directions, ("", "_reverse"), strict=True):
            for name, weight in direction.named_parameters():
                getattr(theirs, name.replace("_l0", f"_l{index}{suffix}")).data.copy_(weight)
    found = own(VALUES, MASK)
    rows = torch.arange(3)
    together = [VALUES[row][MASK[row]] for row in rows]
    packed = nn.utils.rnn.pack_sequence(together, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    for row in rows:
        torch.testing.assert_close(found[row][MASK[row]], expected[row, : int(MASK[row].sum())])
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_many_rows_equal_single_ones(cell):
    own = build(cell=cell, num_layers=2)
    values = torch.randn(70, 9, 5, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9) < torch.arange(70)[:, None] % 10
    found = own(values, mask)
    for row in range(70):
        length = int(mask[row].sum())
        if length:
            alone = own(values[row : row + 1, :length], mask[row : row + 1, :length])
            torch.testing.assert_close(found[row, :length], alone[0])


def test_causal_knows_nothing_of_what_comes():
    later = VALUES.clone()
    later[:, 3:] += 1
    mask = torch.ones(4, 6, dtype=torch.bool)
    for cell, causal in itertools.product(("gru", "lstm"), (True, False)):
        own = build(cell=cell, causal=causal)
        same = torch.equal(own(VALUES, mask)[:, :3], own(later, mask)[:, :3])
        assert same == causal


def test_half_precision_around_it_changes_nothing():
    own = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = own(VALUES.bfloat16().float(), MASK)
    torch.testing.assert_close(found, own(VALUES.bfloat16().float(), MASK))
