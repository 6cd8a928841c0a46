"""Each average is compared with pycocotools, on random pictures with everything that COCO's rules speak of."""

import contextlib
import io

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from contracts import check_measure
from tonggan.evaluation.bootstrap import intervals, resample
from tonggan.tasks.box_measure import measure_boxes
from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays

LABELS = ["red", "white", "platelet", "never"]


def random_scene(seed, *, pictures=12, most=8, extra=6, ties=False, crowds=False):
    """Found [D, 6] and true [G, 6] boxes of each picture; the last class has no objects, some pictures have none."""
    generator = np.random.default_rng(seed)
    scene = []
    for picture in range(pictures):
        count = 0 if picture % 5 == 3 else int(generator.integers(1, most + 1))
        low = generator.integers(0, 80, size=(count, 2))
        true = np.concatenate([low, low + generator.integers(4, 40, size=(count, 2))], axis=1).astype(float)
        labels = generator.integers(3, size=count)
        crowd = (generator.random(count) < 0.2) if crowds else np.zeros(count)
        truth = np.column_stack([true, labels, crowd])
        near = truth[generator.integers(count, size=2 * count)] if count else truth
        near = near[:, :4] + generator.integers(-4, 5, size=(len(near), 4)) * generator.integers(2, size=(len(near), 1))
        near_labels = generator.integers(4, size=len(near))
        if count:
            near_labels[:count] = labels
            near[:count] = true + generator.integers(-3, 4, size=(count, 4))
        far = generator.integers(0, 60, size=(extra, 2)).astype(float)
        far = np.concatenate([far, far + 20], axis=1)
        boxes = np.concatenate([near, far])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        scores = generator.random(len(boxes))
        if ties:
            scores = np.ceil(scores * 4) / 4
        labels = np.concatenate([near_labels, generator.integers(4, size=extra)])
        scene.append((np.column_stack([boxes, scores, labels]), truth))
    return scene


def measured(scene, **options):
    found = [torch.from_numpy(each) for each, _ in scene]
    longest = max(1, *(len(truth) for _, truth in scene))
    values, mask = torch.zeros(len(scene), longest, 6), torch.zeros(len(scene), longest, dtype=torch.bool)
    for row, (_, truth) in enumerate(scene):
        values[row, : len(truth)] = torch.from_numpy(truth)
        mask[row, : len(truth)] = True
    return measure_boxes(found, Arrays(values, mask), labels=LABELS, **{"confidence": 0.5, **options})


def reference(scene, *, limit=100):
    """What pycocotools says: precision [T, R, K] and recall [T, K] of all areas."""

    def annotation(number, picture, x1, y1, x2, y2, label):
        sides = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
        return {"id": number, "image_id": picture, "category_id": int(label), "iscrowd": 0, **sides}

    truth = COCO()
    true = [(picture, row) for picture, (_, rows) in enumerate(scene) for row in rows.tolist()]
    truth.dataset = {
        "info": {},
        "images": [{"id": picture, "height": 200, "width": 200} for picture in range(len(scene))],
        "categories": [{"id": number, "name": name} for number, name in enumerate(LABELS)],
        "annotations": [
            annotation(number, picture, *row[:5]) | {"iscrowd": int(row[5])}
            for number, (picture, row) in enumerate(true, start=1)
        ],
    }
    said = [(picture, row) for picture, (rows, _) in enumerate(scene) for row in rows.tolist()]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        results = [annotation(0, picture, *row[:4], row[5]) | {"score": row[4]} for picture, row in said]
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.params.maxDets = [1, 10, limit]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 2], evaluation.eval["recall"][:, :, 0, 2]


