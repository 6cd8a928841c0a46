"""From a recipe and its tables to a plan: the same recipe with every choice filled in, and why, as plain data.

Only cells are looked at, some headers of files, and a few pictures; nothing is fitted or built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from pydantic import Field

from tonggan.cells import is_missing
from tonggan.config import Config
from tonggan.data.column_checks import check_doubt
from tonggan.data.findings import Finding
from tonggan.data.kinds import Guess, guess_columns, guess_target, guess_task
from tonggan.data.languages import is_latin, languages_of
from tonggan.data.media_range import settle_ranges, typical_described
from tonggan.data.scan import read_media
from tonggan.data.table import Table, spread
from tonggan.decoders import Vector
from tonggan.encoders import EncoderConfig
from tonggan.errors import ConfigError, DataError, UnreadableError
from tonggan.floor.config import FloorConfig
from tonggan.modalities import ColumnConfig, Image, ImageConfig, InputConfig, Modality, VideoConfig
from tonggan.modalities.base import MediaConfig
from tonggan.modalities.boxes import Box, BoxesConfig
from tonggan.modalities.image_augment import are_handed, is_written, tells_sides
from tonggan.modalities.regions import RegionsConfig
from tonggan.runs.recipe import Recipe
from tonggan.tasks import TaskConfig
from tonggan.tasks.pictured import PicturedConfig

# Pixels a side of pictures that a frozen encoder reads, and where a network is trained on them as well.
_FROZEN_SIZE, _NETWORK_SIZE = 224, 128
# Of what decides whether pictures are mirrored: cells and pictures that are looked at, and pixels of a side of these.
_SAMPLED_CELLS, _SAMPLED_PICTURES, _SMALL = 2_000, 256, 64


class Plan(Config):
    """A recipe with every choice filled in."""

    recipe: Recipe
    """The recipe to run, which the bundle keeps."""
    reasons: dict[str, str]
    """Why each column has its kind."""
    remarks: list[Finding] = Field(default_factory=list)
    """What suggests another kind for a column."""

    @property
    def task(self) -> TaskConfig:
        """The task, which a plan always names."""
        assert self.recipe.task is not None, "a plan names its task"
        return self.recipe.task

    @property
    def trains_network(self) -> bool:
        """Whether a network is trained, alone or beside other members."""
        return self.recipe.floor is None or bool(self.recipe.floor.network)

    @property
    def kinds(self) -> dict[str, str]:
        """Of each column of the table, in its order."""
        return {name: self.recipe.columns[name].kind for name in self.reasons}

    @property
    def predicted(self) -> list[str]:
        """The columns that no model reads, because it is to say them."""
        return [*self.recipe.target, *self.recipe.auxiliary]


def resolve(recipe: Recipe, tables: Mapping[str, Table]) -> Plan:
    """The plan of ``recipe`` for these tables by split, of which the training part decides.

    Raises:
        ConfigError: the recipe does not fit the data, or its parts do not fit each other.
        DataError: no task predicts such a target.
    """
    train = tables["train"]
    if recipe.report_by is not None:
        list(tables.values())[-1].require(recipe.report_by)
    guesses = resolve_columns(recipe, train)
    columns = {name: guess.config for name, guess in guesses.items()}
    task = recipe.task or task_for(train, recipe.target, columns=columns)
    model, task, columns = task.complete(recipe.model, columns, target=recipe.target)
    columns = {name: _prepared(config, model.encoders.get(name)) for name, config in columns.items()}
    modalities = build_modalities(columns, target=[*recipe.target, *recipe.auxiliary])
    _check_auxiliaries(recipe, train, columns=columns, inputs=list(modalities))
    if isinstance(task, PicturedConfig):
        _check_other_pictures(recipe, columns, looked_at=task.shown_in)
    if recipe.study.kind and task.form is None:
        raise ConfigError(
            f"recipe.study.{recipe.study.kind}",
            got=f"the task '{task.kind}'",
            expected="a task of classes, labels or numbers, whose predictions have a mean",
            remedy="Leave it out, and run the recipe with several seeds by hand",
        )
    floor = _resolve_floor(recipe, train, task, modalities)
    if floor is None or floor.network:
        columns = _mirrored(columns, train, task, target=[*recipe.target, *recipe.auxiliary])
    chosen = {
        "columns": columns if floor is None else _sized(columns, train, floor),
        "task": task,
        "model": model.resolve(modalities),
        "floor": floor,
    }
    return Plan(
        recipe=recipe.model_copy(update=chosen),
        reasons={name: guess.reason for name, guess in guesses.items()},
        remarks=remarks_on(guesses, train),
    )


def _prepared(config: ColumnConfig, encoder: EncoderConfig | None) -> ColumnConfig:
    """The column as its encoder wants it; one that reads another modality is refused later."""
    if encoder is None or not isinstance(config, InputConfig) or config.kind not in (encoder.reads, *encoder.converts):
        return config
    return cast("ColumnConfig", encoder.prepare(config))


def _resolve_floor(
    recipe: Recipe, train: Table, task: TaskConfig, modalities: Mapping[str, Modality[Any]]
) -> FloorConfig | None:
    """The floor with every choice made; None where it is not asked for, or cannot give the answers of ``task``."""
    floor = recipe.floor
    if floor is None or (task.form is None and floor.preset == "balanced" and not floor.members):
        return None
    if task.form is None:
        raise ConfigError(
            "recipe.floor",
            got=f"the task '{task.kind}'",
            expected="a task of classes, labels or numbers, which members without a network can do",
            remedy="Leave the preset out; the network is trained alone",
        )
    # Whoever sets up a network, or what it starts from, means it to be trained.
    if floor.network is None and (recipe.start or recipe.training.model_fields_set or recipe.model.model_fields_set):
        floor = floor.model_copy(update={"network": True})
    if floor.folds is None and recipe.data.time is not None:  # members learn from all that came before, too
        floor = floor.model_copy(update={"folds": 0})
    latin = [name for name, each in modalities.items() if each.kind == "text" and _is_latin(train, name)]
    return floor.resolve(
        {name: modality.kind for name, modality in modalities.items()},
        latin=latin,
        num_rows=len(train),
        has_numbers=task.form == "numbers",
    )


def _sized(columns: Mapping[str, ColumnConfig], train: Table, floor: FloorConfig) -> dict[str, ColumnConfig]:
    """``columns`` with pictures and clips that a frozen encoder reads as large as it reads them, unless it is set.

    Pictures that are smaller stay so, and a network beside it makes do with less, for its time grows with every pixel.
    """
    sized = dict(columns)
    for name, config in columns.items():
        if (
            isinstance(config, ImageConfig | VideoConfig)
            and floor.weights.get(name)
            and "size" not in config.model_fields_set
        ):
            typical = typical_described(train, name, config, "size") or config.size
            most = _NETWORK_SIZE if floor.network else _FROZEN_SIZE
            if isinstance(config, VideoConfig):
                most = config.size if floor.network else _NETWORK_SIZE
            sized[name] = config.model_copy(update={"size": int(np.clip(typical, config.size, most))})
    return sized


def _mirrored(
    columns: Mapping[str, ColumnConfig], table: Table, task: TaskConfig, *, target: Sequence[str]
) -> dict[str, ColumnConfig]:
    """``columns`` with ``augment.flip`` of pictures decided where it is open: true where nothing speaks against it."""
    decided = dict(columns)
    for name, config in columns.items():
        if not isinstance(config, ImageConfig) or config.augment is None or config.augment.flip is not None:
            continue
        flip = (
            (task.form in ("classes", "labels") or isinstance(task, PicturedConfig))
            and not any(map(is_written, (name, *target)))
            and not any(_says_sides(table, other, columns[other], target=target) for other in columns if other != name)
            and not _are_handed(table, name, config)
        )
        augment = config.augment.model_copy(update={"flip": flip})
        decided[name] = config.model_copy(update={"augment": augment})
    return decided


def _says_sides(table: Table, name: str, config: ColumnConfig, *, target: Sequence[str]) -> bool:
    """Whether a sample of a column's cells speaks against mirroring: classes that are written, or texts with sides."""
    if isinstance(config, MediaConfig) or not (config.is_used or name in target):
        return False
    if isinstance(config, RegionsConfig):
        return any(is_written(each) for each in (config.classes or {}).values() if each is not None)
    cells = table.values(name, spread(len(table), _SAMPLED_CELLS))
    if name not in target:
        return config.form != "number" and any(tells_sides(str(cell)) for cell in cells if not is_missing(cell))
    return any(is_written(label) for cell in cells for label in _names_in(config, cell))


