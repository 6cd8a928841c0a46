"""Rows of a request to a trained run: checked, decoded and batched in memory. Nothing of them touches the disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tonggan.data.comparison import compare_cells, compare_media
from tonggan.data.findings import Finding
from tonggan.data.other_writing import read_otherwise
from tonggan.data.profiles import MediaProfile, NumberProfile
from tonggan.errors import UnreadableError
from tonggan.evaluation.predict import evaluating
from tonggan.modalities import Modality, NumberConfig, NumericConfig
from tonggan.modalities.base import MediaModality
from tonggan.runs.bundle import Bundle
from tonggan.serving.bodies import too_long
from tonggan.serving.config import ServerConfig
from tonggan.serving.failures import RefusedError
from tonggan.serving.media import MediaLimits, bytes_of_url
from tonggan.tokens import Batch

Row = Mapping[str, Any]
"""A row by column: a decoded picture or recording, a text, a number or a category; what is absent is not in it."""


class RowModel:
    """A bundle that reads rows.

    Args:
        bundle: the trained run.
        config: the limits of files.
    """

    def __init__(self, bundle: Bundle, *, config: ServerConfig) -> None:
        self._bundle = bundle
        self._config = config
        self._modality_of: dict[str, Modality[Any]] = {}
        for name, modality in bundle.modalities.items():
            self._modality_of.update(dict.fromkeys(modality.columns(name), modality))

    @property
    def columns(self) -> dict[str, str]:
        """The kind of each column that is read, by name."""
        return {name: self._kind(name) for name in self._modality_of}

    def read(self, cells: Mapping[str, Any], *, param: str, media: MediaLimits) -> Row:
        """A row of a request, its pictures and recordings still files; they are data URLs or bytes, null and "" absent.

        ``media`` counts the files of the request, so that all are known to be in bounds before one is decoded.

        Raises:
            RefusedError: an unknown column, a cell of the wrong kind, or nothing at all.
        """
        unknown = [name for name in cells if name not in self._modality_of]
        if unknown:
            raise self._refused(param, got=f"a column '{unknown[0]}'", remedy="Correct the name, or leave it out")
        row = {
            name: self._cell(name, cell, param=f"{param}.{name}", media=media)
            for name, cell in cells.items()
            if cell not in (None, "", b"")
        }
        if not row:
            raise self._refused(param, got="an empty row", remedy="Give at least one of the columns")
        return row

    def read_content(self, content: str, *, param: str, media: MediaLimits) -> Row:
        """The row that has ``content`` alone: a text, or a picture or a recording as a data URL.

        Raises:
            RefusedError: the model reads no such thing, or several, so that it does not say which one this is.
        """
        kind: str = "text"
        if content.startswith("data:"):
            kind = MediaLimits(self._config).check(bytes_of_url(content, param=param), param=param)
        names = [name for name, own in self.columns.items() if own == kind]
        if len(names) != 1:
            remedy = 'Send an object that names the column, e.g. {"column": "…"}'
            raise self._refused(param, got=f"one {kind}, of which the model reads {len(names)} columns", remedy=remedy)
        return self.read({names[0]: content}, param=param, media=media)

    def compare(self, rows: Sequence[Row]) -> list[Finding]:
        """What the doctor finds in ``rows`` of ``read``, not yet decoded, beside the training part."""
        findings: list[Finding] = []
        split, numbers = "the request", np.arange(1, len(rows) + 1)
        columns = self._bundle.columns
        for name, profile in self._bundle.profiles.items():
            cells = [row.get(name) for row in rows]
            if isinstance(profile, MediaProfile):
                modality = self._modality_of[name]
                assert isinstance(modality, MediaModality)
                facts = [(row, modality.describe(raw)) for row, raw in enumerate(cells) if raw is not None]
                absent = len(rows) - len(facts)
                findings += compare_media(name, facts, profile=profile, num_absent=absent, split=split, numbers=numbers)
            else:
                findings += compare_cells(
                    name, cells, config=columns[name], profile=profile, split=split, numbers=numbers
                )[0]
        return findings

    def decode(self, rows: Sequence[Row], *, param: str) -> list[Row]:
        """``rows`` of ``read`` with their pictures and recordings decoded.

        Raises:
            RefusedError: one is damaged.
        """
        return [
            {name: self._decoded(name, cell, param=f"{param}[{index}].{name}") for name, cell in row.items()}
            for index, row in enumerate(rows)
        ]

    def predict(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """What the task answers of each row: its ``prediction``, and what else there is."""
        with evaluating(self._bundle.model) as device:
            prediction = self._bundle.model(self._batch(rows).to(device).inputs).cpu()
        return self._bundle.task.answers(prediction)

    def embed(self, rows: Sequence[Row]) -> list[Tensor]:
        """One vector ``[D]`` for each row."""
        with evaluating(self._bundle.model) as device:
            return list(self._bundle.model.embed(self._batch(rows).to(device).inputs).float().cpu())

    def _batch(self, rows: Sequence[Row]) -> Batch:
        return Batch(torch.arange(len(rows)), self._bundle.collate(rows))

    def _kind(self, name: str) -> str:
        kind: str = self._bundle.columns[name].kind
        return kind

    def _cell(self, name: str, cell: Any, *, param: str, media: MediaLimits) -> Any:
        modality = self._modality_of[name]
        if isinstance(modality, MediaModality):
            return self._medium(modality, cell, param=param, media=media)
        if isinstance(cell, str) and len(cell) > self._config.max_characters:  # a text that begins as a data URL does
            raise too_long(len(cell), self._config, param=param)
        config = self._bundle.columns[name]
        if isinstance(config, NumericConfig):
            profile = self._bundle.profiles.get(name)
            known = profile if isinstance(profile, NumberProfile) else None
            config = read_otherwise([cell], config, known) or config
        types = {"text": (str,), "name": (str, int, float, bool)}.get(config.form, (object,))
        if not isinstance(cell, types) or config.is_unreadable(cell):
            raise _wrong_kind(cell, config.kind, param=param)
        if not isinstance(config, NumericConfig):
            return cell
        number = config.read(cell)
        # As the training part's own config reads it, whatever has read the cell.
        return number if isinstance(config, NumberConfig) or math.isnan(number) else config.written(number)

    def _decoded(self, name: str, cell: Any, *, param: str) -> Any:
        modality = self._modality_of[name]
        if not isinstance(modality, MediaModality):
            return cell
        try:
            return modality.open(cell)
        except UnreadableError as error:
            raise RefusedError(
                param, got=error.got, expected=error.expected, remedy="Send the whole, undamaged file", param=param
            ) from error

    def _medium(self, modality: MediaModality[Any], cell: Any, *, param: str, media: MediaLimits) -> bytes:
        if not isinstance(cell, str | bytes):
            raise _wrong_kind(cell, modality.kind, param=param)
        raw = bytes_of_url(cell, param=param) if isinstance(cell, str) else cell
        kind = media.check(raw, param=param)
        if kind != modality.kind and (kind, modality.kind) != ("video", "audio"):  # of which the sound track is read
            raise RefusedError(
                param,
                got=f"a file of kind {kind}",
                expected=f"one of kind {modality.kind}",
                remedy="Send it in the right column",
                param=param,
            )
        return raw

    def _refused(self, param: str, *, got: str, remedy: str) -> RefusedError:
        columns = ", ".join(f"{name} ({kind})" for name, kind in self.columns.items())
        return RefusedError(param, got=got, expected=f"the columns {columns}", remedy=remedy, param=param)


def _wrong_kind(cell: Any, kind: str, *, param: str) -> RefusedError:
    shown = repr(cell if isinstance(cell, str | int | float) else type(cell).__name__)[:40]
    return RefusedError(
        param, got=shown, expected=f"a cell of kind {kind}", remedy="Correct the cell, or leave it out", param=param
    )
