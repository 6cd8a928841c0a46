"""A space as data: which data it learns from, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import nn

from tonggan.alignment import AlignmentConfig
from tonggan.alignment.contrastive import ContrastiveConfig
from tonggan.alignment.token_sets import Matching
from tonggan.config import Config, apply_overrides, parse_yaml, read_yaml
from tonggan.encoders import EncoderConfig
from tonggan.modalities import ColumnConfig, Modality
from tonggan.runs.recipe import DataConfig
from tonggan.training import TrainingConfig

_SHIPPED = files("tonggan.recipes") / "match"


class SpaceConfig(Config):
    """How features become vectors that can be compared."""

    parts: Literal["linear", "towers", "both"] = "both"
    """'linear' is a ridge regression onto one modality's features, which takes seconds; 'towers' are small networks
    trained with the alignment; 'both' weights the two by the validation part."""
    start: str | None = "starter"
    """Space whose linear maps to start from, if its frozen encoders are the same and the validation part agrees:
    'starter', which is included, or the folder of a run; null starts from scratch."""
    dim: int = Field(default=256, ge=8)
    """Width of a tower's output."""
    hidden: int = Field(default=512, ge=8)
    """Width of a tower's one hidden layer."""
    dropout: float = Field(default=0.4, ge=0, lt=1)
    """Dropout probability of features and of the hidden layer, in training."""
    alignment: AlignmentConfig = ContrastiveConfig(temperature=0.07, learn_temperature=True)
    """The loss that pulls matching items together."""
    matching: Matching = "pooled"
    """How the towers' outputs of two items are compared: 'pooled' compares one vector each; the others compare sets of
    tokens (regions, words, stretches of time): 'late_interaction' matches each token of the query to the most similar
    one, 'transport' finds the best plan that matches all tokens of one with all of the other."""
    weights: dict[str, str] = Field(default_factory=dict)
    """By kind of input, the frozen encoder; kinds that are not named use the first one that is installed."""
    encoders: dict[str, EncoderConfig] = Field(default_factory=dict)
    """By kind of input, an encoder that is trained with the space in place of a tower: pretrained ('tune' says how much
    of it is trained), or from random weights."""
    at_once: int = Field(default=64, ge=1)
    """Rows that go through such an encoder at a time; a larger batch is still compared as a whole."""

    def build_encoders(self, modalities: Mapping[str, Modality[Any]]) -> dict[str, nn.Module]:
        """The encoders that learn, by kind, with random weights where they have no others.

        Args:
            modalities: the inputs by name, fitted; those of one kind read alike.

        Raises:
            ConfigError, DataError, MissingExtraError: as ``EncoderConfig.build``.
        """
        of_kind = {modality.kind: modality for modality in modalities.values()}
        return {kind: each.build(of_kind[kind], dim=self.dim) for kind, each in self.encoders.items()}


class MatchTraining(TrainingConfig):
    """How towers are trained: as any training, with larger batches, in which each row is every other's wrong answer."""

    epochs: int = Field(default=40, ge=1)
    """Passes over the training part; with a time limit, their maximum."""
    batch_size: int = Field(default=512, ge=1)
    """Rows that are compared with each other."""
    hidden_cells: float = Field(default=0.0, ge=0, le=1)
    """Share of the rows that are repeated with cells hidden."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled weight decay of matrices."""


class MatchRecipe(Config):
    """A run that learns a space, as data. ``tonggan fit TABLE --task match`` makes one from its arguments."""

    task: Literal["match"] = "match"
    """What distinguishes such a recipe from others."""
    description: str = ""
    """What the run is for, in a sentence."""
    data: DataConfig = DataConfig()
    """Where the rows come from."""
    columns: dict[str, ColumnConfig] = Field(default_factory=dict)
    """Kind and settings of columns; those not named are guessed. 'ignore' leaves one out."""
    labels: str | None = None
    """Column of classes, for an alignment that also learns to classify."""
    space: SpaceConfig = SpaceConfig()
    """How features are mapped into the space."""
    training: MatchTraining = MatchTraining()
    """Training of the towers."""
    max_bad: float = Field(default=0.05, ge=0, le=1)
    """Stop before training when more than this share of rows, and more than one, has an unreadable or missing file; 0
    stops at one."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random choice."""


def match_recipe_names() -> list[str]:
    """Names of the recipes of spaces that come with Tonggan."""
    return sorted(each.name.removesuffix(".yaml") for each in _SHIPPED.iterdir() if each.name.endswith(".yaml"))


def is_match_recipe(name: str) -> bool:
    """Whether ``name`` is a shipped recipe of a space, or a YAML file with one."""
    if name.endswith((".yaml", ".yml")):
        return Path(name).is_file() and read_yaml(Path(name)).get("task") == "match"
    return name in match_recipe_names()


def load_match_recipe(name: str, *, overrides: Sequence[str] | Mapping[str, Any] = ()) -> MatchRecipe:
    """The recipe of a space in the YAML file ``name``, or the shipped one of that name.

    Tables that a YAML file names are looked for beside it.

    Raises:
        ConfigError: a field is not legal.
    """
    if not name.endswith((".yaml", ".yml")):
        fields = parse_yaml((_SHIPPED / f"{name}.yaml").read_text(encoding="utf-8"))
    else:
        fields = read_yaml(Path(name))
        for split in ("train", "valid", "test"):
            table = fields.get("data", {}).get(split)
            if isinstance(table, str):
                fields["data"][split] = str(Path(name).parent / table)
    return MatchRecipe.parse(apply_overrides(fields, overrides), who=f"recipe {name}")
