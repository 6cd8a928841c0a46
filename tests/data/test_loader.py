"""Loaders: order and variation repeat from any batch on, and no thread outlives its epoch."""

import gc
import io
import tarfile
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from small_data import make_table, number_target, png
from tonggan.data.cache import DecodeCache
from tonggan.data.dataset import ColumnSource, Dataset, MediaSource
from tonggan.data.loader import Loader
from tonggan.data.readers import open_table
from tonggan.data.scan import scan_media
from tonggan.modalities.image import ImageAugment, ImageConfig
from tonggan.modalities.table import NumberConfig, TableConfig
from tonggan.progress import Progress
from tonggan.training.world import World

NUM_ROWS = 23


@pytest.fixture
def dataset(tmp_path):
    pictures = [png(10 * row, 0, 0) for row in range(NUM_ROWS)]
    table = make_table(tmp_path, {"picture": pictures, "target": list(range(NUM_ROWS))})
    image = ImageConfig(size=8, augment=ImageAugment(brightness=0.5)).build()
    cache = DecodeCache(tmp_path / "cache", image)
    column = scan_media(table, "picture", image, cache, progress=Progress())
    inputs = {"picture": MediaSource(image, column, cache)}
    return Dataset(inputs, np.arange(NUM_ROWS), {"target": number_target(table, "target")})


class FailingDataset(Dataset):
    """Fails at one row."""

    def batch(self, positions):
        if 10 in positions:
            raise ValueError("row 10 is broken")
        return super().batch(positions)


def loader_threads() -> list:
    return [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def assert_same_batches(one: list, other: list) -> None:
    assert len(one) == len(other) > 0
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left.rows, right.rows)
        assert torch.equal(left.targets["target"].values, right.targets["target"].values)
        assert torch.equal(left.targets["target"].values.long(), left.rows)
        assert torch.equal(left.inputs["picture"].values, right.inputs["picture"].values)


def test_own_order_without_shuffling(dataset):
    loader = Loader(dataset, batch_size=5)
    batches = list(loader.epoch(0))
    assert torch.cat([batch.rows for batch in batches]).tolist() == list(range(NUM_ROWS))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    assert len(loader) == 5
    assert int(batches[0].inputs["picture"].values[3].max()) == 30, "what is not shuffled is not varied"


def test_the_short_last_batch_can_be_left_out(dataset):
    loader = Loader(dataset, batch_size=5, drop_last=True)
    assert [len(batch) for batch in loader.epoch(0)] == [5] * 4
    assert len(loader) == 4
    assert len(Loader(dataset, batch_size=23, drop_last=True)) == 1


