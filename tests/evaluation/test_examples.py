import base64
import io
import math
import wave

import numpy as np
import pytest
import torch
from PIL import Image

from tonggan.evaluation.examples import (
    audio_address,
    calibration,
    confusion,
    find_mistakes,
    image_address,
    scatters,
    thresholds,
)
from tonggan.evaluation.predict import Outputs, collect
from tonggan.tasks import Binary, BinaryConfig, Multiclass, MulticlassConfig, Regress, RegressConfig, Tag, TagConfig


def content(address: str, prefix: str) -> io.BytesIO:
    assert address.startswith(prefix)
    return io.BytesIO(base64.b64decode(address.removeprefix(prefix)))


def test_a_picture_survives():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    read = np.asarray(Image.open(content(image_address(pixels), "data:image/png;base64,")))
    assert np.array_equal(read.transpose(2, 0, 1), pixels)


def test_a_sound_survives_and_is_cut_after_ten_seconds():
    samples = np.arange(-100, 100, dtype=np.int16)
    with wave.open(content(audio_address(samples, sample_rate=8000), "data:audio/wav;base64,")) as file:
        assert (file.getframerate(), file.getnchannels()) == (8000, 1)
        assert np.array_equal(np.frombuffer(file.readframes(200), dtype="<i2"), samples)
    with wave.open(content(audio_address(np.zeros(900, np.int16), sample_rate=50), "data:audio/wav;base64,")) as file:
        assert file.getnframes() == 500


def test_confusion_worked_by_hand_with_the_largest_classes():
    task = Multiclass(MulticlassConfig())
    task.fit(["a", "b", "c"])
    target = torch.tensor([0, 0, 1, 2, 2, 2])
    outputs = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 2, 0, 2]), 3).float()
    assert confusion(task, outputs, target).counts == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    largest = confusion(task, outputs, target, max_classes=2)
    assert (largest.labels, largest.counts, largest.num_hidden) == (["a", "c"], [[1, 0], [1, 2]], 1)


def test_the_surest_mistakes_come_first_with_their_cells(sums):
    case = sums({"left": np.array([1.0, 1.0, -1.0, -1.0])}, np.array([1, 0, 0, 1]))
    outputs = collect(case.model, case.task, case.dataset.take(np.array([3, 0, 1, 2])))
    first, second = find_mistakes(case.task, outputs, case.dataset)
    # Logits are -1.1 on row 3 and 0.9 on row 1, both wrong.
    assert (first.row, first.predicted, first.truth) == (4, "no (75%)", "yes")
    assert (second.row, second.predicted, second.truth) == (2, "yes (71%)", "no")
    assert [(cell.name, cell.kind, cell.content) for cell in first.cells] == [("left", "text", "-1.0")]
    assert len(find_mistakes(case.task, outputs, case.dataset, limit=1)) == 1


def test_mistakes_with_pictures_sounds_and_texts(make_mixed):
    case = make_mixed()
    outputs = Outputs(torch.tensor([[-5.0], [-4.0]]), torch.tensor([1, 1]), torch.tensor([0, 1]))
    full, empty = find_mistakes(case.task, outputs, case.dataset)
    assert [(cell.name, cell.kind) for cell in full.cells] == [("photo", "image"), ("sound", "audio"), ("note", "text")]
    assert full.cells[0].content.startswith("data:image/png;base64,")
    assert full.cells[1].content.startswith("data:audio/wav;base64,")
    assert full.cells[2].content == "long " * 119 + "long…"
    assert [cell.content for cell in empty.cells] == [None, None, None]


def test_several_labels():
    task = Tag(TagConfig())
    task.fit(["a|b", "c"])
    outputs = torch.tensor([[3.0, -3.0, -3.0], [3.0, -3.0, -9.0], [-3.0, -3.0, -1.0]])
    target = torch.tensor([[1.0, 0, 0], [1, 0, 1], [0, 0, 0]])
    (mistake,) = find_mistakes(task, Outputs(outputs, target, torch.arange(3)), _no_inputs())
    assert (mistake.row, mistake.predicted, mistake.truth) == (2, "a (95%)", "a, c")
    assert confusion(task, outputs, target) is None


def test_numbers():
    task = Regress(RegressConfig())
    task.fit([0.0, 2.0])
    outputs, target = torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([[0.0], [2.0], [1.0]])
    mistakes = find_mistakes(task, Outputs(outputs, target, torch.arange(3)), _no_inputs())
    assert [(mistake.row, mistake.predicted, mistake.truth) for mistake in mistakes] == [(3, "5", "2"), (2, "2", "3")]
    (scatter,) = scatters(task, outputs, target)
    assert (scatter.truth, scatter.predicted) == ([1, 3, 2], [1, 2, 5])
    assert len(scatters(task, outputs, target, max_points=2)[0].truth) == 2
    assert calibration(task, outputs, target) is None
    several = Regress(RegressConfig())
    several.fit([{"x": 0.0, "y": 1.0}, {"x": 2.0, "y": 5.0}])
    assert [scatter.name for scatter in scatters(several, torch.zeros(4, 2), torch.zeros(4, 2))] == ["x", "y"]


def test_reliability_without_and_with_the_temperature():
    task = Multiclass(MulticlassConfig())
    task.fit(["a", "b"])
    task.temperature = 2.0
    outputs, target = torch.tensor([[4.0, 0.0]]), torch.tensor([0])
    result = calibration(task, outputs, target)
    assert result.before[0].confidence == pytest.approx(float(torch.sigmoid(torch.tensor(4.0))))
    assert result.after[0].confidence == pytest.approx(float(torch.sigmoid(torch.tensor(2.0))))


def _no_inputs():
    from tonggan.data.dataset import Dataset

    return Dataset({}, np.arange(3))


def test_thresholds_are_those_of_the_rarer_class_by_hand():
    task = Binary(BinaryConfig())
    task.fit(["no"] * 6 + ["yes"] * 5)
    target = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    outputs = torch.tensor([-3.0, -3, -3, -1, -1, 1, -1, 1, 1, 2, 2]).unsqueeze(1)
    found = thresholds(task, outputs, target)
    assert found.label == "yes"
    expected = {-3: (5 / 11, 1.0), -1: (5 / 8, 1.0), 1: (4 / 5, 4 / 5), 2: (1.0, 2 / 5)}
    assert len(found.curve) == 4
    for (at, precision, recall), (logit, values) in zip(found.curve, expected.items(), strict=True):
        assert at == pytest.approx(1 / (1 + math.exp(-logit)))
        assert (precision, recall) == pytest.approx(values)
    assert found.best == pytest.approx(1 / (1 + math.exp(-1)))
    assert found.best_f1 == pytest.approx(0.8)
    assert thresholds(task, outputs[:9], target[:9]) is None, "three rows of a class make no curve"


def test_only_two_classes_have_thresholds():
    numbers = Regress(RegressConfig())
    numbers.fit([1.0, 2.0])
    assert thresholds(numbers, torch.zeros(20, 1), torch.zeros(20, 1)) is None
    three = Multiclass(MulticlassConfig())
    three.fit(["a", "b", "c"])
    assert thresholds(three, torch.zeros(30, 3), torch.arange(30) % 3) is None
    tags = Tag(TagConfig())
    tags.fit(["a|b", "a", "b"])
    assert thresholds(tags, torch.zeros(30, 2), torch.ones(30, 2)) is None
