"""Parts of another package: a real one, installed, whose encoder and fusion a run uses by their kinds."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

import forked
from pretrained_scene import pretrained_folder
from tonggan.fusion import FusionConfig

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "tonggan-extras"
version = "0.1"

[project.entry-points."tonggan.parts"]
extras = "extras"

[tool.setuptools]
py-modules = ["extras"]
"""
MODULE = """
from typing import ClassVar, Literal

import torch
from torch import nn

from tonggan.encoders import EncoderConfig
from pretrained_scene import pretrained_folder
from tonggan.fusion import FusionConfig
from tonggan.tokens import Tokens


class MeanConfig(FusionConfig):
    \"\"\"The mean of what is present.\"\"\"

    kind: Literal["mean_of_present"] = "mean_of_present"

    def build(self, names, *, dim):
        return Mean()


class Mean(nn.Module):
    def forward(self, tokens):
        joined = Tokens.concat(list(tokens.values()))
        return Tokens(joined.mean().unsqueeze(1), joined.mask.any(dim=1, keepdim=True))


class RowConfig(EncoderConfig):
    \"\"\"One token for a row.\"\"\"

    reads: ClassVar[str] = "table"
    kind: Literal["row"] = "row"
    row_width: int = 8

    def build(self, modality, *, dim):
        return Row(self, len(modality.cells), dim=dim)


class Row(nn.Module):
    def __init__(self, config, num_columns, *, dim):
        super().__init__()
        width = config.row_width
        self.layers = nn.Sequential(nn.Linear(num_columns, width), nn.ReLU(), nn.Linear(width, dim))

    def forward(self, arrays):
        values = self.layers(arrays.values.float() * arrays.mask)
        return Tokens(values.unsqueeze(1), arrays.mask.any(dim=1, keepdim=True))
"""
ENGINE = """

from tonggan.language.chat import ChatTemplate
from tonggan.language.engine_config import EngineConfig
from tonggan.language.pretrained import StoredModel
from tonggan.language.prompt import Generation, Piece
from tonggan.language.text_model import TextModel


class EchoConfig(EngineConfig):
    \"\"\"Says the prompt again.\"\"\"

    capabilities: ClassVar[frozenset] = frozenset()
    kind: Literal["echo"] = "echo"

    def obstacle(self, model):
        return None if isinstance(model, StoredModel) else "it reads files alone"

    def open(self, model):
        return Echo(model.pretrained)


class Echo(TextModel):
    reads = "engine echo"

    def __init__(self, pretrained):
        self.name = pretrained.name
        self.max_length = pretrained.config.max_position_embeddings
        self.tokenizer = pretrained.tokenizer

    def encode(self, text, *, start=False, special=False):
        return self.tokenizer.encode(text, special=special)

    def chat_template(self):
        return ChatTemplate.of(self.tokenizer)

    def stream(self, prompt, settings, *, cancelled=lambda: False):
        self.check(prompt, settings)
        yield Piece(self.tokenizer.decode(prompt.ids), prompt.ids, [], "stop")

    def generate(self, prompts, settings, *, progress=None):
        return [Generation(piece.text, piece.token_ids, [], "stop")
                for prompt in prompts for piece in self.stream(prompt, settings)]

    def embed(self, texts):
        return torch.zeros(len(texts), 1)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a process that has the package installed."""
    folder = tmp_path_factory.mktemp("extras")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "extras.py").write_text(MODULE + ENGINE)
    site = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(site), str(folder)], check=True, capture_output=True)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *sys.path])}


def tonggan(environment: dict[str, str], *arguments: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    return forked.run([sys.executable, "-m", "tonggan", *arguments], env=environment, lines=lines, is_fresh=True)


@pytest.mark.slow
def test_a_run_uses_the_parts_of_an_installed_package(environment: dict[str, str], tmp_path: Path) -> None:
    lines = [f"{number},{number % 7},{'high' if number > 29 else 'low'}" for number in range(60)]
    (tmp_path / "train.csv").write_text("\n".join(["x,y,label", *lines]))
    run = tmp_path / "run"
    done = tonggan(
        environment,
        *("fit", str(tmp_path / "train.csv"), "--target", "label", "--out", str(run), "--json"),
        *("--set", "model.fusion.kind=mean_of_present", "--set", "model.encoders.table.row_width=16"),
        *("--set", "floor=null", "--set", "training.epochs=3"),
        *("--set", "columns.y.kind=number", "--set", "columns.x.kind=number"),
    )
    assert done.returncode == 0, done.stderr
    recipe = (run / "recipe.yaml").read_text()
    assert "kind: row" in recipe, "the only kind with such a field"
    assert "kind: mean_of_present" in recipe
    predict = ("predict", str(run), str(tmp_path / "train.csv"), "--out")
    predicted = tonggan(environment, *predict, str(tmp_path / "answers.csv"))
    assert predicted.returncode == 0, predicted.stderr
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 61
    without = tonggan(dict(os.environ), *predict, str(tmp_path / "none.csv"))
    assert without.returncode != 0
    assert "'mean_of_present'" in without.stderr
    assert "'audio_cnn'" in without.stderr, "the kinds that there are"


@pytest.mark.slow
def test_a_chat_uses_the_engine_of_an_installed_package(environment: dict[str, str], tmp_path: Path) -> None:
    folder = pretrained_folder(tmp_path / "model")
    chat = ("chat", str(folder), "--json")
    done = tonggan(environment, *chat, "--engine", "echo", lines="hello\n")
    assert done.returncode == 0, done.stderr
    assert "hello" in json.loads(done.stdout)["assistant"]
    # It says so where it lacks something, and auto prefers those of Tonggan.
    beams = tonggan(environment, *chat, "--engine", "echo", "--set", "num_beams=2", lines="hello\n")
    assert "engine echo" in beams.stdout + beams.stderr
    best = tonggan(environment, *chat, "--set", "max_tokens=2", lines="hello\n")
    assert "hello" not in json.loads(best.stdout)["assistant"]
    without = tonggan(dict(os.environ), *chat, "--engine", "echo", lines="hello\n")
    assert "'echo'" in without.stderr
    assert "one of auto, llamacpp, native, torch" in without.stderr


def test_a_package_that_cannot_be_imported_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "broken_parts-1.0.dist-info").mkdir(parents=True)
    (broken / "broken_parts-1.0.dist-info" / "METADATA").write_text("Name: broken-parts\nVersion: 1.0\n")
    points = "[tonggan.parts]\nparts = broken_parts\n"
    (broken / "broken_parts-1.0.dist-info" / "entry_points.txt").write_text(points)
    (broken / "broken_parts.py").write_text("import nothing_of_this_name\n")
    environment = environment | {"PYTHONPATH": os.pathsep.join([str(broken), environment["PYTHONPATH"]])}
    done = tonggan(environment, "recipes", "easy_vqa")
    assert done.returncode != 0
    assert "package broken-parts" in done.stderr
    assert "No module named 'nothing_of_this_name'" in done.stderr
    assert "pip uninstall broken-parts" in done.stderr


def test_two_configs_of_one_kind_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Again has the kind 'sum' of tonggan.fusion.sum"):

        class Again(FusionConfig):
            """A second sum."""

            kind: Literal["sum"] = "sum"

            def build(self, names, *, dim):
                raise NotImplementedError