def check_against_reference(metrics, precision, recall):
    occurring = [number for number in range(len(LABELS)) if (precision[:, :, number] > -1).all()]
    assert occurring
    precision, recall = precision[:, :, occurring], recall[:, occurring]
    expected = {
        "map": precision.mean(),
        "map_50": precision[0].mean(),
        "map_75": precision[5].mean(),
        "average_recall": recall.mean(),
        **{f"ap_50_{LABELS[number]}": precision[0, :, place].mean() for place, number in enumerate(occurring)},
    }
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, abs=1e-9), name
    assert {name for name in metrics if name.startswith("ap_50_")} == {name for name in expected if "ap_50_" in name}


@pytest.mark.parametrize("crowds", [False, True])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_averages_are_those_of_pycocotools(seed, ties, crowds):
    scene = random_scene(seed, ties=ties, crowds=crowds)
    metrics = measured(scene).metrics()
    assert 0.02 < metrics["map"] < metrics["map_50"] < 0.95
    check_against_reference(metrics, *reference(scene))


@pytest.mark.parametrize("ties", [False, True])
def test_more_than_a_hundred_boxes(ties):
    scene = random_scene(0, pictures=4, most=90, extra=500, ties=ties)
    assert max(len(found) for found, _ in scene) > 600
    metrics = measured(scene).metrics()
    check_against_reference(metrics, *reference(scene))
    all_of_them = measured(scene, limit=1000).metrics()
    assert all_of_them["average_recall"] > metrics["average_recall"]
    check_against_reference(all_of_them, *reference(scene, limit=1000))


@pytest.mark.parametrize("crowds", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_a_picture_drawn_twice_is_two_pictures(ties, crowds):
    scene = random_scene(1, ties=ties, crowds=crowds)
    counts = np.array([2, 1, 3, 1, 0, 2, 1, 1, 4, 1, 1, 2])
    drawn = [each for each, count in zip(scene, counts, strict=True) for _ in range(count)]
    metrics = measured(scene).metrics(counts.astype(float))
    check_against_reference(metrics, *reference(drawn))
    again = measured(drawn).metrics()
    assert metrics == pytest.approx(again)


def test_a_class_that_only_a_draw_lacks_counts_as_on_all_pictures():
    scene = random_scene(2)
    measure = measured(scene)
    alone = measure.rows["objects"][:, 0] > 0
    metrics = measure.metrics((~alone).astype(float))
    assert metrics["ap_50_red"] == measure.metrics()["ap_50_red"]
    assert metrics["ap_50_white"] != measure.metrics()["ap_50_white"]


def test_the_contract_of_measures():
    scene = random_scene(3, crowds=True)
    check_measure(measured(scene), [measured([each]) for each in scene])


def test_answers_at_the_confidence_by_hand():
    truth = np.array([[0, 0, 10, 10, 0, 0], [20, 20, 30, 30, 1, 0], [50, 50, 90, 90, 0, 1.0]])
    found = np.array(
        [
            [0, 0, 10, 9, 0.9, 0],  # right
            [0, 0, 10, 10, 0.8, 0],  # the same object again
            [20, 20, 30, 30, 0.7, 0],  # the wrong class
            [55, 55, 65, 65, 0.7, 0],  # on a crowd
            [20, 20, 30, 30, 0.4, 1],  # not sure enough
        ]
    )
    nothing = np.zeros((0, 6))
    measure = measured([(found, truth), (nothing, nothing), (nothing, truth[:1])])
    metrics = measure.metrics()
    assert metrics["precision"] == pytest.approx(1 / 3)
    assert metrics["recall"] == pytest.approx(1 / 3)
    assert metrics["f1"] == pytest.approx(1 / 3)
    assert metrics["count_error"] == pytest.approx((1 + 0 + 1) / 3)
    assert measure.badness().tolist() == pytest.approx([1 - 2 / 5, 0, 1])
    assert measure.worst(5).tolist() == [2, 0]
    assert measure.differs(measure.at_confidence(0.3)).tolist() == [True, False, False]
    assert measure.best_confidence() == 0.4  # F1 of 2 right boxes of 4; of the first alone it is 2 / 4


def test_the_best_confidence_has_the_best_f1():
    measure = measured(random_scene(4, ties=True, crowds=True))
    best = measure.at_confidence(measure.best_confidence()).metrics()["f1"]
    others = [measure.at_confidence(score).metrics()["f1"] for score in np.linspace(0.05, 1, 39)]
    assert best == max(best, *others)
    assert best > min(others)


def test_the_error_of_the_count_knows_no_limit():
    scene = random_scene(0, pictures=1, most=90, extra=500)
    metrics = measured(scene, confidence=0.0).metrics()
    assert metrics["count_error"] == len(scene[0][0]) - len(scene[0][1])


def test_ten_thousand_objects_in_a_picture():
    low = np.stack(np.meshgrid(np.arange(100), np.arange(100)), axis=-1).reshape(-1, 2) * 10.0
    boxes = np.concatenate([low, low + 8], axis=1)
    truth = np.column_stack([boxes, np.zeros((len(boxes), 2))])
    found = np.column_stack([boxes[:300], np.linspace(1, 0.5, 300), np.zeros(300)])
    measure = measured([(found, truth)])
    assert measure.metrics()["average_recall"] == pytest.approx(0.01)
    assert any("10,000 objects" in note.english for note in measure.notes())


def test_a_bootstrap_of_a_test_set():
    measure = measured(random_scene(5, pictures=72, most=20, extra=30))
    found = resample(measure, seed=0)
    assert found["map"].shape == (1000,)
    low, high = intervals(measure, seed=0)["map_50"]
    assert low < measure.score() < high


def shifted(truth, by, label=0):
    found = truth[:, :4] + by
    return np.column_stack([found, np.linspace(0.9, 0.5, len(found)), np.full(len(found), label)])


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (lambda _: np.zeros((0, 6)), "no box was found"),
        (lambda truth: shifted(truth, 8.0), "none of the 3 boxes that were found overlaps an object by half"),
        (lambda truth: shifted(truth, 1.0, label=1), "3 of 3 overlap an object by half"),
    ],
)
def test_a_score_of_zero_is_explained(found, reason):
    truth = np.array([[low, low, low + 10, low + 10, 0, 0.0] for low in (0, 30, 60)])
    measure = measured([(found(truth), truth)])
    assert measure.score() == 0
    (note, absent) = measure.notes()
    assert reason in note.english
    assert "mAP 为 0" in note.chinese
    assert "no 'white', 'platelet', 'never'" in absent.english


