"""From a column without labels to a pretrained encoder: read, hide, guess, measure on held-out rows, save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from tonggan.cells import cell_text
from tonggan.config import apply_overrides
from tonggan.data.cache import DecodeCache
from tonggan.data.dataset import Dataset
from tonggan.data.doctor import examine
from tonggan.data.kinds import guess_columns
from tonggan.data.loader import Loader
from tonggan.data.media_range import settle_ranges, typical_described
from tonggan.data.places import cache_folder
from tonggan.data.scan import MediaColumn
from tonggan.data.table import Table
from tonggan.encoders import EncoderConfig, default_encoder
from tonggan.errors import ConfigError, DataError
from tonggan.files import whole_file
from tonggan.modalities import CategoryConfig, ColumnConfig, ImageConfig, Modality, TextConfig
from tonggan.modalities.base import InputConfig
from tonggan.models.state import learned_state
from tonggan.pretraining.base import (
    Pretraining,
    PretrainingConfig,
    PretrainRecipe,
    default_objective,
    encoder_of,
    measured,
    write_page,
)
from tonggan.progress import Progress, chosen_progress
from tonggan.runs.arguments import chosen_folder, split_sources, with_given
from tonggan.runs.bundle import InputEntry, versions
from tonggan.runs.bundle_folder import CHECKPOINTS, ENCODER, RECIPE
from tonggan.runs.duration import parse_duration
from tonggan.runs.loading import build_dataset, fingerprint_of, fit_modalities, scan_tables
from tonggan.runs.pretrained import Manifest, read_manifest, write_pretrained
from tonggan.runs.run_folder import claimed, finish, remember
from tonggan.runs.splits import open_splits
from tonggan.tokens import Batch
from tonggan.training import Budget, Following, TrainingResult, train
from tonggan.training.world import World, world

REPORT = "report.html"
_MOST_VALIDATED = 5_000
_FEWEST_ROWS = 8
_ADAPTED_ROWS = 500
_LARGEST_SIZE = 64  # pixels a side of pictures, where nobody names another


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder in its folder."""

    folder: Path
    manifest: Manifest

    @property
    def results(self) -> Mapping[str, Any]:
        """Held-out loss before and after, rows, steps, seconds."""
        return self.manifest.results


@dataclass(frozen=True)
class _Column:
    """The column that is learned from, read and fitted.

    Attributes:
        name: of the column.
        tables: by split.
        modality: fitted.
        datasets: by split, of the rows that have an item.
        fingerprint: of all that was read.
    """

    name: str
    tables: Mapping[str, Table]
    modality: Modality[Any]
    datasets: Mapping[str, Dataset]
    fingerprint: str


def pretrain(
    data: Any,
    *,
    out: str | Path | None = None,
    objective: str | None = None,
    column: str | None = None,
    valid: Any = None,
    time_limit: str | float | None = None,
    settings: Sequence[str] | Mapping[str, Any] = (),
    seed: int | None = None,
    overwrite: bool = False,
    progress: Progress | bool | None = None,
    started: float | None = None,
) -> Pretrained:
    """Let an encoder learn from a column without labels; a fit starts from it with ``start.COLUMN=RUN``.

    Args:
        data: table, as for ``fit``, or a folder of pictures or sounds.
        out: the run's folder; without it the folder is new, as for ``fit``.
        objective: ``"masked_language"``, ``"causal_language"``, ``"masked_image"``, ``"masked_audio"`` or
            ``"contrastive"``; by default what suits the column.
        column: to learn from, where more than one can be meant.
        valid: table to choose the weights on; without it a part of ``data`` is held out.
        time_limit: for everything, in seconds or as ``"5m"``.
        settings: single fields of ``PretrainRecipe``, given as for ``fit``, e.g. ``{"encoder.num_layers": 4}``;
            ``license`` among them, which the manifest of the weights names.
        seed: same seed, same numbers.
        overwrite: replace a pretrained encoder that is already in ``out``.
        progress: as for ``fit``.
        started: as for ``fit``.

    Raises:
        TongganError: with who, what was got, what was expected, and the remedy.
    """
    paths, sources = split_sources({"train": data, "valid": valid})
    given = {"seed": seed, "column": column, "objective.kind": objective}
    recipe = PretrainRecipe.parse(apply_overrides({"data": paths}, with_given(settings, given)), who="settings")
    shown = chosen_progress(progress)
    return pretrain_encoder(
        recipe,
        out=chosen_folder(out, "pretrain", shown),
        sources=sources,
        time_limit=None if time_limit is None else parse_duration(time_limit),
        started=started,
        overwrite=overwrite,
        progress=shown,
    )


