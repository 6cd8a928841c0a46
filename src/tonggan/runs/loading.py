"""From a plan to data: files decoded into the cache, rows examined, modalities and task fitted, data sets by split.

Everything that is learned from data (tokenizers, means, label names) is learned from the training part alone. No model
is built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import cell_text
from tonggan.data.cache import DecodeCache
from tonggan.data.column_checks import require_cells
from tonggan.data.dataset import ColumnSource, Dataset, MediaSource, Source, TargetSource
from tonggan.data.doctor import Diagnosis, examine
from tonggan.data.findings import Finding
from tonggan.data.kinds import guess_columns
from tonggan.data.media_range import settle_ranges
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.data.region_scan import scan_regions
from tonggan.data.scan import MediaColumn, scan_media
from tonggan.data.table import Table
from tonggan.decoders import TARGET
from tonggan.floor.reader import Reader
from tonggan.modalities import (
    ColumnConfig,
    IgnoreConfig,
    ImageConfig,
    MediaModality,
    Modality,
    NumericConfig,
    load_modality,
)
from tonggan.modalities.regions import Regions
from tonggan.models import ModelConfig
from tonggan.progress import Progress
from tonggan.runs.plan import Plan, build_modalities, remarks_on, task_for
from tonggan.tasks import LabelTask, Task, TaskConfig, type_of_texts
from tonggan.tasks.pictured import PicturedConfig
from tonggan.training.supervised import Auxiliary
from tonggan.wording import listed

FEATURES = "features"
"""In the folder of caches, what frozen encoders have made."""


@dataclass(frozen=True)
class Data:
    """All that a model learns from and is measured on, by split.

    Attributes:
        tables: by split.
        modalities: the inputs, fitted.
        task: fitted.
        auxiliaries: further targets of training, fitted.
        datasets: by split.
        readers: by input, what members of a floor read of it.
        diagnosis: what the doctor found.
        fingerprint: of all that was read.
    """

    tables: Mapping[str, Table]
    modalities: Mapping[str, Modality[Any]]
    task: Task
    auxiliaries: Mapping[str, Auxiliary]
    datasets: Mapping[str, Dataset]
    readers: Mapping[str, Reader]
    diagnosis: Diagnosis
    fingerprint: str


def load(
    plan: Plan,
    tables: Mapping[str, Table],
    *,
    cache: Path,
    progress: Progress,
    quarantine: Path | None = None,
    fitted: Mapping[str, Mapping[str, Any]] | None = None,
) -> Data:
    """What ``plan`` makes of its tables.

    Args:
        plan: of these tables.
        tables: by split.
        cache: folder of caches.
        progress: told of every step.
        quarantine: CSV file that gets the rows with unusable files, also when the run stops because of them.
        fitted: by input, the state of the one that its encoder starts from, instead of fitting it here.

    Raises:
        DataError: the data cannot be used; the doctor's findings say why.
    """
    recipe, columns = plan.recipe, plan.recipe.columns
    task = plan.task.build()
    modalities = build_modalities(columns, target=plan.predicted)
    for name in modalities.keys() & (fitted or {}).keys():
        modalities[name] = load_modality(modalities[name].config, dict((fitted or {})[name]))
    media, caches = scan_tables(tables, modalities, task=task, target=recipe.target, cache=cache, progress=progress)
    diagnosis = examine(
        tables,
        columns={**columns, **dict.fromkeys(recipe.auxiliary, IgnoreConfig())},
        media=media,
        target=recipe.target,
        task=plan.task,
        reasons=plan.reasons,
        remarks=plan.remarks,
        shown_in=task.target.follows,
    )
    if quarantine is not None:
        diagnosis.write_quarantine(quarantine)
    diagnosis.check(max_bad=recipe.max_bad)
    new = {name: modality for name, modality in modalities.items() if name not in (fitted or {})}
    fit_modalities(new, tables["train"], progress=progress)
    datasets = _fit_task_and_encode(plan, tables, modalities, task, diagnosis, media, caches)
    auxiliaries, datasets["train"] = _with_auxiliaries(plan, datasets["train"], tables["train"])
    readers = readers_of(modalities, recipe.floor.weights if recipe.floor else {}, cache=cache / FEATURES)
    return Data(tables, modalities, task, auxiliaries, datasets, readers, diagnosis, fingerprint_of(tables, media))


def readers_of(
    modalities: Mapping[str, Modality[Any]], weights: Mapping[str, str | None], *, cache: Path | None = None
) -> dict[str, Reader]:
    """What members of a floor read of each input; vectors of frozen encoders are kept in the folder ``cache``."""
    return {name: Reader(modality, weights=weights.get(name), cache=cache) for name, modality in modalities.items()}


def _fit_task_and_encode(
    plan: Plan,
    tables: Mapping[str, Table],
    modalities: Mapping[str, Modality[Any]],
    task: Task,
    diagnosis: Diagnosis,
    media: Mapping[str, Mapping[str, MediaColumn]],
    caches: Mapping[str, DecodeCache],
) -> dict[str, Dataset]:
    """Fit ``task`` on the training part; the data sets of all parts."""
    recipe, columns, train = plan.recipe, plan.recipe.columns, tables["train"]
    # Rows without a usable target are in the quarantine; all others learn or are measured.
    usable = {
        split: np.setdiff1d(np.arange(len(table)), diagnosis.rows(split, columns=recipe.target))
        for split, table in tables.items()
    }
    source = partial(target_source, target=recipe.target, caches=caches)
    task.fit(source(train, task=task, columns=columns, media=media["train"]).stream(usable["train"]))
    if isinstance(task, LabelTask) and task.label_type == "text":
        task.label_type = type_of_texts(task.labels, stored_as=train.stored_as(recipe.target[0]))
    datasets: dict[str, Dataset] = {}
    for split, table in tables.items():
        writing = diagnosis.other_writing.get(split, {})
        target = source(table, task=task, columns={**columns, **writing}, media=media[split])
        if isinstance(target, TargetSource):
            target.check(usable[split])
        datasets[split] = build_dataset(
            table,
            as_written(modalities, writing),
            media=media[split],
            caches=caches,
            rows=usable[split],
            targets={TARGET: target},
        )
    if recipe.data.batch_by is not None:
        datasets["train"] = _grouped(datasets["train"], train.values(recipe.data.batch_by, usable["train"]))
    return datasets


def _with_auxiliaries(plan: Plan, dataset: Dataset, table: Table) -> tuple[dict[str, Auxiliary], Dataset]:
    """The auxiliary targets by column, and the training part with them, from which their tasks learn their labels."""
    columns = plan.recipe.columns
    auxiliaries, sources = {}, dict(dataset.targets)
    for name, config in plan.recipe.auxiliary.items():
        task = task_for(table, [name], columns=columns).build()
        source = partial(target_source, table, [name], task, columns=columns, media={}, caches={})
        task.fit(source().stream(dataset.rows))
        auxiliaries[name], sources[name] = Auxiliary(task, config.input, config.weight), source()
    return auxiliaries, replace(dataset, targets=sources)


def _grouped(dataset: Dataset, values: Sequence[Any]) -> Dataset:
    """``dataset`` with rows of an equal value in the same batches."""
    _, groups = np.unique(np.array([cell_text(value) or "" for value in values]), return_inverse=True)
    return replace(dataset, groups=groups)


def fit_modalities(modalities: Mapping[str, Modality[Any]], table: Table, *, progress: Progress) -> None:
    """Let each modality learn what it needs from the training ``table``."""
    for name, modality in progress.track(modalities.items(), label="Fitting inputs", total=len(modalities)):
        modality.learn(name, partial(_stream, table))


def scan_tables(
    tables: Mapping[str, Table],
    modalities: Mapping[str, Modality[Any]],
    *,
    task: Task | None,
    target: Sequence[str],
    cache: Path,
    progress: Progress,
) -> tuple[dict[str, dict[str, MediaColumn]], dict[str, DecodeCache]]:
    """Decode every picture, recording and mask once; what each row has, by split and column, and caches by column.

    Args:
        tables: by split.
        modalities: the inputs.
        task: that predicts ``target``; needed with one.
        target: the columns that are predicted, if they are to be read.
        cache: folder of caches.
        progress: told of every step.
    """
    caches = {
        name: DecodeCache(cache / "decoded", modality)
        for name, modality in modalities.items()
        if isinstance(modality, MediaModality)
    }
    media: dict[str, dict[str, MediaColumn]] = {split: {} for split in tables}
    for split, table in tables.items():
        for name, store in caches.items():
            table.require(name)
            modality = modalities[name]
            assert isinstance(modality, MediaModality)
            media[split][name] = scan_media(table, name, modality=modality, cache=store, progress=progress)
    masks = task.target if task is not None and target else None
    if isinstance(masks, Regions):
        (name,) = target
        caches[name] = DecodeCache(cache / "decoded", masks)
        for split, table in tables.items():
            if name in table.names:
                extents = media[split][str(masks.follows)].extents
                assert extents is not None, "pictures know their extent"
                media[split][name] = scan_regions(table, name, masks, caches[name], extents=extents, progress=progress)
    return media, caches


def build_dataset(
    table: Table,
    modalities: Mapping[str, Modality[Any]],
    *,
    media: Mapping[str, MediaColumn],
    caches: Mapping[str, DecodeCache],
    rows: NDArray[np.int64] | None = None,
    targets: Mapping[str, Source] | None = None,
) -> Dataset:
    """The data set of ``rows`` of one table, of all by default, with their ``targets`` if there are any."""
    sources: dict[str, Source] = {}
    for name, modality in modalities.items():
        if isinstance(modality, MediaModality):
            sources[name] = MediaSource(modality, media[name], caches[name])
        else:
            for column, config in modality.columns(name).items():
                require_cells(table, column, config=config)
            sources[name] = ColumnSource(modality, table, name)
    rows = np.arange(len(table)) if rows is None else rows
    return Dataset(sources, rows, targets or {}, numbers=table.row_numbers)


def as_written(
    modalities: Mapping[str, Modality[Any]], writing: Mapping[str, NumericConfig]
) -> dict[str, Modality[Any]]:
    """``modalities`` for a table that writes some columns of numbers in another way, as the doctor has found."""
    return {name: modality.reading(writing) if writing else modality for name, modality in modalities.items()}


def target_source(
    table: Table,
    target: Sequence[str],
    task: Task,
    *,
    columns: Mapping[str, ColumnConfig],
    media: Mapping[str, MediaColumn],
    caches: Mapping[str, DecodeCache],
) -> Source:
    """Where the target of ``task`` comes from in ``table``."""
    modality = task.target
    if target[0] in media:
        return MediaSource(modality, media[target[0]], caches[target[0]])
    return TargetSource(modality, table, {name: columns[name] for name in target})


def diagnose_tables(sources: Mapping[str, Any], *, target: Sequence[str], progress: Progress) -> Diagnosis:
    """The doctor's diagnosis of tables by split, the first of them the training part, without a recipe.

    Raises:
        DataError: a table cannot be opened, or has no such column.
    """
    cache = cache_folder()
    tables = {split: open_table(source, cache=cache, progress=progress) for split, source in sources.items()}
    train = next(iter(tables.values()))
    guesses = settle_ranges(train, guess_columns(train, target=target, declared={}))
    columns = {name: guess.config for name, guess in guesses.items()}
    config, remarks = None, remarks_on(guesses, train)
    if target:
        config, found = _looked_at(task_for(train, target, columns=columns), columns, target=target)
        _, config, columns = config.complete(ModelConfig(), columns, target=target)
        remarks += found
    task = None if config is None else config.build()
    media, _ = scan_tables(
        tables, build_modalities(columns, target=target), task=task, target=target, cache=cache, progress=progress
    )
    return examine(
        tables,
        columns=columns,
        media=media,
        target=target,
        task=config,
        reasons={name: guess.reason for name, guess in guesses.items()},
        remarks=remarks,
        shown_in=None if task is None else task.target.follows,
    )


def _looked_at(
    task: TaskConfig, columns: Mapping[str, ColumnConfig], *, target: Sequence[str]
) -> tuple[TaskConfig, list[Finding]]:
    """``task`` with the first of several pictures as the one that is looked at, and that a fit wants to be told."""
    pictures = [name for name, config in columns.items() if isinstance(config, ImageConfig) and name not in target]
    if not isinstance(task, PicturedConfig) or len(pictures) < 2:
        return task, []
    names, names_zh = listed(pictures, limit=5)
    finding = Finding(
        "warning",
        target[0],
        "train",
        0,
        message=f"'{target[0]}' may lie in any of the pictures {names}; here '{pictures[0]}' is taken.",
        message_zh=f"“{target[0]}”可能位于以下任一图片列中：{names_zh}；此处按“{pictures[0]}”检查。",
        remedy="For a fit set task.picture, or columns.NAME.kind=ignore for one that shows the answer",
        remedy_zh="训练时请设置 task.picture；若某列图片显示了答案，请设置 columns.NAME.kind=ignore",
    )
    return task.model_copy(update={"picture": pictures[0]}), [finding]


def fingerprint_of(tables: Mapping[str, Table], media: Mapping[str, Mapping[str, MediaColumn]]) -> str:
    """A hash of all tables, and of which rows have which decoded content."""
    digest = hashlib.sha256()
    for split, table in tables.items():
        digest.update(f"{split}:{table.fingerprint}:{len(table)};".encode())
        for name, column in media.get(split, {}).items():
            digest.update(f"{name}:".encode())
            digest.update(column.status.tobytes())
    return digest.hexdigest()[:32]


def _stream(table: Table, name: str) -> Iterator[Any]:
    for values in table.iterate(name):
        yield from values
