"""The metrics are compared with scikit-learn's on the pixels one by one."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

from contracts import check_measure
from tonggan.modalities.regions import UNLABELED
from tonggan.tasks.measure import Measure
from tonggan.tasks.region_measure import confusion, measure_regions

NAMES = ["background", "cell", "nucleus", "never"]


def random_scene(seed, num_classes, *, pictures=9):
    """Class numbers said and true, of pictures of different sizes, with pixels of which nothing is known."""
    generator = torch.Generator().manual_seed(seed)
    said, true = [], []
    for picture in range(pictures):
        size = (8 + picture, 20 - picture)
        truth = torch.randint(num_classes, size, generator=generator) * (picture % 4 != 3)
        noise = torch.rand(size, generator=generator)
        guess = torch.randint(num_classes, size, generator=generator)
        said.append(torch.where(noise < 0.3, guess, truth))
        true.append(torch.where(noise > 0.9, UNLABELED, truth).to(torch.uint8))
    return said, true


def flat(said, true):
    said, true = torch.cat([each.flatten() for each in said]), torch.cat([each.flatten() for each in true]).long()
    return true[true != UNLABELED].numpy(), said[true != UNLABELED].numpy()


def measured(said, true, num_classes):
    return measure_regions(said, true, labels=NAMES[:num_classes])


@pytest.mark.parametrize("seed", range(3))
def test_two_classes(seed):
    said, true = random_scene(seed, 2)
    metrics = measured(said, true, 2).metrics()
    pixels = flat(said, true)
    assert metrics["iou"] == pytest.approx(jaccard_score(*pixels))
    assert metrics["dice"] == pytest.approx(f1_score(*pixels))
    assert metrics["miou"] == pytest.approx(jaccard_score(*pixels, average="macro"))
    assert metrics["pixel_accuracy"] == pytest.approx(accuracy_score(*pixels))
    each = [flat([one], [other]) for one, other in zip(said, true, strict=True)]
    assert metrics["picture_iou"] == pytest.approx(np.mean([jaccard_score(*pair, zero_division=1.0) for pair in each]))
    assert metrics["picture_dice"] == pytest.approx(np.mean([f1_score(*pair, zero_division=1.0) for pair in each]))
    assert list(metrics) == ["iou", "dice", "miou", "pixel_accuracy", "picture_iou", "picture_dice"]


@pytest.mark.parametrize("seed", range(3))
def test_several_classes_of_which_one_never_occurs(seed):
    said, true = random_scene(seed, 3)
    metrics = measured(said, true, 4).metrics()
    pixels = flat(said, true)
    assert metrics["miou"] == pytest.approx(jaccard_score(*pixels, average="macro"))
    assert metrics["mean_dice"] == pytest.approx(f1_score(*pixels, average="macro"))
    assert metrics["pixel_accuracy"] == pytest.approx(accuracy_score(*pixels))
    each = [flat([one], [other]) for one, other in zip(said, true, strict=True)]
    assert metrics["picture_iou"] == pytest.approx(np.mean([jaccard_score(*pair, average="macro") for pair in each]))
    assert metrics["picture_dice"] == pytest.approx(np.mean([f1_score(*pair, average="macro") for pair in each]))
    own = [metrics[f"iou_{name}"] for name in NAMES[:3]]
    assert own == pytest.approx(jaccard_score(*pixels, average=None).tolist())
    assert "iou_never" not in metrics


def test_the_confusion_of_a_picture():
    said, true = random_scene(0, 3, pictures=1)
    found = confusion(said[0], true[0], num_classes=3)
    assert found.tolist() == confusion_matrix(*flat(said, true)).tolist()
    assert found.dtype == np.int64


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_contract_of_measures(num_classes):
    said, true = random_scene(1, num_classes)
    alone = [measured([one], [other], num_classes) for one, other in zip(said, true, strict=True)]
    check_measure(measured(said, true, num_classes), alone)


def test_a_class_that_only_a_draw_lacks_counts_as_on_all_pictures():
    said = [torch.tensor([[0, 0, 1]]), torch.tensor([[2, 2, 0]])]
    true = [torch.tensor([[0, 1, 1]]), torch.tensor([[2, 2, 2]])]
    measure = measured(said, true, 3)
    assert measure.metrics()["miou"] == pytest.approx((1 / 3 + 1 / 2 + 2 / 3) / 3)
    assert measure.metrics(np.array([2.0, 0.0]))["miou"] == pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3)


def test_the_worst_picture_comes_first():
    true = [torch.tensor([[0, 1], [1, 1]])] * 3 + [torch.zeros(2, 2, dtype=torch.int64)]
    said = [true[0], torch.zeros(2, 2, dtype=torch.int64), torch.tensor([[0, 0], [1, 1]]), true[3]]
    measure = measured(said, true, 2)
    assert measure.badness().tolist() == pytest.approx([0, 1, 1 / 3, 0])
    assert measure.worst(9).tolist() == [1, 2]
    assert measure.differs(measured(true, true, 2)).tolist() == [False, True, True, False]


def test_pictures_without_a_labeled_pixel():
    nothing = [torch.full((2, 2), UNLABELED)]
    said = [torch.zeros(2, 2, dtype=torch.int64)]
    measure = measured(said, nothing, 2)
    assert measure.metrics() == {}
    assert measure.score() == 0.0
    assert measure.badness().tolist() == [0.0]
    assert measure.sections() == []
    assert measure.notes()[0].english == "No pixel of these pictures is labeled."
    both = Measure.cat([measure, measured(*random_scene(0, 2), 2)])
    assert both.metrics() == pytest.approx(measured(*random_scene(0, 2), 2).metrics())


def test_notes_say_why_a_score_is_zero():
    true = [torch.tensor([[0] * 9 + [1]])]
    (flattering, never) = measured([torch.zeros(1, 10, dtype=torch.int64)], true, 2).notes()
    assert flattering.english == "90.0% of the pixels are 'background'; always saying so has that pixel accuracy."
    assert never.english == "No pixel is said to be 'cell': that intersection over union is 0."
    (_, wrong) = measured([torch.tensor([[1] + [0] * 9])], true, 2).notes()
    assert wrong.english.startswith("Pixels are said to be 'cell', but none of them is")
    assert "全都不对" in wrong.chinese


def test_sections_show_classes_and_confusions():
    said, true = random_scene(2, 3)
    by_class, matrix = measured(said, true, 4).sections()
    assert [row[0] for row in by_class.table.rows] == NAMES[:3]
    assert {len(row) for row in by_class.table.rows} == {len(by_class.table.columns)}
    share = confusion_matrix(*flat(said, true), normalize="true")
    assert np.abs(np.array(matrix.matrix.counts)[:3, :3] / 1000 - share).max() <= 5e-4
