"""Table cells: standardization against NumPy, categories by frequency, absence, saving."""

from __future__ import annotations

import json
import math

import numpy as np
import torch

from contracts import check_config, check_modality
from tonggan.modalities.table import CategoryConfig, NumberConfig, TableConfig, TableRow

CONFIG = TableConfig(columns={"age": NumberConfig(), "town": CategoryConfig(max_categories=2, min_rows=1)})


def fitted() -> TableRow:
    table = CONFIG.build()
    table.fit({"age": [1, "2", 3.0, None, "n/a", math.nan, math.inf], "town": ["b", "a", "b", "c", "a", "b", None, ""]})
    return table


def test_numbers_are_standardized_as_numpy_does() -> None:
    numbers = np.random.default_rng(0).normal(1e6, 3.0, 20_000)
    table = TableConfig(columns={"x": NumberConfig()}).build()
    table.fit({"x": iter(numbers.tolist())})
    mean, deviation = table.state()["scales"]["x"]
    np.testing.assert_allclose([mean, deviation], [numbers.mean(), numbers.std()], rtol=1e-9)
    expected = (numbers[:5] - numbers.mean()) / numbers.std()
    np.testing.assert_allclose(table.collate([{"x": x} for x in numbers[:5]]).values[:, 0], expected, rtol=1e-4)


def test_cells_of_a_batch() -> None:
    deviation = math.sqrt(2 / 3)
    arrays = fitted().collate([{"age": 3, "town": "b"}, {"age": "1", "town": " a "}, {"age": 2, "town": "new"}])
    expected = [[1 / deviation, 1], [-1 / deviation, 2], [0, 0]]
    torch.testing.assert_close(arrays.values, torch.tensor(expected))
    assert arrays.mask.all()


def test_what_is_missing_is_absent() -> None:
    rows = [{"age": None, "town": None}, {"age": math.nan, "town": ""}, {"age": "old", "town": math.nan}, {}, None]
    arrays = fitted().collate(rows)
    assert arrays.values.dtype == torch.float32
    assert not arrays.mask.any()
    assert (arrays.values == 0).all()


def test_one_mistyped_cell_leaves_the_others_as_they_were() -> None:
    numbers = np.random.default_rng(0).random(400)
    table = TableConfig(columns={"x": NumberConfig()}).build()
    table.fit({"x": [*numbers.tolist(), 1e30]})
    values = table.collate([{"x": x} for x in [*numbers, 1e30, -1e149, 1e6]]).values[:, 0]
    torch.testing.assert_close(values[:400], torch.from_numpy((numbers - numbers.mean()) / numbers.std()).float())
    assert 10 < values[402] < values[400] < 100
    assert -1000 < values[401] < -values[400]


def test_a_model_that_learned_from_clipped_numbers_reads_them_so() -> None:
    state = {"scales": {"age": [0.0, 1.0]}, "categories": {"town": []}}
    assert TableRow.load(CONFIG, state).collate([{"age": 1e30}, {"age": 5}]).values[:, 0].tolist() == [10, 5]


def test_integers_and_floats_of_one_number_are_one_category() -> None:
    table = TableConfig(columns={"zip": CategoryConfig()}).build()
    table.fit({"zip": [3.0, 3, "3", 4, "4.0"]})
    assert table.sizes == [3]
    assert table.collate([{"zip": 3}, {"zip": 3.0}, {"zip": "3"}]).values[:, 0].tolist() == [1, 1, 1]


def test_a_constant_or_empty_column_stays_finite() -> None:
    table = TableConfig(columns={"same": NumberConfig(), "none": NumberConfig()}).build()
    table.fit({"same": [5, 5], "none": [None, "?"]})
    arrays = table.collate([{"same": 5, "none": 1}])
    assert arrays.values.tolist() == [[0, 1]]


def test_columns_and_categories() -> None:
    table = fitted()
    assert table.cells == ["age", "town"]
    assert table.columns("table") == CONFIG.columns
    assert (table.sizes, table.token_of, table.positions) == ([0, 3], [0, 1], [[0], [1]])
    assert table.state()["categories"] == {"town": ["b", "a"]}