def test_a_class_at_zero_is_named():
    truth = np.array([[0, 0, 10, 10, 0, 0], [30, 30, 40, 40, 2, 0.0]])
    (note, _) = measured([(shifted(truth[:1], 0.0), truth)]).notes()
    assert note.english == "No box finds an object of 'platelet': that average precision is 0."


def test_pictures_without_objects_have_no_map():
    nothing = np.zeros((0, 6))
    measure = measured([(nothing, nothing)] * 3)
    assert measure.metrics() == {"count_error": 0.0}
    assert measure.score() == 0.0
    assert measure.sections() == []
    assert "undefined" in measure.notes()[0].english
    assert len(Measure.cat([measure, measured(random_scene(0))])) == 15


def test_sections_show_curves_and_classes():
    measure = measured(random_scene(1))
    curves, classes = measure.sections()
    assert [line.label.english for line in curves.charts[0].lines] == sorted(
        LABELS[:3], key=lambda name: -measure.rows["objects"][:, LABELS.index(name)].sum()
    )
    for line in curves.charts[0].lines:
        recall, precision = np.array(line.points).T
        assert (np.diff(recall) > 0).all()
        assert ((precision > 0) & (precision <= 1)).all()
    table = classes.table
    assert [row[0] for row in table.rows] == LABELS[:3]
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert float(table.rows[0][3]) == pytest.approx(measure.metrics()["ap_50_red"], abs=5e-4)
