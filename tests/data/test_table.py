import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from small_data import make_table
from tonggan.errors import DataError


@pytest.fixture
def table(tmp_path):
    columns = {"number": list(range(2500)), "name": [None if row % 7 == 0 else f"row {row}" for row in range(2500)]}
    return make_table(tmp_path, columns, batch_size=1000)


def test_values_come_in_the_order_asked_for_across_batches(table):
    rows = np.array([2498, 0, 1000, 999, 1000, 7])
    assert table.values("number", rows) == rows.tolist()
    assert table.values("name", rows) == ["row 2498", None, "row 1000", "row 999", "row 1000", None]
    assert table.values("number", np.array([], dtype=np.int64)) == []
    assert table.values("number") == list(range(2500))


def test_iterate_covers_all_rows_once(table):
    batches = list(table.iterate("number", batch_size=300))
    assert max(map(len, batches)) == 300
    assert min(map(len, batches)) > 0
    assert [value for batch in batches for value in batch] == list(range(2500))


def test_select_is_a_view_and_nests(table):
    even = table.select(np.arange(0, 2500, 2))
    assert len(even) == 1250
    assert even.values("number", np.array([1249, 1])) == [2498, 2]
    nested = even.select(np.array([600, 3]))
    assert nested.values("number") == [1200, 6]
    assert [len(batch) for batch in even.iterate("number", batch_size=1000)] == [1000, 250]
    assert len({table.fingerprint, even.fingerprint, nested.fingerprint}) == 3
    assert table.select(np.arange(0, 2500, 2)).fingerprint == even.fingerprint
    assert len(table) == 2500


def test_a_column_may_be_called_otherwise(table):
    renamed = table.select(np.array([3, 2000])).renamed("name", "called")
    assert renamed.names == ["number", "called"]
    assert renamed.values("called") == ["row 3", "row 2000"]
    assert renamed.with_absent(["more"]).values("more") == [None, None]
    assert table.names == ["number", "name"]


def test_a_wrong_name_is_answered_with_the_nearest(table):
    with pytest.raises(DataError, match=r"got no column 'Nam', expected one of 'number', 'name'.*nearest is 'name'"):
        table.values("Nam")
    for call in (table.require, table.column_type, lambda name: list(table.iterate(name))):
        with pytest.raises(DataError, match="no column 'zzz'"):
            call("zzz")


def test_reading_from_several_threads(table):
    rows = [np.random.default_rng(seed).integers(0, 2500, 256) for seed in range(64)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda some: table.values("number", some), rows)) == [some.tolist() for some in rows]


def test_a_training_batch_is_looked_up_in_milliseconds(tmp_path):
    paths = [f"pictures/{row:06d}.png" for row in range(200_000)]
    table = make_table(tmp_path, {"path": paths}, batch_size=32_768)
    rows = np.random.default_rng(0).integers(0, len(table), 256)
    seconds = []
    for _ in range(20):
        start = time.process_time()
        values = table.values("path", rows)
        seconds.append(time.process_time() - start)
    assert values == [paths[row] for row in rows]
    assert min(seconds) < 0.02  # of a core, about 0.3 ms
