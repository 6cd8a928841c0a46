"""A model worked by hand, the logit of a row being the sum of its inputs that are present; and rows of all media."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
import soundfile
import torch
from torch import nn

from tonggan.data.cache import DecodeCache
from tonggan.data.dataset import ColumnSource, Dataset, MediaSource, Source, TargetSource
from tonggan.data.readers import open_table
from tonggan.data.scan import scan_media
from tonggan.decoders import TARGET
from tonggan.decoders.base import Context
from tonggan.modalities.audio import Audio, AudioConfig
from tonggan.modalities.image import Image, ImageConfig
from tonggan.modalities.table import CategoryConfig, NumberConfig, TableConfig
from tonggan.modalities.text import Text, TextConfig
from tonggan.models.fused import FusedModel
from tonggan.progress import Progress
from tonggan.tasks import Binary, BinaryConfig
from tonggan.tokens import Arrays, Prediction, Tokens


class Cells(nn.Module):
    def forward(self, arrays: Arrays) -> Tokens:
        return Tokens(arrays.values.unsqueeze(-1), arrays.mask)


class Together(nn.Module):
    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        return Tokens.concat(list(tokens.values()))


class Total(nn.Module):
    """A bias of -0.1 says "no" where nothing is present."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(-0.1))

    def forward(self, context: Context, _targets: Mapping[str, Arrays] | None = None) -> Prediction:
        tokens = context.tokens
        return Prediction({"outputs": self.bias + tokens.values.masked_fill(~tokens.mask.unsqueeze(-1), 0).sum(dim=1)})


class Sums:
    """Inputs ``columns`` that are +1 or -1 equally often, so that standardization changes nothing."""

    def __init__(self, folder: Path, columns: dict[str, np.ndarray], target: np.ndarray) -> None:
        answers = np.where(target, "yes", "no")
        table = open_table(pa.table({**columns, "answer": answers}), cache=folder)
        inputs = {}
        for name in columns:
            modality = TableConfig(columns={name: NumberConfig()}).build()
            modality.fit({name: table.values(name)})
            inputs[name] = ColumnSource(modality, table, name)
        self.task = Binary(BinaryConfig())
        self.task.fit(["no", "yes"])
        source = TargetSource(self.task.target, table, {"answer": CategoryConfig()})
        self.dataset = Dataset(inputs, np.arange(len(target)), {TARGET: source})
        self.targets = {TARGET: self.task.target.collate(answers)}
        self.model = FusedModel({name: Cells() for name in columns}, fusion=Together(), head=Total())
        self.kinds = dict.fromkeys(columns, "table")


@pytest.fixture
def sums(tmp_path):
    return lambda columns, target: Sums(tmp_path, columns, target)


class Mixed:
    """Two rows with a picture, a recording and a text: the first has all of them, the second nothing."""

    def __init__(self, folder: Path) -> None:
        PIL.Image.new("RGB", (9, 7), "teal").save(folder / "photo.png")
        soundfile.write(folder / "sound.wav", np.zeros(160), 16_000)
        columns = {
            "photo": [str(folder / "photo.png"), None],
            "sound": [str(folder / "sound.wav"), None],
            "note": ["long " * 500, None],
            "answer": ["yes", "yes"],
        }
        table = open_table(pa.table(columns), cache=folder)
        inputs: dict[str, Source] = {}
        for name, modality in {"photo": Image(ImageConfig(size=8)), "sound": Audio(AudioConfig())}.items():
            cache = DecodeCache(folder / "decoded", modality)
            column = scan_media(table, name, modality, cache, progress=Progress())
            inputs[name] = MediaSource(modality, column, cache)
        text = Text(TextConfig())
        text.fit(["long words"])
        inputs["note"] = ColumnSource(text, table, "note")
        self.task = Binary(BinaryConfig())
        self.task.fit(["no", "yes"])
        source = TargetSource(self.task.target, table, {"answer": CategoryConfig()})
        self.dataset = Dataset(inputs, np.arange(2), {TARGET: source})


@pytest.fixture
def make_mixed(tmp_path):
    return lambda: Mixed(tmp_path)