def pretrain_encoder(
    recipe: PretrainRecipe,
    *,
    out: Path,
    sources: Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    started: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Pretrained:
    """Pretrain the encoder that ``recipe`` names, and leave it in ``out``; an interrupted training goes on.

    Started by ``torchrun``, the processes share each batch; what comes before and after, the main one does.

    Args:
        recipe: what to learn from, and how.
        out: the run's folder.
        sources: tables in memory by split, instead of the recipe's paths.
        time_limit: seconds for everything.
        started: ``time.monotonic()`` from which these count, now by default.
        overwrite: replace a pretrained encoder that is there.
        progress: told of every step.

    Raises:
        ConfigError: the recipe does not fit the data, or its parts do not fit each other.
        DataError: the data cannot be used, or hold too few items.
        BundleError: the folder is in use, holds something else, or cannot be written.
        TrainingError: the loss is not finite.
    """
    progress, budget = progress or Progress(), Budget(time_limit, started=started)
    with world() as processes:
        if not processes.is_main:
            processes.wait()  # By then what is decoded is in the cache.
            full, column = _read(recipe, sources or {}, progress=Progress())
            _learn(full, column, out=out, budget=budget, processes=processes, progress=Progress())
            processes.wait()
            return Pretrained(out, read_manifest(out))
        with claimed(out, overwrite=overwrite, index=ENCODER):
            full, column = _read(recipe, sources or {}, progress=progress, quarantine=out / "quarantine.csv")
            remember(out, f"# data: {column.fingerprint}\n{full.to_yaml()}", overwrite=overwrite)
            processes.wait()
            learned = _learn(full, column, out=out, budget=budget, processes=processes, progress=progress)
            made = _save(out, full, column, learned, seconds=budget.elapsed)
            finish(out)
        processes.wait()
    return made


@dataclass(frozen=True)
class _Learned:
    """An objective with its encoder, how its training went, and the metrics of the held-out rows before and after."""

    objective: Pretraining
    result: TrainingResult
    before: Mapping[str, float]
    after: Mapping[str, float]


def _learn(
    recipe: PretrainRecipe, column: _Column, *, out: Path, budget: Budget, processes: World, progress: Progress
) -> _Learned:
    """The training, of which each process does its part."""
    objective = _objective(recipe, column)
    told = ", ".join(f"{len(part):,} {split}" for split, part in column.datasets.items())
    progress.say(f"'{column.name}' is a column of kind {column.modality.kind}; items: {told}")
    progress.say(f"Objective: {objective.kind}; encoder: {cast('Any', recipe.encoder).kind}")
    loaders = {split: _loader(recipe, part, split=split) for split, part in column.datasets.items()}
    began = budget.elapsed
    before = measured(objective, loaders["valid"], processes=processes).metrics()
    closing = budget.elapsed - began  # what is measured once more at the end takes as long
    result = train(
        objective,
        loaders["train"],
        valid=loaders["valid"],
        config=recipe.training,
        folder=out / CHECKPOINTS,
        seed=recipe.seed,
        budget=budget,
        following=Following(lambda: closing),
        progress=progress,
    )
    after = measured(objective, loaders["valid"], processes=processes).metrics()
    return _Learned(objective, result, before, after)


def _read(
    recipe: PretrainRecipe, sources: Mapping[str, Any], *, progress: Progress, quarantine: Path | None = None
) -> tuple[PretrainRecipe, _Column]:
    """The recipe with every choice made, and its column."""
    cache = cache_folder()
    tables = open_splits(recipe.data, target=[], sources=sources, seed=recipe.seed, cache=cache, progress=progress)
    name, config = _chosen_column(recipe, tables["train"])
    objective = recipe.objective or default_objective(config.kind).model_validate({})
    encoder = recipe.encoder or default_encoder(config.kind)
    if encoder.reads != config.kind:
        raise ConfigError(
            "recipe.encoder",
            got=f"kind '{encoder.kind}', which reads {encoder.reads}, for the column '{name}' of kind '{config.kind}'",
            expected=f"one that reads {config.kind}",
            remedy="Leave encoder out to get the default one",
        )
    config = encoder.prepare(cast("InputConfig", config))  # type: ignore[assignment]
    modalities = {name: cast("InputConfig", config).build()}
    media, caches = scan_tables(tables, modalities, task=None, target=[], cache=cache, progress=progress)
    diagnosis = examine(tables, columns={name: config}, media=media)
    if quarantine is not None:
        diagnosis.write_quarantine(quarantine)
    diagnosis.check(max_bad=recipe.max_bad)
    for line in diagnosis.told():
        progress.warn_of_data(line)
    fit_modalities(modalities, tables["train"], progress=progress)
    datasets = {
        split: _present(table, modalities, name=name, media=media[split], caches=caches, objective=objective)
        for split, table in tables.items()
        if split != "test"
    }
    if len(datasets["train"]) < _FEWEST_ROWS or not len(datasets["valid"]):
        raise DataError(
            f"column '{name}' of {tables['train'].source}",
            got=f"{len(datasets['train'])} items to learn from and {len(datasets['valid'])} held out",
            expected=f"at least {_FEWEST_ROWS} to learn from, and some held out",
            remedy="Add rows, or check the paths of files",
        )
    datasets["valid"] = datasets["valid"].sample(_MOST_VALIDATED, seed=recipe.seed)
    full = recipe.model_copy(
        update={"column": name, "columns": {name: config}, "objective": objective, "encoder": encoder}
    )
    return full, _Column(name, tables, modalities[name], datasets, fingerprint_of(tables, media))


def _chosen_column(recipe: PretrainRecipe, table: Table) -> tuple[str, ColumnConfig]:
    """The name and the kind of the column to learn from."""
    if recipe.column is not None:
        table.require(recipe.column)
    family = PretrainingConfig.family().values()
    chosen = [each for each in family if recipe.objective is None or isinstance(recipe.objective, each)]
    readable = {kind for each in chosen for kind in each.reads}
    guesses = settle_ranges(table, guess_columns(table, target=[], declared=recipe.columns))
    found: dict[str, ColumnConfig] = {}
    for name, guess in guesses.items():
        config = guess.config
        # Names that repeat are texts for whoever asks for them.
        if name == recipe.column and name not in recipe.columns and isinstance(config, CategoryConfig):
            config = TextConfig()
        if config.kind in readable and recipe.column in (None, name):
            found[name] = config
    if len(found) != 1:
        raise ConfigError(
            "recipe.column",
            got=f"{', '.join(found)}, which may all be meant"
            if found
            else "; ".join(f"{name}: {guess.config.kind}" for name, guess in guesses.items()),
            expected=f"one column of kind {', '.join(sorted(readable))}",
            remedy="Name it with --column, and its kind with --set columns.NAME.kind=… where it is taken for another",
        )
    ((name, config),) = found.items()
    if isinstance(config, ImageConfig) and "size" not in config.model_fields_set:
        typical = typical_described(table, name, config, "size") or config.size
        config = config.model_copy(update={"size": int(np.clip(typical, 8, _LARGEST_SIZE))})
    return name, config


class _AsTheyAre(Dataset):
    """Items without the random variation of their column."""

    def vary(self, batch: Batch, generator: torch.Generator, **_: Any) -> Batch:
        del generator
        return batch


def _present(
    table: Table,
    modalities: Mapping[str, Modality[Any]],
    *,
    name: str,
    media: Mapping[str, MediaColumn],
    caches: Mapping[str, DecodeCache],
    objective: PretrainingConfig,
) -> Dataset:
    """The rows that have an item, from which alone there is something to learn."""
    if name in media:
        rows = np.flatnonzero(media[name].slots >= 0)
    else:
        there = [cell_text(cell) is not None for cells in table.iterate(name) for cell in cells]
        rows = np.flatnonzero(np.array(there, dtype=bool))
    made = build_dataset(table, modalities, media=media, caches=caches, rows=rows)
    return made if objective.varies else _AsTheyAre(made.inputs, made.rows, numbers=made.numbers)


def _loader(recipe: PretrainRecipe, dataset: Dataset, *, split: str) -> Loader:
    size = recipe.training.batch_size
    is_train = split == "train"
    return Loader(
        dataset, batch_size=size, seed=recipe.seed, shuffle=is_train, drop_last=is_train and len(dataset) >= size
    )


def _objective(recipe: PretrainRecipe, column: _Column) -> Pretraining:
    """The objective with its encoder, both with seeded random weights."""
    encoder_config, config = cast("EncoderConfig", recipe.encoder), cast("PretrainingConfig", recipe.objective)
    encoder = encoder_of(encoder_config, column.modality, dim=recipe.dim, seed=recipe.seed)
    if getattr(encoder, "adapts", False):
        some = column.datasets["train"].sample(_ADAPTED_ROWS, seed=recipe.seed)
        arrays = some.batch(np.arange(len(some))).inputs[column.name]
        cast("Any", encoder).adapt(arrays.expand())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + 1)
        return config.build(encoder, column.modality, dim=recipe.dim)


