"""A finished run as something to use: predict, measure, embed, save."""

from __future__ import annotations

import difflib
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from tonggan.data.cache import DecodeCache
from tonggan.data.dataset import Dataset, TargetSource
from tonggan.data.doctor import NEW_ROWS, Diagnosis, examine_rows
from tonggan.data.findings import Finding
from tonggan.data.kinds import is_id
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.data.scan import MediaColumn
from tonggan.data.table import Table
from tonggan.decoders import TARGET
from tonggan.errors import BundleError, DataError
from tonggan.evaluation.predict import evaluating, iterate_batches, measure_rows, predict_rows
from tonggan.modalities.base import MediaConfig
from tonggan.progress import Progress
from tonggan.runs.assess import assess
from tonggan.runs.bundle import Bundle
from tonggan.runs.loading import as_written, build_dataset, scan_tables, target_source
from tonggan.runs.pictures import coco_of, draw_answers
from tonggan.runs.results import Results
from tonggan.tokens import Prediction
from tonggan.wording import listed

_T = TypeVar("_T")
_GO_ON = "Correct the cells, or go on anyway with --max-bad 1 (in Python max_bad=1)"


@dataclass(frozen=True)
class NewRows:
    """Rows that ``Predictor.read`` has opened and examined, to be predicted or measured.

    Attributes:
        table: the rows, with the columns that they lack as absent.
        dataset: what the model reads of them.
        diagnosis: what the doctor found in them, and beside the training table.
        given: what the user gave.
    """

    table: Table
    dataset: Dataset
    diagnosis: Diagnosis
    given: Any