def test_every_row_once_in_an_order_of_seed_and_epoch(dataset):
    def rows(seed, epoch):
        loader = Loader(dataset, batch_size=4, seed=seed, shuffle=True)
        return torch.cat([batch.rows for batch in loader.epoch(epoch)]).tolist()

    orders = [rows(0, 0), rows(0, 1), rows(1, 0)]
    assert all(sorted(order) == list(range(NUM_ROWS)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert rows(0, 0) == orders[0]


@pytest.mark.parametrize("start", [1, 3, 5])
@pytest.mark.parametrize("prefetch", [0, 2, 50])
def test_from_any_batch_on_the_same(dataset, start, prefetch):
    whole = list(Loader(dataset, batch_size=4, seed=3, shuffle=True).epoch(2))
    rest = list(Loader(dataset, batch_size=4, seed=3, shuffle=True, prefetch=prefetch).epoch(2, start=start))
    assert_same_batches(rest, whole[start:])


def test_nothing_is_left_after_the_last_batch(dataset):
    assert list(Loader(dataset, batch_size=4, shuffle=True).epoch(0, start=6)) == []


def test_the_thread_ends_with_an_early_exit(dataset):
    for batch in Loader(dataset, batch_size=2).epoch(0):
        assert len(batch) == 2
        assert len(loader_threads()) == 1
        break
    gc.collect()
    assert loader_threads() == []


def test_the_thread_ends_with_an_error_of_the_consumer(dataset):
    batches = Loader(dataset, batch_size=2).epoch(0)

    def consume():
        for _ in batches:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    batches.close()
    assert loader_threads() == []


def test_an_error_comes_in_the_place_of_its_batch(dataset):
    failing = FailingDataset(dataset.inputs, dataset.rows, dataset.targets)
    batches = Loader(failing, batch_size=4, prefetch=4).epoch(0)
    assert [next(batches).rows[0].item() for _ in range(2)] == [0, 4]
    with pytest.raises(ValueError, match="row 10 is broken"):
        next(batches)
    assert loader_threads() == []


def test_an_epoch_that_is_never_begun_starts_no_thread(dataset):
    epoch = Loader(dataset, batch_size=2).epoch(0)
    assert loader_threads() == []
    epoch.close()


def test_batches_are_made_ahead_but_not_without_bound(dataset):
    made = []

    class Recording(Dataset):
        def batch(self, positions):
            made.append(positions[0])
            return super().batch(positions)

    epoch = Loader(Recording(dataset.inputs, dataset.rows), batch_size=1, prefetch=3).epoch(0)
    next(epoch)
    epoch.close()
    assert len(made) <= 4


def test_rows_of_a_group_come_together_in_random_order(dataset):
    groups = np.arange(NUM_ROWS) % 5
    loader = Loader(replace(dataset, groups=groups), batch_size=NUM_ROWS, seed=3, shuffle=True)
    orders = [next(iter(loader.epoch(number))).rows.numpy() for number in range(2)]
    for order in orders:
        assert sorted(order) == list(range(NUM_ROWS))
        assert np.count_nonzero(np.diff(groups[order])) == 4
    assert groups[orders[0]].tolist() != groups[orders[1]].tolist()
    assert orders[0].tolist() == next(iter(loader.epoch(0))).rows.tolist()


def test_a_share_of_the_rows_comes_again_with_cells_hidden(tmp_path):
    table = make_table(tmp_path, {"age": list(range(40))})
    cells = TableConfig(columns={"age": NumberConfig()}).build()
    cells.fit({"age": range(40)})
    inputs = {"table": ColumnSource(cells, table, "table")}
    dataset = Dataset(inputs, np.arange(40), {"target": number_target(table, "age")})
    loader = Loader(dataset, batch_size=8, shuffle=True, hidden_cells=0.25)
    first, second = (list(loader.epoch(epoch)) for epoch in (0, 1))
    assert len(loader) == len(first) == 7
    again = []
    for batches in (first, second):
        rows = torch.cat([batch.rows for batch in batches])
        present = torch.cat([batch.inputs["table"].mask[:, 0] for batch in batches])
        assert torch.equal(rows, torch.cat([batch.targets["target"].values.long() for batch in batches]))
        assert set(rows[present].tolist()) == set(range(40)), "each row comes whole once"
        again.append({row for row in range(40) if (rows == row).sum() == 2})
        assert 0 < (~present).sum() < 10
    assert len(again[0]) == len(again[1]) == 10
    assert again[0] != again[1]
    for batch, same in zip(first[3:], loader.epoch(0, start=3), strict=True):
        assert torch.equal(batch.rows, same.rows)
        assert torch.equal(batch.inputs["table"].mask, same.inputs["table"].mask)
    assert len(Loader(dataset, batch_size=8, hidden_cells=0.25)) == 5


@pytest.mark.parametrize(("num_rows", "again"), [(40, 10), (500, 125), (2_000, 125), (10_000, 500)])
def test_of_many_rows_a_smaller_share_comes_again(tmp_path, num_rows, again):
    table = make_table(tmp_path, {"age": [1, 2]})
    cells = TableConfig(columns={"age": NumberConfig()}).build()
    dataset = Dataset({"table": ColumnSource(cells, table, "table")}, np.zeros(num_rows, dtype=np.int64))
    assert Loader(dataset, batch_size=1, shuffle=True, hidden_cells=0.25).num_again == again


@pytest.mark.parametrize("size", [1, 2, 3])
def test_each_row_of_many_shards_comes_once_however_many_read(tmp_path, size):
    """Shards of unequal length, files of equal content among them, read by more threads than there are shards."""
    lengths = [5, 1, 9, 3, 5]
    for shard, length in enumerate(lengths):
        files = [(f"{shard}-{row}.png", png(10 * row, 40 * shard, 0)) for row in range(length)]
        with tarfile.open(tmp_path / f"part-{shard}.tar", "w") as archive:
            for name, content in [*files, (f"{shard}-same.png", png(1, 2, 3))]:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    table = open_table(tmp_path, cache=tmp_path / "cache")
    image = ImageConfig(size=8).build()
    cache = DecodeCache(tmp_path / "cache", image)
    column = scan_media(table, "png", image, cache, progress=Progress(), workers=8)
    whole = Dataset({"picture": MediaSource(image, column, cache)}, np.arange(len(table)))
    processes = [World(rank, size, torch.device("cpu")) for rank in range(size)]
    seen: list[tuple[int, int, int]] = []
    for world in processes:  # each reads all batches, as it would under torchrun
        loader = Loader(whole, batch_size=4, seed=1, shuffle=True)
        for batch in map(world.share, loader.epoch(0)):
            colors = whole.batch(batch.rows.numpy()).inputs["picture"].expand().values[:, :, 0, 0]
            seen += [(row, *color[:2]) for row, color in zip(batch.rows.tolist(), colors.tolist(), strict=True)]
    rows = [(shard, row) for shard, length in enumerate(lengths) for row in range(length + 1)]
    expected = [(1, 2) if row == lengths[shard] else (10 * row, 40 * shard) for shard, row in rows]
    assert sorted(seen) == [(number, *color) for number, color in enumerate(expected)]
