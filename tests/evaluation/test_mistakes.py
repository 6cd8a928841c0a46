import base64
import io
import wave

import numpy as np
import torch
from PIL import Image
from torch import nn

from tonggan.evaluation.mistakes import find_mistakes
from tonggan.evaluation.predict import measure_rows
from tonggan.modalities.audio import audio_address
from tonggan.modalities.base import Cell
from tonggan.modalities.image import image_address
from tonggan.tokens import Prediction


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


def test_the_surest_mistakes_come_first_with_their_cells(sums):
    case = sums({"left": np.array([1.0, 1.0, -1.0, -1.0])}, np.array([1, 0, 0, 1]))
    shuffled = case.dataset.take(np.array([3, 0, 1, 2]))
    measured = measure_rows(case.model, case.task, shuffled)
    first, second = find_mistakes(case.model, case.task, case.dataset, measured)
    # Logits are -1.1 on row 3 and 0.9 on row 1, both wrong.
    assert (first.row, second.row) == (4, 2)
    assert (first.predicted, first.truth) == (Cell("predicted", "text", "no (75%)"), Cell("true", "text", "yes"))
    assert (second.predicted.content, second.truth.content) == ("yes (71%)", "no")
    assert first.cells == [Cell("left", "text", "-1.0")]
    assert len(find_mistakes(case.model, case.task, case.dataset, measured, limit=1)) == 1
    right = measured.take(np.array([1, 3]))
    assert find_mistakes(case.model, case.task, case.dataset, right) == []


class Never(nn.Module):
    """Always the same logit."""

    def __init__(self):
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(-5.0))

    def forward(self, inputs, _targets=None):
        return Prediction({"outputs": self.logit + torch.zeros(len(inputs["note"]), 1)})


def test_mistakes_with_pictures_sounds_and_texts(make_mixed):
    case = make_mixed()
    measured = measure_rows(Never(), case.task, case.dataset)
    full, empty = find_mistakes(Never(), case.task, case.dataset, measured)
    assert [(cell.name, cell.kind) for cell in full.cells] == [("photo", "image"), ("sound", "audio"), ("note", "text")]
    assert full.cells[0].content.startswith("data:image/png;base64,")
    assert full.cells[1].content.startswith("data:audio/wav;base64,")
    assert full.cells[2].content == "long " * 119 + "long…"
    assert [cell.content for cell in empty.cells] == [None, None, None]