def _save(out: Path, recipe: PretrainRecipe, column: _Column, learned: _Learned, *, seconds: float) -> Pretrained:
    objective, result = learned.objective, learned.result
    encoder: nn.Module = objective.encoder.cpu().eval()
    results = {
        "task": "pretrain",
        "objective": objective.kind,
        "column": column.name,
        "rows": {split: len(part) for split, part in column.datasets.items()},
        "before": dict(learned.before),
        "after": dict(learned.after),
        "steps": result.steps,
        "best_step": result.best_step,
        "stopped_by": result.stopped_by,
        "training_seconds": result.seconds,
        "seconds": seconds,
        "history": result.history,
    }
    with whole_file(out / RECIPE) as partial:
        partial.write_text(recipe.to_yaml(), encoding="utf-8")
    trained_on = f"{len(column.datasets['train']):,} items of '{column.name}' in {column.tables['train'].source}"
    write_page(out / REPORT, results, recipe, trained_on=trained_on)
    manifest = write_pretrained(
        out,
        learned_state(encoder),
        objective=objective.kind,
        column=column.name,
        dim=recipe.dim,
        encoder=recipe.encoder,
        input=InputEntry(config=column.modality.config, state=column.modality.state()),
        trained_on=trained_on,
        rows=len(column.datasets["train"]),
        fingerprint=column.fingerprint,
        license=recipe.license,
        parameters=sum(tensor.numel() for tensor in encoder.parameters()),
        results=results,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Pretrained(out, manifest)
