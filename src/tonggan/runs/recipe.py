"""A whole run as data: which table, which columns, which model, how it is trained, with which seed.

A recipe is validated before anything is loaded, and the one saved in a run's folder has every choice filled in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tonggan.config import Config, apply_overrides, parse_yaml, read_yaml
from tonggan.encoders import EncoderConfig
from tonggan.errors import ConfigError
from tonggan.floor.config import FloorConfig, Preset
from tonggan.modalities import ColumnConfig
from tonggan.models import ModelConfig
from tonggan.tasks import TaskConfig
from tonggan.training import TrainingConfig


class DataConfig(Config):
    """Where the rows come from, and which of them are for what."""

    set: str | None = None
    """Name of a public data set (see 'tonggan data list'); otherwise 'train' names a table."""
    train: str | None = None
    """Table to learn from: CSV, TSV, JSONL, Parquet, Excel, a folder of class folders, or tar shards."""
    valid: str | None = None
    """Table for validation; without it, a part of 'train' is held out."""
    test: str | None = None
    """Table for the final test only."""
    where: dict[str, list[str | int | float | bool]] = Field(default_factory=dict)
    """Keep only the rows whose column has one of these values."""
    group: str | None = None
    """Rows with equal values in this column, e.g. a patient, never go to both train and valid."""
    time: str | None = None
    """Column of dates, times or numbers: the validation part is later than everything the model learns from. With
    'group', training rows whose group is also in the validation part are left out."""
    batch_by: str | None = None
    """Rows with equal values in this column, e.g. the picture that many questions are about, go into the same batch in
    training, so that what they share is encoded once."""
    valid_fraction: float = Field(default=0.1, gt=0.0, lt=0.9)
    """Share of 'train' to hold out for validation if there is no table for it."""
    max_rows: int | None = Field(default=None, ge=8)
    """Use at most this many rows of each table, drawn with the recipe's seed."""

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if self.set and self.train:
            raise ValueError("'set' and 'train' exclude each other: a run learns from one source")
        return self


_STUDENTS = {"small": 0.5, "tiny": 0.25}
_WIDTHS = ("dim", "width", "channels", "stem_channels", "hidden")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class AuxiliaryConfig(Config):
    """A column that is also predicted in training, so that an encoder learns what the target alone hardly tells it."""

    input: str
    """Name of the input from which it is predicted."""
    weight: float = Field(default=0.5, gt=0)
    """Weight of its loss beside the target's."""


class RangeConfig(Config):
    """What a number may be in a tuning."""

    low: int | float
    """Minimum."""
    high: int | float
    """Maximum."""
    log: bool = False
    """Sample on a logarithmic scale, so that 0.001 to 0.01 is as likely as 0.01 to 0.1."""

    @model_validator(mode="after")
    def _is_a_range(self) -> RangeConfig:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low:g} and high {self.high:g}, which is no range")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low:g}, and only numbers above 0 have a logarithm")
        return self


class StudyConfig(Config):
    """Several trials of one recipe instead of a single one."""

    folds: int | None = Field(default=None, ge=2, le=50)
    """Number of folds for cross-validation: every row of 'train' is predicted by a model that was not trained on it,
    and the mean of all models is served. With 'data.time', each fold is predicted by a model of what came before it,
    and the last model is served."""
    seeds: int | None = Field(default=None, ge=2, le=50)
    """Number of trainings on the same rows, each with another seed; the mean of all models is served."""

    ranges: dict[str, Annotated[list[str | int | float | bool | None], Field(min_length=1)] | RangeConfig] = Field(
        default_factory=dict
    )
    """By the path of a field, e.g. training.learning_rate, the values that 'tonggan tune' may try: a list, or a range.
    Without any, defaults that suit the model."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """Which trials are stopped early: those worse than the median of the others at the same step, those that lose in
    Hyperband's brackets, or none."""

    @model_validator(mode="after")
    def _one_kind(self) -> StudyConfig:
        if self.folds and self.seeds:
            raise ValueError("'folds' and 'seeds' exclude each other: a study varies one thing")
        return self

    @property
    def kind(self) -> Literal["folds", "seeds"] | None:
        """What the trials differ by; None of a single run."""
        return "folds" if self.folds else "seeds" if self.seeds else None


