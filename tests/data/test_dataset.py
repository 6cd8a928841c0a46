"""Datasets: rows and positions, absence, targets, variation only with a generator, and what follows a picture."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from small_data import make_table, number_target, png
from tonggan.config import Config
from tonggan.data.cache import DecodeCache
from tonggan.data.dataset import ColumnSource, Dataset, MediaSource, TargetSource
from tonggan.data.scan import scan_media
from tonggan.modalities import Modality, MultilabelConfig
from tonggan.modalities.image import ImageAugment, ImageConfig
from tonggan.modalities.table import CategoryConfig, NumberConfig, TableConfig
from tonggan.modalities.text import TextConfig
from tonggan.progress import Progress
from tonggan.tasks import RegressConfig, TagConfig
from tonggan.tokens import Arrays


@pytest.fixture
def dataset(tmp_path):
    table = make_table(
        tmp_path,
        {
            "picture": [png(10, 0, 0), None, png(30, 0, 0), b"bad", png(50, 0, 0)],
            "words": ["red", "green blue", None, "", "blue"],
            "age": ["1", "2", "3", None, "5"],
            "city": ["Rom", "Rom", None, "Bonn", "Rom"],
            "target": [0, 10, 20, 30, 40],
            "tags": ["a, b", "-", "b", "a", "b"],
        },
        batch_size=2,
    )
    image = ImageConfig(size=8, augment=ImageAugment(brightness=0.5)).build()
    cache = DecodeCache(tmp_path / "cache", image)
    text = TextConfig(hidden_words=1e-9).build()
    text.fit(table.values("words"))
    cells = TableConfig(columns={"age": NumberConfig(), "city": CategoryConfig(min_rows=1)}).build()
    cells.fit({name: table.values(name) for name in cells.cells})
    inputs = {
        "picture": MediaSource(image, scan_media(table, "picture", image, cache, progress=Progress()), cache),
        "words": ColumnSource(text, table, "words"),
        "table": ColumnSource(cells, table, "table"),
    }
    return Dataset(inputs, np.array([4, 3, 1, 0]), {"target": number_target(table, "target")})


def test_a_batch_holds_the_rows_at_its_positions(dataset):
    batch = dataset.batch(np.array([3, 0, 1]))
    assert batch.rows.tolist() == [0, 4, 3]
    assert batch.targets["target"].values.tolist() == [0, 40, 30]
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
    assert batch.targets["target"].values.tolist() == [10, 40]


def test_without_target(dataset):
    assert not Dataset(dataset.inputs, dataset.rows).take(np.array([1])).batch(np.array([0])).targets


def test_variation_needs_a_generator_and_repeats_with_it(dataset):
    positions = np.array([0, 3])

    def values(seed=None):
        batch = dataset.batch(positions)
        if seed is not None:
            varied = dataset.vary(batch, torch.Generator().manual_seed(seed))
            assert torch.equal(varied.rows, batch.rows)
            assert varied.targets == batch.targets, "what follows no picture stays"
            batch = varied
        return batch.inputs["picture"].values

    assert torch.equal(values(), values())
    assert torch.equal(values(1), values(1))
    assert not torch.equal(values(1), values())
    assert not torch.equal(values(1), values(2))


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
    varied = dataset.vary(dataset.batch(np.arange(5)), torch.Generator().manual_seed(0)).inputs["picture"]
    assert varied.index is not None


def test_further_targets_follow_the_positions(dataset):
    table = dataset.targets["target"].table
    further = replace(dataset, targets={**dataset.targets, "more": number_target(table, "age")})
    assert further.batch(np.array([3, 0])).targets["more"].values.tolist() == [1, 5]
    batch = further.take(np.array([2])).batch(np.array([0]))
    assert batch.targets["more"].values.tolist() == [2]
    assert batch.targets["target"].values.tolist() == [10]


def test_targets_are_read_as_their_columns_are_written(dataset):
    table = dataset.targets["target"].table
    task = TagConfig(separator=",").build()
    task.fit([["a", "b"], ["b"]])
    source = TargetSource(task.target, table, {"tags": MultilabelConfig(separator=",")})
    assert list(source.items(np.array([0, 2]))) == ["a, b", "b"]
    assert source.collate(np.array([3, 0])).values.tolist() == [[1, 0], [1, 1]]
    numbers = RegressConfig().build()
    both = {"age": NumberConfig(), "target": NumberConfig()}
    several = TargetSource(numbers.target, table, both)
    rows = np.array([4, 1])
    assert several.items(rows) == [{"age": 5, "target": 40}, {"age": 2, "target": 10}]
    numbers.fit(several.stream(rows))
    assert numbers.labels == ["age", "target"]
    assert several.collate(rows).values.tolist() == [[1, 1], [-1, -1]]


def test_cells_of_chosen_rows_are_hidden(dataset):
    inputs = dataset.batch(np.arange(4)).inputs
    whole, texts = inputs["table"], inputs["words"]
    hidden = np.array([True, False, True, False])
    losses = losses_of_words = 0
    for seed in range(20):
        batch = dataset.vary(dataset.batch(np.arange(4)), torch.Generator().manual_seed(seed), hidden=hidden)
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


class Marks(Modality[Config]):
    """Boxes ``[B, N, 4]`` around marks in the pictures of the input ``picture``."""

    kind = "marks"
    follows = "picture"

    def collate(self, items):
        longest = max([1, *(len(boxes) for boxes in items)])
        values, mask = torch.zeros(len(items), longest, 4), torch.zeros(len(items), longest, dtype=torch.bool)
        for row, boxes in enumerate(items):
            for place, box in enumerate(boxes):
                values[row, place], mask[row, place] = torch.tensor(box), True
        return Arrays(values, mask)

    def fitted(self, arrays, extent):
        """Pictures were squashed to 32 pixels."""
        factor = 32 / extent.clamp(min=1).flip(1).repeat(1, 2)
        seen = (extent > 0).all(dim=1, keepdim=True)
        return Arrays(arrays.values * factor.unsqueeze(1), arrays.mask & seen)

    def follow(self, arrays, movement):
        return Arrays(*movement.boxes(arrays.values, arrays.mask))


class MarkSource(TargetSource):
    """The boxes of ``BOXES`` by row."""

    def items(self, rows):
        return [BOXES[row] for row in rows]


# In pixels of pictures 64 wide and 32 high; rows 0 and 2 show the same picture, row 3 none.
BOXES = [[(8.0, 4.0, 24.0, 20.0)], [(40.0, 16.0, 56.0, 24.0)], [(8.0, 4.0, 24.0, 20.0)], [(8.0, 4.0, 24.0, 20.0)]]


def marked(*box):
    """A black picture, white in the box."""
    pixels = np.zeros((32, 64, 3), dtype=np.uint8)
    left, top, right, bottom = map(int, box)
    pixels[top:bottom, left:right] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def marks(tmp_path):
    """Builds the data set of marked pictures, varied as told."""

    def build(augment):
        pictures = [marked(*BOXES[0][0]), marked(*BOXES[1][0]), marked(*BOXES[2][0]), None]
        table = make_table(tmp_path, {"picture": pictures})
        image = ImageConfig(size=32, augment=augment).build()
        cache = DecodeCache(tmp_path / "cache", image)
        column = scan_media(table, "picture", image, cache, progress=Progress())
        targets = {"target": MarkSource(Marks(Config()), table, {})}
        return Dataset({"picture": MediaSource(image, column, cache)}, np.arange(4), targets)

    return build


def bright(picture):
    """[4]: the box around the white pixels of a picture ``[3, S, S]``."""
    rows, columns = (picture[0] > 127).nonzero(as_tuple=True)
    return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


def test_targets_are_fitted_as_the_pictures_that_they_follow(marks):
    batch = marks(None).batch(np.arange(4))
    pictures, boxes = batch.inputs["picture"].expand(), batch.targets["target"]
    assert pictures.extent.tolist() == [[32, 64], [32, 64], [32, 64], [0, 0]]
    assert boxes.values[0, 0].tolist() == [4, 4, 12, 20], "half as wide"
    assert boxes.present.tolist() == [True, True, True, False], "there is no box in a picture that is not there"
    for row in range(3):
        assert torch.equal(boxes.values[row, 0], bright(pictures.values[row]))


@pytest.mark.parametrize(
    "augment",
    [
        ImageAugment(shift=0, flip=True),
        ImageAugment(shift=0, flip=True, flip_vertical=True, turn=True),
        ImageAugment(shift=0.2),
        ImageAugment(shift=0.1, scale=0.3, turn=True, brightness=0.3),
    ],
)
def test_boxes_follow_their_pictures_when_these_are_varied(marks, augment):
    dataset = marks(augment)
    batch = dataset.batch(np.arange(4))
    assert batch.inputs["picture"].index is not None
    moved = alike = 0
    for seed in range(10):
        varied = dataset.vary(batch, torch.Generator().manual_seed(seed))
        pictures, boxes = varied.inputs["picture"], varied.targets["target"]
        assert pictures.index is None, "rows that share a picture are varied apart, for each has boxes of its own"
        assert len(pictures) == 4
        assert boxes.present.tolist() == [True, True, True, False]
        for row in range(3):
            box = boxes.values[row, 0]
            torch.testing.assert_close(box, bright(pictures.values[row]), atol=1.0, rtol=0)
            moved += int(not torch.equal(box, batch.targets["target"].values[row, 0]))
        alike += int(torch.equal(pictures.values[0], pictures.values[2]))
        again = dataset.vary(batch, torch.Generator().manual_seed(seed))
        assert torch.equal(again.inputs["picture"].values, pictures.values)
        assert torch.equal(again.targets["target"].values, boxes.values)
    assert moved > 5
    assert alike < 10


def test_boxes_stay_where_pictures_only_change_their_light(marks):
    for augment in (None, ImageAugment(shift=0, brightness=0.5, cutout=0.2)):
        dataset = marks(augment)
        batch = dataset.batch(np.arange(4))
        varied = dataset.vary(batch, torch.Generator().manual_seed(0))
        assert torch.equal(varied.targets["target"].values, batch.targets["target"].values)
        assert torch.equal(varied.targets["target"].mask, batch.targets["target"].mask)


def test_a_mosaic_takes_the_boxes_of_all_its_pictures(marks):
    dataset = marks(ImageAugment(shift=0, mosaic=1))
    batch = dataset.batch(np.arange(4))
    most = 0
    for seed in range(20):
        varied = dataset.vary(batch, torch.Generator().manual_seed(seed))
        pictures, boxes = varied.inputs["picture"], varied.targets["target"]
        assert torch.equal(pictures.present, batch.inputs["picture"].expand().present)
        assert not boxes.present[3], "a picture that is not there shows nothing of the others"
        assert not pictures.values[3].any()
        most = max(most, int(boxes.mask.sum(dim=1).max()))
        for row in range(3):
            for left, top, right, bottom in boxes.values[row][boxes.mask[row]].tolist():
                middle = pictures.values[row, 0, int((top + bottom) / 2), int((left + right) / 2)]
                assert middle > 127, "in the middle of a box is what it is around"
    assert most >= 3
