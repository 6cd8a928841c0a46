"""Datasets: rows and positions, absence, targets, variation only with a generator."""

import numpy as np
import pytest
import torch

from small_data import make_table, png
from tonggan.data.cache import DecodeCache
from tonggan.data.dataset import CellSource, Dataset, MediaSource, TextSource
from tonggan.data.scan import scan_media
from tonggan.modalities.image import ImageAugment, ImageConfig
from tonggan.modalities.table import CategoryConfig, NumberConfig, TableConfig
from tonggan.modalities.text import TextConfig
from tonggan.progress import Progress


@pytest.fixture
def dataset(tmp_path):
    table = make_table(
        tmp_path,
        {
            "picture": [png(10, 0, 0), None, png(30, 0, 0), b"bad", png(50, 0, 0)],
            "words": ["red", "green blue", None, "", "blue"],
            "age": ["1", "2", "3", None, "5"],
            "city": ["Rom", "Rom", None, "Bonn", "Rom"],
        },
        batch_size=2,
    )
    image = ImageConfig(size=8, augment=ImageAugment(brightness=0.5)).build()
    cache = DecodeCache(tmp_path / "cache", image)
    text = TextConfig(hidden_words=1e-9).build()
    text.fit(table.values("words"))
    cells = TableConfig(columns={"age": NumberConfig(), "city": CategoryConfig(min_rows=1)}).build()
    cells.fit({name: table.values(name) for name in cells.columns})
    inputs = {
        "picture": MediaSource(image, scan_media(table, "picture", image, cache, progress=Progress()), cache),
        "words": TextSource(text, table, "words"),
        "table": CellSource(cells, table),
    }
    return Dataset(inputs, np.array([4, 3, 1, 0]), torch.tensor([40, 30, 10, 0]))


def test_a_batch_holds_the_rows_at_its_positions(dataset):
    batch = dataset.batch(np.array([3, 0, 1]))
    assert batch.rows.tolist() == [0, 4, 3]
    assert batch.target.tolist() == [0, 40, 30]
    assert batch.inputs["picture"].values[:, 0, 0, 0].tolist()[:2] == [10, 50]
    assert batch.inputs["picture"].mask.tolist() == [True, True, False]
    assert batch.inputs["words"].present.tolist() == [True, True, False]
    assert batch.inputs["table"].mask.tolist() == [[True, True], [True, True], [False, True]]
    assert batch.inputs["table"].values[:, 1].tolist() == [1, 1, 2]


def test_a_part_keeps_row_numbers_and_targets(dataset):
    part = dataset.take(np.array([2, 0]))
    assert len(part) == 2
    batch = part.batch(np.array([0, 1]))
    assert batch.rows.tolist() == [1, 4]
    assert batch.target.tolist() == [10, 40]


def test_without_target(dataset):
    assert Dataset(dataset.inputs, dataset.rows).take(np.array([1])).batch(np.array([0])).target is None


def test_variation_needs_a_generator_and_repeats_with_it(dataset):
    positions = np.array([0, 3])

    def values(seed=None):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return dataset.batch(positions, generator=generator).inputs["picture"].values

    assert torch.equal(values(), values())
    assert torch.equal(values(1), values(1))
    assert not torch.equal(values(1), values())
    assert not torch.equal(values(1), values(2))


def test_rows_and_target_must_match(dataset):
    with pytest.raises(AssertionError, match="differ in length"):
        Dataset(dataset.inputs, dataset.rows, torch.zeros(3))


def test_a_picture_that_rows_share_stands_in_the_batch_once(tmp_path):
    table = make_table(tmp_path, {"picture": [png(10, 0, 0), png(20, 0, 0), png(10, 0, 0), None, png(10, 0, 0)]})
    image = ImageConfig(size=8).build()
    cache = DecodeCache(tmp_path / "cache", image)
    column = scan_media(table, "picture", image, cache, progress=Progress())
    dataset = Dataset({"picture": MediaSource(image, column, cache)}, np.arange(5))
    arrays = dataset.batch(np.arange(5)).inputs["picture"]
    assert len(arrays) == 3
    whole = arrays.expand()
    assert whole.values[:, 0, 0, 0].tolist() == [10, 20, 10, 0, 10]
    assert whole.present.tolist() == [True, True, True, False, True]
    assert dataset.batch(np.array([0, 1])).inputs["picture"].index is None
    varied = dataset.batch(np.arange(5), generator=torch.Generator().manual_seed(0)).inputs["picture"]
    assert varied.index is not None


def test_auxiliary_targets_follow_the_positions(dataset):
    further = Dataset(dataset.inputs, dataset.rows, dataset.target, auxiliary={"more": torch.tensor([4, 3, 1, 0])})
    assert further.batch(np.array([3, 0])).auxiliary["more"].tolist() == [0, 4]
    assert further.take(np.array([2])).batch(np.array([0])).auxiliary["more"].tolist() == [1]


def test_cells_of_chosen_rows_are_hidden(dataset):
    inputs = dataset.batch(np.arange(4)).inputs
    whole, texts = inputs["table"], inputs["words"]
    hidden = np.array([True, False, True, False])
    losses = losses_of_words = 0
    for seed in range(20):
        batch = dataset.batch(np.arange(4), generator=torch.Generator().manual_seed(seed), hidden=hidden)
        cells = batch.inputs["table"]
        assert torch.equal(cells.mask[1::2], whole.mask[1::2])
        assert torch.equal(cells.values[1::2], whole.values[1::2])
        losses += int((whole.mask & ~cells.mask)[0].sum())
        words = batch.inputs["words"]
        assert torch.equal(words.mask[1::2], texts.mask[1::2])
        losses_of_words += int((texts.mask & ~words.mask)[0].sum())
    assert losses > 5
    assert losses_of_words > 5
    assert dataset.has_cells
    assert not Dataset({"words": dataset.inputs["words"]}, dataset.rows).has_cells