class Recipe(Config):
    """A run as data. ``tonggan run`` takes one as YAML, ``tonggan fit`` makes one from its arguments."""

    description: str = ""
    """What the run is for, in a sentence."""
    data: DataConfig = DataConfig()
    """Where the rows come from."""
    target: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
    """Column to predict; several number columns make one regression with several targets."""
    auxiliary: dict[str, AuxiliaryConfig] = Field(default_factory=dict)
    """Columns that are predicted in training only; no model reads them."""
    columns: dict[str, ColumnConfig] = Field(default_factory=dict)
    """Kind and settings of columns; those not named are guessed. 'ignore' leaves one out."""
    task: TaskConfig | None = None
    """What is predicted and with which loss; guessed from the target when left out."""
    model: ModelConfig = ModelConfig()
    """Encoders, fusion, head."""
    floor: FloorConfig | None = None
    """Members that are not networks, fitted to embeddings of frozen encoders, texts and cells; those that help are
    kept. Null trains only the network. 'tonggan fit' uses them by default."""
    start: dict[str, str] = Field(default_factory=dict)
    """By input, a finished run (RUN or RUN:INPUT) from whose encoder the weights are initialized."""
    training: TrainingConfig = TrainingConfig()
    """Epochs, batch size, learning rate, and the like."""
    study: StudyConfig = StudyConfig()
    """Folds or seeds; without them, a single training."""
    report_by: str | None = None
    """Column of the test table by whose values the metrics are also broken down, e.g. a speaker or a language."""
    audit_alone: bool = True
    """After training, also train a model on each single input, if the time limit allows it."""
    max_bad: float = Field(default=0.05, ge=0.0, le=1.0)
    """Stop before training when more than this share of rows, and more than one, has an unreadable or missing file; 0
    stops at one."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random choice: same seed, same numbers."""