class Predictor:
    """A trained model with everything it needs to read raw data.

    ``data`` is always what ``fit`` takes: a path, a data frame, an Arrow table, columns as a mapping of lists, a row as
    a mapping, or a list of such rows; or what ``read`` has made of it. A cell that is empty is absent, and so is a
    column that is left out. Whatever the doctor finds in the rows is a ``DataWarning``.

    Args:
        bundle: the trained run.
        folder: where it is stored.
    """

    def __init__(self, bundle: Bundle, *, folder: Path) -> None:
        self.bundle = bundle
        self.folder = folder

    @staticmethod
    def load(folder: Path) -> Predictor:
        """The finished run in ``folder``.

        Raises:
            BundleError: no bundle, an unfinished run, a damaged file, or a newer format.
        """
        return Predictor(Bundle.load(folder), folder=folder)

    def __repr__(self) -> str:
        inputs = list(self.bundle.modalities)
        return f"Predictor({str(self.folder)!r}, target={self.bundle.recipe.target}, inputs={inputs})"

    @property
    def results(self) -> Results:
        """The stored metrics, intervals, subsets table, audit and time, as ``--json`` prints them."""
        return Results(self.bundle.results)

    @property
    def labels(self) -> list[Any]:
        """The classes or labels in the order of ``predict_proba``'s columns, in the type of the target column."""
        return self.bundle.task.label_values

    def read(
        self, data: Any, *, with_target: bool = False, max_bad: float | None = None, progress: Progress | None = None
    ) -> NewRows:
        """Open ``data`` and let the doctor examine it, so that ``diagnosis`` can be looked at before it is used.

        Args:
            data: as for ``predict``.
            with_target: whether the target is to be read too, as ``evaluate`` needs it; rows without a usable one
                are left out, as in training.
            max_bad: stop where more than this share of rows has cells that cannot be used; None stops where all have.
            progress: told of every step and of what the doctor finds.

        Raises:
            DataError: as ``predict``; or more rows than ``max_bad`` allows are bad.
        """
        if isinstance(data, NewRows):
            return data
        progress = progress or Progress()
        cache, modalities, columns = cache_folder(), self.bundle.modalities, self.bundle.columns
        opened = self._named_by_kind(open_table(data, cache=cache, progress=progress))
        task, target = self.bundle.task, self.bundle.recipe.target if with_target else []
        for name in target:
            opened.require(name)
        absent = [name for name in columns if name not in opened.names]
        if len(absent) == len(columns):
            opened.require(absent[0])
        table = opened.with_absent(absent)
        tables = {"data": table}
        media, caches = scan_tables(tables, modalities, task=task, target=target, cache=cache, progress=progress)
        diagnosis = examine_rows(
            table,
            columns={name: config for name, config in columns.items() if name not in absent},
            media=media["data"],
            profiles=self.bundle.profiles,
            target={name: self.bundle.recipe.columns[name] for name in target},
            task=self.bundle.recipe.task,
            labels=task.known,
            shown_in=task.target.follows,
        )
        if absent:
            diagnosis = replace(diagnosis, findings=[_lacking(opened, absent, columns), *diagnosis.findings])
        for line in diagnosis.told():
            progress.warn_of_data(line)
        diagnosis.check(max_bad=1.0 if max_bad is None else max_bad, remedy=_GO_ON)
        modalities = as_written(modalities, diagnosis.other_writing[NEW_ROWS])
        dataset = build_dataset(table, modalities, media=media["data"], caches=caches)
        if target:
            dataset = self._with_target(dataset, table, diagnosis, media=media["data"], caches=caches)
        return NewRows(table, dataset, diagnosis, data)

    def _named_by_kind(self, table: Table) -> Table:
        """``table``; where it is files alone, whose column is called by their kind, as the only input of that kind."""
        kind, *others = table.names
        inputs = [
            name
            for name, modality in self.bundle.modalities.items()
            if isinstance(modality.config, MediaConfig) and modality.config.kind == kind
        ]
        if others or kind in self.bundle.columns or len(inputs) != 1:
            return table
        return table.renamed(kind, inputs[0])

    def _with_target(
        self,
        dataset: Dataset,
        table: Table,
        diagnosis: Diagnosis,
        *,
        media: Mapping[str, MediaColumn],
        caches: Mapping[str, DecodeCache],
    ) -> Dataset:
        """The rows that have a usable target, with it."""
        recipe = self.bundle.recipe
        usable = np.setdiff1d(dataset.rows, diagnosis.rows(NEW_ROWS, columns=recipe.target))
        columns = {**recipe.columns, **diagnosis.other_writing[NEW_ROWS]}
        task = self.bundle.task
        source = target_source(table, recipe.target, task, columns=columns, media=media, caches=caches)
        if isinstance(source, TargetSource):
            source.check(usable)
        return replace(dataset, rows=usable, targets={TARGET: source})

    def predict(self, data: Any, *, progress: Progress | None = None) -> Any:
        """One prediction for each row: a class in the type of the target column, a list of labels, or a number.

        Returns:
            For a pandas data frame a Series of the target's name with the frame's index, or a data frame where several
            columns are predicted; for all other data a list, with a dict by column where several are predicted.

        Raises:
            DataError: the data cannot be read or lack every column that the model reads.
        """
        rows = self.read(data, progress=progress)
        batches, data = self._predict(rows, self.bundle.task.decode, progress), rows.given
        predictions = list(chain.from_iterable(batches))
        pandas = sys.modules.get("pandas")  # whoever holds a data frame has imported it
        if pandas is None or not isinstance(data, pandas.DataFrame):
            return predictions
        target = self.bundle.recipe.target
        if len(target) > 1:
            return pandas.DataFrame(predictions, index=data.index)
        return pandas.Series(predictions, index=data.index, name=target[0])

    def predict_proba(self, data: Any, *, progress: Progress | None = None) -> NDArray[np.float64]:
        """[N, num_classes] calibrated probabilities, columns in the order of ``labels``.

        Raises:
            DataError: as ``predict``; or the task has none.
        """
        batches = self._predict(data, self.bundle.task.probabilities, progress)
        found = [batch for batch in batches if batch is not None]
        if not found:
            raise DataError(
                "predict_proba",
                got=f"a {self.bundle.task.kind} model",
                expected="a model that predicts classes or labels",
                remedy="Call predict instead",
            )
        return torch.cat(found).double().numpy()

    def predict_table(
        self, data: Any, *, keep: Sequence[str] | None = None, progress: Progress | None = None
    ) -> pa.Table:
        """Predictions as a table: ``prediction`` (or one column for each number), and a probability per class.

        Args:
            data: as for ``predict``.
            keep: columns of ``data`` to carry along. Unless it is None, the row's number in ``data`` and its ids are
                put before the predictions too.
            progress: told of every step.

        Raises:
            DataError: as ``predict``; or ``data`` has no column of ``keep``.
        """
        rows = self.read(data, progress=progress)
        kept = {} if keep is None else _kept(rows.table, keep)
        task = self.bundle.task
        batches = self._predict(rows, lambda found: (task.decode(found), task.probabilities(found)), progress)
        predictions = [task.as_cell(answer) for answers, _ in batches for answer in answers]
        probabilities = [part for _, part in batches if part is not None]
        target = self.bundle.recipe.target
        if len(target) > 1:
            columns = {name: [row[name] for row in predictions] for name in target}
        else:
            columns = {"prediction": predictions}
        if probabilities:
            shares = torch.cat(probabilities).T.tolist()
            columns |= {f"p_{label}": share for label, share in zip(task.labels, shares, strict=True)}
        # A column that is carried along and called like a prediction keeps its name with a mark.
        return pa.table(
            {name if name not in columns else f"{name}_given": values for name, values in kept.items()} | columns
        )

    def predict_coco(self, data: Any, *, progress: Progress | None = None) -> dict[str, Any]:
        """Boxes as COCO's JSON: ``images``, ``categories`` and ``annotations``, each of these with its ``score``.

        Raises:
            DataError: as ``predict``; or the model finds no boxes.
        """
        rows = self.read(data, progress=progress)
        return coco_of(self.bundle, rows.table, rows.dataset, progress=progress)

    def draw(self, data: Any, folder: str | Path, *, progress: Progress | None = None) -> int:
        """Write each row's picture with its answer drawn into ``folder``, as its number with the suffix ``.png``.

        Returns:
            How many were written; rows without a readable picture have none.

        Raises:
            DataError: as ``predict``; or the answers do not lie in a picture, or the folder cannot be written.
        """
        rows = self.read(data, progress=progress)
        return draw_answers(self.bundle, rows.table, rows.dataset, folder=Path(folder), progress=progress)

    def evaluate(self, data: Any, *, progress: Progress | None = None) -> Results:
        """Metrics with 95 % intervals, subsets table and audit on ``data``, which must have the target.

        Raises:
            DataError: the data cannot be read, or lack the target or an input.
        """
        progress = progress or Progress()
        start = time.monotonic()
        rows = self.read(data, with_target=True, progress=progress)
        dataset = rows.dataset
        model, task, seed = self.bundle.model, self.bundle.task, self.bundle.recipe.seed
        measured = {"test": measure_rows(model, task, dataset, progress=progress)}
        audited = dataset.sample(task.max_audited_rows, seed=seed)
        found = assess(model, task, measured, audited, seed=seed, progress=progress)
        results = found.results(task, rows={"test": len(dataset)}, seconds=time.monotonic() - start)
        return Results(results | {"findings": [finding.to_dict() for finding in rows.diagnosis.findings]})

    def embed(self, data: Any, *, progress: Progress | None = None) -> NDArray[np.float32]:
        """[N, dim]: one vector for each row, the mean of the fused Tokens.

        Raises:
            DataError: as ``predict``.
        """
        dataset = self.read(data, progress=progress).dataset
        with evaluating(self.bundle.model) as device:
            vectors = [
                self.bundle.model.embed(batch.to(device).inputs).float().cpu()
                for batch in iterate_batches(dataset, batch_size=256, progress=progress, label="embed")
            ]
        return torch.cat(vectors).numpy()

    def save(self, folder: str | Path) -> Path:
        """Write the bundle, its report included, into another ``folder``.

        Raises:
            BundleError: the folder cannot be written.
        """
        folder = Path(folder)
        self.bundle.save(folder)
        report = self.folder / "report.html"
        if report.is_file() and folder.resolve() != self.folder.resolve():
            try:
                shutil.copy2(report, folder / "report.html")
            except OSError as error:
                raise BundleError(
                    f"run folder {folder}",
                    got=str(error),
                    expected="a folder that can be written",
                    remedy="Free space or choose another folder",
                ) from error
        return folder

    def _predict(self, data: Any, read: Callable[[Prediction], _T], progress: Progress | None) -> list[_T]:
        dataset = self.read(data, progress=progress).dataset
        return predict_rows(self.bundle.model, dataset, read=read, progress=progress)