def _names_in(config: ColumnConfig, cell: Any) -> list[str]:
    """The classes in a cell of a target; nothing where it cannot be read, which the doctor tells."""
    try:
        labels = config.read(cell) if isinstance(config, BoxesConfig) else config.labels(cell)
    except DataError:
        return []
    return [str(each.label if isinstance(each, Box) else each) for each in labels or ()]


def _are_handed(table: Table, name: str, config: ImageConfig) -> bool:
    """Whether a sample of a column's pictures can be told from their mirror images."""
    small = Image(config.model_copy(update={"size": _SMALL, "resize": "squash"}))
    pictures = []
    for cell in table.values(name, spread(len(table), _SAMPLED_PICTURES)):
        try:
            content = read_media(cell, base=table.base)
            pictures += [] if content is None else [torch.from_numpy(small.decode(content))]
        except UnreadableError:
            continue
    return not pictures or are_handed(torch.stack(pictures))


def _is_latin(table: Table, name: str) -> bool:
    """Whether the first texts of a column are all in Latin letters."""
    texts = [str(cell) for cell in next(table.iterate(name), []) if not is_missing(cell)]
    return all(map(is_latin, languages_of(texts or [""]).split(", ")))


def remarks_on(guesses: Mapping[str, Guess], train: Table) -> list[Finding]:
    """What speaks for another kind of a column."""
    return [
        check_doubt(name, guess.doubt, config=guess.config, split="train", num_rows=len(train))
        for name, guess in guesses.items()
        if guess.doubt is not None
    ]