def test_saved_and_loaded_through_json_is_equal() -> None:
    table = fitted()
    loaded = TableRow.load(CONFIG, json.loads(json.dumps(table.state())))
    items = [{"age": 2.5, "town": "a"}, {"town": "z"}]
    assert torch.equal(loaded.collate(items).values, table.collate(items).values)
    assert torch.equal(loaded.collate(items).mask, table.collate(items).mask)


def test_any_number_of_cells_is_hidden() -> None:
    columns = {"age": NumberConfig(), "town": CategoryConfig(), "pet": CategoryConfig()}
    table = TableConfig(columns=columns).build()
    table.fit({"age": [1, 2], "town": ["a", "a"], "pet": ["cat", "cat"]})
    arrays = table.collate([{"age": 2, "town": "a", "pet": "cat"}] * 20_000)
    generator = torch.Generator().manual_seed(0)
    hidden = table.hide(arrays, torch.ones(20_000, dtype=torch.bool), generator)
    absent, unseen = ~hidden.mask, hidden.mask & (hidden.values == 0)
    # 0 to 3 cells, each as often; half of the categories absent, the other half as if never seen.
    counts = torch.bincount((absent | unseen).sum(dim=1)) / 20_000
    torch.testing.assert_close(counts, torch.full((4,), 0.25), atol=0.01, rtol=0)
    torch.testing.assert_close(absent.float().mean(dim=0), torch.tensor([0.5, 0.25, 0.25]), atol=0.01, rtol=0)
    torch.testing.assert_close(unseen.float().mean(dim=0), torch.tensor([0.0, 0.25, 0.25]), atol=0.01, rtol=0)
    assert table.hide(arrays, torch.zeros(20_000, dtype=torch.bool), generator).mask.all()


def test_rare_names_are_one_with_those_never_seen() -> None:
    table = TableConfig(columns={"town": CategoryConfig(), "pet": CategoryConfig(min_rows=3)}).build()
    table.fit({"town": ["a", "b", "a", "c", "b"], "pet": ["cat", "dog", "cat", "dog", "cat"]})
    assert table.sizes == [3, 2]
    rows = [{"town": "a", "pet": "cat"}, {"town": "c", "pet": "dog"}, {"town": "new", "pet": "new"}]
    arrays = table.collate(rows)
    assert arrays.mask.all()
    assert arrays.values.tolist() == [[1, 1], [0, 0], [0, 0]]


def test_what_is_declared_missing_is_absent() -> None:
    table = TableConfig(columns={"town": CategoryConfig(missing=["n/a"])}).build()
    table.fit({"town": ["a", "N/A", "a", "n/a"]})
    assert table.collate([{"town": "a"}, {"town": " n/A "}]).mask.tolist() == [[True], [False]]


def test_the_same_model_reads_numbers_of_another_writing() -> None:
    table = fitted()
    other = table.reading({"age": NumberConfig(decimal="comma"), "price": NumberConfig()})
    assert other.cells == table.cells
    assert other.columns("table")["age"].decimal == "comma"
    assert table.columns("table") == CONFIG.columns
    torch.testing.assert_close(
        other.collate([{"age": "2,5", "town": "a"}]).values, table.collate([{"age": 2.5, "town": "a"}]).values
    )
    assert not table.collate([{"age": "2,5"}]).mask.any()


def test_contract() -> None:
    columns = {"age": [1, "2", None, 4.5, math.nan], "town": ["b", "a", "b", None, ""]}
    check_modality(CONFIG.build(), "table", columns)


def test_the_cells_of_a_row_are_gathered_and_shown_by_column() -> None:
    columns = {"town": ["b", "a"], "age": [1, None], "price": [9, 9]}
    read = []

    def values(column: str) -> list[object]:
        read.append(column)
        return columns[column]

    items = fitted().gather("table", values)
    assert items == [{"age": 1, "town": "b"}, {"age": None, "town": "a"}]
    assert read == ["age", "town"]
    shown = [(cell.name, cell.kind, cell.content) for cell in fitted().show("table", items[1])]
    assert shown == [("age", "text", None), ("town", "text", "a")]


def test_config() -> None:
    check_config(CONFIG)
