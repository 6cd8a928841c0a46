"""What a space learns from: a table whose rows hold what belongs together, read into features once."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import cell_text
from tonggan.data.dataset import Dataset
from tonggan.data.doctor import examine
from tonggan.data.kinds import guess_columns
from tonggan.data.media_range import settle_ranges
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.data.table import Table
from tonggan.encoders import EncoderConfig
from tonggan.errors import ConfigError, DataError
from tonggan.modalities import CategoryConfig, ColumnConfig, ImageConfig, Modality, TextConfig, load_modality
from tonggan.progress import Progress
from tonggan.runs.loading import FEATURES, build_dataset, fingerprint_of, fit_modalities, scan_tables
from tonggan.runs.plan import build_modalities
from tonggan.runs.splits import open_splits
from tonggan.space.config import MatchRecipe
from tonggan.space.features import FeatureReader, Features, choose_weights
from tonggan.space.matcher import PICTURE_SIZE, Matcher
from tonggan.space.objective import classes_of

_FEWEST_PAIRS = 8


@dataclass(frozen=True)
class Pairs:
    """What a space learns from, by split.

    Attributes:
        tables: by split.
        modalities: the inputs, fitted.
        datasets: by split, the inputs as they stand in the tables.
        reader: of their features.
        features: by split and input.
        labels: by split, the class of each row, or None.
        num_labels: classes of the training part.
        fingerprint: of all that was read.
    """

    tables: Mapping[str, Table]
    modalities: Mapping[str, Modality[Any]]
    datasets: Mapping[str, Dataset]
    reader: FeatureReader
    features: Mapping[str, Mapping[str, Features]]
    labels: Mapping[str, NDArray[np.int64] | None]
    num_labels: int
    fingerprint: str

    @property
    def final(self) -> str:
        """The part that gives the final number."""
        return list(self.features)[-1]

    def learned_from(self, split: str, kinds: Container[str]) -> Dataset:
        """The rows of ``split`` with the inputs of ``kinds`` alone."""
        dataset = self.datasets[split]
        inputs = {name: source for name, source in dataset.inputs.items() if source.modality.kind in kinds}
        return replace(dataset, inputs=inputs)

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each input."""
        return {name: modality.kind for name, modality in self.modalities.items()}


def read_pairs(
    recipe: MatchRecipe, sources: Mapping[str, Any], *, progress: Progress, quarantine: Path | None = None
) -> Pairs:
    """The features of all rows that ``recipe`` learns from and is measured on.

    Raises:
        ConfigError, DataError, MissingExtraError: as ``fit_space``.
    """
    cache = cache_folder()
    target = [] if recipe.labels is None else [recipe.labels]
    tables = open_splits(recipe.data, target=target, sources=sources, seed=recipe.seed, cache=cache, progress=progress)
    columns, reasons = columns_to_match(tables["train"], recipe.columns, labels=recipe.labels)
    columns = _prepared(columns, recipe.space.encoders, target=target)
    modalities = build_modalities(columns, target=target)
    if len(modalities) < 2:
        raise ConfigError(
            f"table {tables['train'].source}",
            got="fewer than two inputs: " + "; ".join(f"{name}: {reason}" for name, reason in reasons.items()),
            expected="two or more columns whose cells in one row belong together",
            remedy="Declare a kind, e.g. --set columns.NAME.kind=text",
        )
    weights = choose_weights([each.kind for each in modalities.values()], recipe.space.weights)
    media, caches = scan_tables(tables, modalities, task=None, target=[], cache=cache, progress=progress)
    diagnosis = examine(tables, columns=columns, media=media, reasons=reasons)
    if quarantine is not None:
        diagnosis.write_quarantine(quarantine)
    diagnosis.check(max_bad=recipe.max_bad)
    for told in diagnosis.told():
        progress.warn_of_data(told)
    fit_modalities({n: m for n, m in modalities.items() if m.kind == "table"}, tables["train"], progress=progress)
    modalities |= _fitted_alike(modalities, recipe.space.encoders, tables["train"])
    reads_sets = recipe.space.matching != "pooled" and recipe.space.parts != "linear"
    reader = FeatureReader(modalities, weights, cache=cache / FEATURES, reads_sets=reads_sets)
    features = {
        split: reader.read_table(
            table, media=media[split], caches=caches, rows=np.arange(len(table)), progress=progress
        )
        for split, table in tables.items()
    }
    _check_pairs(features["train"], tables["train"].source)
    for line in _seen_before(features):
        progress.say(line)
    labels, names = _labels(recipe, tables)
    datasets = {
        split: build_dataset(table, modalities, media=media[split], caches=caches) for split, table in tables.items()
    }
    fingerprint = fingerprint_of(tables, media)
    return Pairs(tables, modalities, datasets, reader, features, labels, len(names), fingerprint)