def resolve_columns(recipe: Recipe, table: Table) -> dict[str, Guess]:
    """The kind of every column of ``table``, and why; declared kinds are taken as they are.

    Raises:
        ConfigError: a declared column does not exist, or no column is left to learn from.
    """
    predicted = [*recipe.target, *recipe.auxiliary]
    guesses = guess_columns(table, target=recipe.target, declared=recipe.columns)
    for name in set(recipe.auxiliary) - set(recipe.columns):
        table.require(name)
        guesses[name] = guess_target(table, name)
    inputs = [name for name, guess in guesses.items() if name not in predicted and guess.config.is_used]
    if not inputs:
        raise ConfigError(
            f"table {table.source}",
            got="no column to learn from: " + "; ".join(f"{name}: {guess.reason}" for name, guess in guesses.items()),
            expected="at least one picture, text, recording, number or category beside the target",
            remedy="Declare a kind, e.g. --set columns.NAME.kind=text",
        )
    return settle_ranges(table, guesses)


def build_modalities(columns: Mapping[str, ColumnConfig], *, target: Sequence[str]) -> dict[str, Modality[Any]]:
    """The inputs of a model, not yet fitted: one for each column, or for all that are read together."""
    modalities: dict[str, Modality[Any]] = {}
    joined: dict[str, dict[str, ColumnConfig]] = {}
    for name, config in columns.items():
        if name in target or not config.is_used:
            continue
        if config.joins is not None:
            joined.setdefault(config.joins, {})[name] = config
        elif isinstance(config, InputConfig):
            modalities[name] = config.build()
        else:
            raise ConfigError(
                f"column '{name}'",
                got=f"kind '{config.kind}' for an input",
                expected="that kind for the target only",
                remedy=f"Set columns.{name}.kind to text or category",
            )
    for kind, cells in joined.items():
        name = kind
        while name in modalities:
            name += "_"
        modalities[name] = InputConfig.parse({"kind": kind, "columns": cells}, who=f"input '{name}'").build()
    return modalities


def task_for(table: Table, target: Sequence[str], *, columns: Mapping[str, ColumnConfig]) -> TaskConfig:
    """The task that the kind of the ``target`` columns asks for."""
    return TaskConfig.parse(dict(guess_task(table, target, columns=columns)), who="task")


def _check_auxiliaries(
    recipe: Recipe, table: Table, *, columns: Mapping[str, ColumnConfig], inputs: Sequence[str]
) -> None:
    for name, config in recipe.auxiliary.items():
        if config.input not in inputs:
            raise ConfigError(
                f"auxiliary.{name}.input",
                got=f"'{config.input}'",
                expected="one of the inputs " + ", ".join(inputs),
                remedy="Name the input that shows it",
            )
        if task_for(table, [name], columns=columns).asks is not Vector:
            raise ConfigError(
                f"auxiliary.{name}",
                got=f"a column of kind {columns[name].kind}",
                expected="a class, labels or a number in each row",
                remedy="Leave it out, or predict it by a run of its own",
            )


def _check_other_pictures(recipe: Recipe, columns: Mapping[str, ColumnConfig], *, looked_at: str) -> None:
    """Raise ConfigError for pictures that nobody has declared: they may be masks, or have the answer drawn in."""
    meant = {looked_at, *recipe.columns, *recipe.target, *recipe.auxiliary}
    for name, config in columns.items():
        if name not in meant and config.kind == columns[looked_at].kind:
            raise ConfigError(
                f"column '{name}'",
                got=f"pictures beside those of '{looked_at}'",
                expected="a declared kind, as they may show the answer",
                remedy=f"Set columns.{name}.kind=ignore, or columns.{name}.kind=image to read them as well",
            )