def _kept(table: Table, names: Sequence[str]) -> dict[str, Any]:
    """The row numbers, ids and named columns of a table."""
    for name in names:
        table.require(name)
    ids = [name for name in table.names if is_id(table, name)]
    return {"row": table.row_numbers} | {
        name: pa.array(table.values(name), table.column_type(name)) for name in dict.fromkeys((*ids, *names))
    }


def _lacking(table: Table, absent: Sequence[str], columns: Iterable[str]) -> Finding:
    """The finding on columns that the model reads and ``table`` lacks; names that are nearly theirs are shown."""
    others = [name for name in table.names if name not in columns]
    near = {name: match[0] for name in absent if (match := difflib.get_close_matches(name, others, n=1, cutoff=0.7))}
    renamed = ", ".join(f"'{other}' to '{name}'" for name, other in near.items())
    renamed_zh = "、".join(f"“{other}”改为“{name}”" for name, other in near.items())
    names, names_zh = listed(absent, limit=len(absent))
    return Finding(
        "warning",
        column=absent[0] if len(absent) == 1 else None,
        split=NEW_ROWS,
        count=len(table),
        message=f"Table {table.source} has no column {names}, which the model reads: absent in every row.",
        message_zh=f"表 {table.source} 没有模型要读取的列{names_zh}：每一行都按缺失处理。",
        remedy=f"Rename {renamed}" if renamed else "Add the columns, or expect predictions that lean on what is left",
        remedy_zh=f"请改名：{renamed_zh}" if renamed else "请添加这些列；否则预测只能依靠其余的列",
    )