def load_recipe(name: str, *, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """The recipe in the YAML file ``name``, or the shipped one of that name, with ``key=value`` overrides applied.

    Tables and runs that a YAML file names are looked for beside it.

    Raises:
        ConfigError: there is no such recipe, or a field is not legal.
    """
    return Recipe.parse(apply_overrides(_read_recipe(name), overrides), who=f"recipe {name}")


def recipe_for_table(
    train: str | None,
    *,
    target: str | Sequence[str],
    valid: str | None = None,
    test: str | None = None,
    base: str | None = None,
    preset: Preset | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    seed: int | None = None,
) -> Recipe:
    """The recipe of ``tonggan fit``: the settings of ``base`` (or the defaults) applied to the user's own tables.

    Without a ``base`` the floor's balanced ``preset`` is the default.

    Raises:
        ConfigError: ``base`` is unknown or an override is not legal.
    """
    data = _read_recipe(base) if base else {}
    kept = {key: value for key, value in data.get("data", {}).items() if key in ("valid_fraction", "max_rows")}
    tables = {"train": train, "valid": valid, "test": test}
    data["data"] = {**kept, **{name: table for name, table in tables.items() if table is not None}}
    data["target"] = [target] if isinstance(target, str) else list(target)
    if seed is not None:
        data["seed"] = seed
    if preset is not None:
        data["floor"] = {**(data.get("floor") or {}), "preset": preset}
    elif base is None:
        data["floor"] = {}
    return Recipe.parse(apply_overrides(data, overrides), who=f"recipe {base}" if base else "settings")


def student_recipe(recipe: Recipe, student: str, settings: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """The recipe of a network that learns from a run of ``recipe``, of the same inputs and the same target.

    Args:
        recipe: with every choice filled in.
        student: ``"small"`` or ``"tiny"`` for half or a quarter of the widths of its network; the kind of an encoder,
            for the inputs that it reads; or a YAML file with fields of ``model`` and ``training``.
        settings: single fields of these two, or another ``seed``.

    Raises:
        ConfigError: there is no such student, or a field is not legal.
    """
    fields = recipe.to_dict() | {"floor": None, "start": {}, "study": {}}
    if student in _STUDENTS:
        fields["model"] = _narrowed(fields["model"], _STUDENTS[student])
    elif student.endswith((".yaml", ".yml")):
        given = read_yaml(Path(student))
        _check_student(given, who=f"student {student}")
        fields = apply_overrides(fields, given)
    else:
        kinds = EncoderConfig.family()
        modalities = {name: encoder.reads for name, encoder in recipe.model.encoders.items()}
        names = [name for name, reads in modalities.items() if student in kinds and kinds[student].reads == reads]
        if not names:
            fitting = sorted(kind for kind, config in kinds.items() if config.reads in modalities.values())
            raise ConfigError(
                f"student '{student}'",
                got="no such student for the inputs " + ", ".join(modalities),
                expected=f"{', '.join(_STUDENTS)}, a YAML file, or one of {', '.join(fitting)}",
                remedy="Correct the name",
            )
        fields = apply_overrides(fields, {f"model.encoders.{name}": {"kind": student} for name in names})
    names = [name.partition("=")[0].partition(".")[0] for name in settings]
    _check_student(dict.fromkeys(names), who="settings")
    return Recipe.parse(apply_overrides(fields, settings), who=f"student {student}")


def _check_student(fields: Mapping[str, Any], *, who: str) -> None:
    others = sorted(set(fields) - {"model", "training", "seed"})
    if others:
        raise ConfigError(
            who,
            got=", ".join(others),
            expected="fields of model and training; all else is as the original has it",
            remedy="Leave them out",
        )


def _narrowed(fields: Any, factor: float) -> Any:
    """``fields`` of a model with every width times ``factor``."""
    if isinstance(fields, Mapping):
        return {
            name: _narrower(value, factor) if name in _WIDTHS else _narrowed(value, factor)
            for name, value in fields.items()
        }
    return fields


def _narrower(width: Any, factor: float) -> Any:
    """A multiple of 8, so that heads divide it."""
    if isinstance(width, list | tuple):
        return [_narrower(each, factor) for each in width]
    return None if width is None else max(8, 8 * round(factor * width / 8))


def _read_recipe(name: str) -> dict[str, Any]:
    if name.endswith((".yaml", ".yml")):
        data = read_yaml(Path(name))
        tables = data.get("data")
        if isinstance(tables, dict):
            for split in ("train", "valid", "test"):
                if isinstance(tables.get(split), str):
                    tables[split] = str(Path(name).parent / tables[split])
        if isinstance(data.get("start"), dict):
            data["start"] = {key: str(Path(name).parent / str(run)) for key, run in data["start"].items()}
        return data
    names = recipe_names()
    if name not in names and Path(name).exists():
        raise ConfigError(
            f"recipe '{name}'",
            got="a file or folder that is no recipe",
            expected="a YAML file, or the name of a shipped recipe",
            remedy=f"For a table name the column to predict: tonggan fit {name} --target COL, or tonggan tune {name} "
            "--target COL",
        )
    if name not in names:
        raise ConfigError(
            f"recipe '{name}'",
            got="no such recipe",
            expected="a YAML file, or one of " + ", ".join(names),
            remedy="Run 'tonggan recipes'",
        )
    text = (files("tonggan.recipes") / f"{name}.yaml").read_text(encoding="utf-8")
    data = parse_yaml(text)
    assert isinstance(data, dict)
    return data


def recipe_names() -> list[str]:
    """Names of the recipes that come with Tonggan."""
    return sorted(
        item.name.removesuffix(".yaml") for item in files("tonggan.recipes").iterdir() if item.name.endswith(".yaml")
    )


def measured_results() -> dict[str, Any]:
    """What the shipped recipes reached where they were last measured, by name; ``make recipes`` writes it."""
    path = files("tonggan.recipes") / "results.json"
    if not path.is_file():
        return {}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results
