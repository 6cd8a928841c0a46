from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from tonggan.data.dataset import ColumnSource, Dataset, TargetSource
from tonggan.data.readers import open_table
from tonggan.decoders import TARGET
from tonggan.decoders.base import Context
from tonggan.evaluation.permutation import _shares_told, column_importance
from tonggan.modalities.table import CategoryConfig, NumberConfig, TableConfig
from tonggan.models.fused import FusedModel
from tonggan.tasks import Binary, BinaryConfig
from tonggan.tokens import Arrays, Prediction, Tokens


class Weighted(nn.Module):
    """Cells times weights, one token each."""

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def forward(self, arrays: Arrays) -> Tokens:
        return Tokens((arrays.values * self.weights).unsqueeze(-1), arrays.mask)


class Only(nn.Module):
    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        return Tokens.concat(list(tokens.values()))


class Sum(nn.Module):
    def forward(self, context: Context, _targets: Mapping[str, Arrays] | None = None) -> Prediction:
        tokens = context.tokens
        return Prediction({"outputs": tokens.values.masked_fill(~tokens.mask.unsqueeze(-1), 0).sum(dim=1)})


@pytest.fixture
def case(tmp_path):
    """A target that the column "main" decides, a little of "minor" that never does, and "unread"."""
    random = np.random.default_rng(0)
    columns = {name: random.choice([-1.0, 1.0], 3000) for name in ("minor", "main", "unread")}
    answers = np.where(columns["main"] > 0, "yes", "no")
    table = open_table(pa.table({**columns, "answer": answers}), cache=tmp_path)
    modality = TableConfig(columns=dict.fromkeys(columns, NumberConfig())).build()
    modality.fit({name: table.values(name) for name in columns})
    task = Binary(BinaryConfig())
    task.fit(["no", "yes"])
    target = TargetSource(task.target, table, {"answer": CategoryConfig()})
    dataset = Dataset({"table": ColumnSource(modality, table, "table")}, np.arange(3000), {TARGET: target})
    return FusedModel({"table": Weighted([0.3, 1.0, 0.0])}, fusion=Only(), head=Sum()), task, dataset


def importance(case, **options):
    model, task, dataset = case
    given = {"seed": 0, "batch_size": 64, "progress": None} | options
    return column_importance(model, task, dataset, **given)


def test_the_column_that_decides_comes_first_and_others_cost_nothing(case):
    found = importance(case)["table"]
    assert found[0].column == "main"
    by_name = {column.column: column for column in found}
    # Half of the values of another row are the same.
    assert by_name["main"].importance == pytest.approx(0.5, abs=0.04)
    low, high = by_name["main"].interval
    assert low < by_name["main"].importance < high
    assert high - low < 0.1
    for name in ("minor", "unread"):
        assert (by_name[name].importance, by_name[name].interval) == (0.0, (0.0, 0.0))


def test_same_seed_same_numbers_whatever_the_batches(case):
    assert importance(case) == importance(case, batch_size=500)
    assert importance(case, seed=1) != importance(case)


def test_a_model_without_a_table_has_no_columns(make_mixed):
    mixed = make_mixed()
    model = FusedModel({}, fusion=Only(), head=Sum())
    assert column_importance(model, mixed.task, mixed.dataset, seed=0, batch_size=8, progress=None) == {}


def test_of_more_columns_than_there_can_be_passes_those_that_the_model_goes_by_are_tried(case, monkeypatch):
    monkeypatch.setattr(Binary, "max_audited_passes", 200)  # two columns of a hundred rows
    assert {column.column for column in importance(case)["table"]} == {"main", "minor"}


def test_a_category_is_one_of_them_by_its_names():
    generator = np.random.default_rng(0)
    outputs = generator.normal(size=(300, 1))
    names = np.digitize(outputs[:, 0], [-1, 0, 1])  # of which 1 and 3 go up, 0 and 2 go down
    cells = np.stack([(names * 7) % 4, generator.integers(0, 200, 300), generator.normal(size=300)], axis=1)
    told = _shares_told(cells.astype(float), np.array([5, 201, 0]), outputs)
    assert told[0] > 0.7
    assert told[1:].max() < 0.15


def test_when_it_is_enough_the_columns_so_far_are_told(case):
    asked = iter(range(100))
    found = importance(case, batch_size=500, enough=lambda: next(asked) >= 1)["table"]
    assert {column.column for column in found} == {"minor", "main"}
    assert all(column.interval is None for column in found)
    asked = iter(range(100))
    most = importance(case, batch_size=500, enough=lambda: next(asked) >= 4)["table"]
    assert len(most) == 3
    assert {column.importance for column in most} != {column.importance for column in importance(case)["table"]}
