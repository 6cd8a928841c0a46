"""A finished run as something to use: predict, measure, embed, save."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from tonggan.data.column_checks import check_media
from tonggan.data.dataset import Dataset
from tonggan.data.kinds import is_id
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.data.table import Table
from tonggan.errors import BundleError, DataError
from tonggan.evaluation.predict import collect, evaluating, iterate_batches
from tonggan.modalities import Modality, TableRow
from tonggan.progress import Progress
from tonggan.runs.assess import against_constant, audited_part, dissect, max_audited_rows, measure, results_of
from tonggan.runs.bundle import Bundle
from tonggan.runs.prepare import build_dataset, scan_tables, target_values
from tonggan.runs.results import Results


class Predictor:
    """A trained model with everything it needs to read raw data.

    ``data`` is always what ``fit`` takes: a path, a data frame, an Arrow table, columns as a mapping of lists, a row as
    a mapping, or a list of such rows. A cell that is empty is absent, and so is a column that is left out.

    Args:
        bundle: the trained run.
        folder: where it is stored.
    """

    def __init__(self, bundle: Bundle, *, folder: Path) -> None:
        self.bundle = bundle
        self.folder = folder

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

    def predict(self, data: Any, *, progress: Progress | None = None) -> Any:
        """One prediction for each row: a class in the type of the target column, a list of labels, or a number.

        Returns:
            For a pandas data frame a Series of the target's name with the frame's index, or a data frame where several
            columns are predicted; for all other data a list, with a dict by column where several are predicted.

        Raises:
            DataError: the data cannot be read or lack every column that the model reads.
        """
        predictions = self.bundle.task.decode(self._collect(data, progress))
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
            DataError: as ``predict``; or the task is a regression, which has none.
        """
        probabilities = self.bundle.task.probabilities(self._collect(data, progress))
        if probabilities is None:
            raise DataError(
                "predict_proba",
                got=f"a {self.bundle.task.kind} model",
                expected="a model that predicts classes or labels",
                remedy="Call predict instead",
            )
        return probabilities.double().numpy()

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
        table = open_table(data, cache=cache_folder(), progress=progress)
        kept = {} if keep is None else _kept(table, keep)
        outputs = self._collect(table, progress)
        task = self.bundle.task
        predictions = task.decode(outputs)
        target = self.bundle.recipe.target
        if len(target) > 1:
            columns = {name: [row[name] for row in predictions] for name in target}
        else:
            columns = {"prediction": predictions}
        probabilities = task.probabilities(outputs)
        if probabilities is not None:
            columns |= {f"p_{name}": probabilities[:, index].tolist() for index, name in enumerate(task.labels)}
        # A column that is carried along and called like a prediction keeps its name with a mark.
        return pa.table(
            {name if name not in columns else f"{name}_given": values for name, values in kept.items()} | columns
        )

    def evaluate(self, data: Any, *, progress: Progress | None = None) -> Results:
        """Metrics with 95 % intervals, subsets table and audit on ``data``, which must have the target.

        Raises:
            DataError: the data cannot be read, or lack the target or an input.
        """
        progress = progress or Progress()
        start = time.monotonic()
        dataset = self._dataset(data, progress, with_target=True)
        model, task, seed = self.bundle.model, self.bundle.task, self.bundle.recipe.seed
        outputs = collect(model, task, dataset, progress=progress)
        metrics, intervals = measure(task, outputs, seed=seed)
        baseline = torch.tensor(self.bundle.info["baseline"])
        subsets, account = dissect(
            model,
            task,
            audited_part(dataset, seed=seed, max_rows=max_audited_rows(task)),
            baseline=baseline,
            seed=seed,
            progress=progress,
        )
        measured = results_of(
            metrics={"test": metrics},
            intervals={"test": intervals},
            constant=against_constant(task, outputs, baseline=baseline, seed=seed),
            subsets=subsets,
            account=account,
            seconds=time.monotonic() - start,
            rows={"test": len(dataset)},
            task=task,
        )
        return Results(measured)

    def embed(self, data: Any, *, progress: Progress | None = None) -> NDArray[np.float32]:
        """[N, dim]: one vector for each row, the mean of the fused Tokens.

        Raises:
            DataError: as ``predict``.
        """
        dataset = self._dataset(data, progress or Progress())
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
        if report.is_file() and not (folder / "report.html").exists():
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

    def _collect(self, data: Any, progress: Progress | None) -> torch.Tensor:
        dataset = self._dataset(data, progress or Progress())
        return collect(self.bundle.model, self.bundle.task, dataset, progress=progress).outputs

    def _dataset(self, data: Any, progress: Progress, *, with_target: bool = False) -> Dataset:
        cache = cache_folder()
        modalities = self.bundle.modalities
        target = self.bundle.recipe.target if with_target else []
        table = _with_columns(open_table(data, cache=cache, progress=progress), _columns_of(modalities), progress)
        for name in target:
            table.require(name)
        for finding in table.findings:
            progress.warn(finding.told())
        media, caches = scan_tables({"data": table}, modalities, cache=cache, progress=progress)
        for name, column in media["data"].items():
            for finding in check_media(table, name, column, split="the table", is_train=False)[0]:
                if finding.severity != "note":
                    progress.warn(finding.told())
        encoded = (
            self.bundle.task.encode(target_values(table, target, columns=self.bundle.recipe.columns))
            if target
            else None
        )
        return build_dataset(table, modalities, media=media["data"], caches=caches, target=encoded)


def _kept(table: Table, names: Sequence[str]) -> dict[str, Any]:
    """The row numbers, ids and named columns of a table."""
    for name in names:
        table.require(name)
    ids = [name for name in table.names if is_id(table, name)]
    return {"row": table.row_numbers} | {
        name: pa.array(table.values(name), table.column_type(name)) for name in dict.fromkeys((*ids, *names))
    }


def _columns_of(modalities: Mapping[str, Modality[Any]]) -> list[str]:
    """The columns that a model reads."""
    parts = [part.columns if isinstance(part, TableRow) else [name] for name, part in modalities.items()]
    return [name for part in parts for name in part]


def _with_columns(table: Table, columns: Sequence[str], progress: Progress) -> Table:
    """``table`` with the ``columns`` that it lacks as absent in every row, and a warning about them.

    Raises:
        DataError: it has none of them.
    """
    absent = [name for name in columns if name not in table.names]
    if absent == list(columns):
        table.require(absent[0])
    if absent:
        names = ", ".join(f"'{name}'" for name in absent)
        progress.warn(f"Table {table.source} has no column {names}, which the model reads: absent in every row.")
    return table.with_absent(absent)