def _prepared(
    columns: Mapping[str, ColumnConfig], encoders: Mapping[str, EncoderConfig], *, target: Sequence[str]
) -> dict[str, ColumnConfig]:
    """The columns as encoders that learn want to read them."""
    readable = {each.reads for each in EncoderConfig.family().values()}
    kinds = [config.kind for name, config in columns.items() if name not in target and config.kind in readable]
    for kind, encoder in encoders.items():
        if kind not in kinds or encoder.reads != kind:
            raise ConfigError(
                "space.encoders",
                got=f"'{encoder.kind}', which reads {encoder.reads}, for inputs of kind '{kind}'",
                expected="an encoder of a kind of input among " + ", ".join(dict.fromkeys(kinds)),
                remedy="Leave it out, or choose another with --set space.encoders.KIND.kind=",
            )
    return {
        name: config if config.kind not in encoders or name in target else _as_column(encoders[config.kind], config)
        for name, config in columns.items()
    }


def _as_column(encoder: EncoderConfig, config: Any) -> ColumnConfig:
    prepared: Any = encoder.prepare(config)
    return cast("ColumnConfig", prepared)


def _fitted_alike(
    modalities: Mapping[str, Modality[Any]], encoders: Mapping[str, EncoderConfig], table: Table
) -> dict[str, Modality[Any]]:
    """The inputs that encoders which learn read; those of one kind have learned from all columns of that kind."""
    found: dict[str, Modality[Any]] = {}
    for kind in encoders:
        names = [name for name, modality in modalities.items() if modality.kind == kind]
        cells = (cell for name in names for part in table.iterate(name) for cell in part)
        first = modalities[names[0]]
        first.learn(names[0], partial(_whatever_column, cells))
        found |= {name: load_modality(modalities[name].config, first.state()) for name in names}
    return found


def _whatever_column(cells: Iterable[Any], _: str) -> Iterable[Any]:
    return cells


def read_rows(matcher: Matcher, data: Any, *, max_bad: float, progress: Progress) -> tuple[Table, dict[str, Features]]:
    """The features of other pairs, of the inputs that the space of ``matcher`` has learned from.

    Raises:
        DataError: the data cannot be read, or lack an input.
    """
    cache = cache_folder()
    table = open_table(data, cache=cache, progress=progress)
    columns = {
        column: config for name, each in matcher.modalities.items() for column, config in each.columns(name).items()
    }
    for column in columns:
        table.require(column)
    tables = {"test": table}
    media, caches = scan_tables(tables, matcher.modalities, task=None, target=[], cache=cache, progress=progress)
    examine(tables, columns=columns, media=media).check(max_bad=max_bad)
    rows = np.arange(len(table))
    reader = matcher.reader()
    return table, reader.read_table(table, media=media["test"], caches=caches, rows=rows, progress=progress)


def columns_to_match(
    table: Table, declared: Mapping[str, ColumnConfig], *, labels: str | None = None
) -> tuple[dict[str, ColumnConfig], dict[str, str]]:
    """The kind of each column, and why: names that repeat are texts here, so that other names can be searched by."""
    target = [] if labels is None else [labels]
    guesses = settle_ranges(table, guess_columns(table, target=target, declared=declared))
    columns: dict[str, ColumnConfig] = {}
    for name, guess in guesses.items():
        config = guess.config
        if name not in declared and name not in target:
            if isinstance(config, CategoryConfig):
                config = TextConfig()
            elif isinstance(config, ImageConfig):
                config = config.model_copy(update={"size": PICTURE_SIZE})
        columns[name] = config
    return columns, {name: guess.reason for name, guess in guesses.items()}


def _check_pairs(features: Mapping[str, Features], source: str) -> None:
    present = np.sum([each.present for each in features.values()], axis=0)
    count = int((present >= 2).sum())
    if count < _FEWEST_PAIRS:
        raise DataError(
            f"table {source}",
            got=f"{count} rows of the training part in which two inputs are there",
            expected=f"at least {_FEWEST_PAIRS} to learn from",
            remedy="Add rows, or check the paths of files",
        )


def _seen_before(features: Mapping[str, Mapping[str, Features]]) -> list[str]:
    """What of the later parts stands in the training part as well."""
    told = []
    for split, part in features.items():
        for name, each in part.items():
            known = np.isin(each.content, features["train"][name].content[features["train"][name].present])
            seen = int((known & each.present).sum())
            if split != "train" and seen:
                told.append(
                    f"{seen:,} of {int(each.present.sum()):,} in '{name}' of {split} also stand in train: "
                    "finding them there says less than finding new ones."
                )
    return told


def _labels(recipe: MatchRecipe, tables: Mapping[str, Table]) -> tuple[dict[str, NDArray[np.int64] | None], list[str]]:
    if recipe.labels is None:
        return dict.fromkeys(tables), []
    column = recipe.labels
    texts = {
        split: [cell_text(cell) for cell in table.values(column, np.arange(len(table)))]
        if column in table.names
        else [None] * len(table)
        for split, table in tables.items()
    }
    names = sorted({text for text in texts["train"] if text is not None})
    return {split: classes_of(values, names) for split, values in texts.items()}, names
