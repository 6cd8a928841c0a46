"""A run for other programs: as an ONNX graph that reads pixels, samples, token ids and cells, or as a single file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tonggan.compression.int8 import Int8Encoder
from tonggan.compression.onnx_graph import compute, graph_of, open_graph, with_notes
from tonggan.decoders.base import Context
from tonggan.encoders.video_frames import SeenFrames
from tonggan.errors import BundleError, ConfigError, DataError
from tonggan.evaluation.predict import evaluating
from tonggan.files import whole_file
from tonggan.modalities import Modality
from tonggan.modalities.audio import Audio
from tonggan.modalities.image import Image
from tonggan.modalities.table import TableRow
from tonggan.modalities.text import Text
from tonggan.modalities.video import Video
from tonggan.models import FusedModel
from tonggan.progress import Progress, chosen_progress
from tonggan.runs.bundle import Bundle
from tonggan.runs.compressing import with_data
from tonggan.runs.one_file import pack, unpacked
from tonggan.tasks import LabelTask, Regress, Task
from tonggan.tokens import Arrays, Prediction

_ROWS = 32  # of the training part, on which graph and run are compared
_TOLERANCE = 1e-4


def export(
    run: str | Path,
    out: str | Path,
    *,
    format: Literal["onnx", "bundle"],  # noqa: A002 - the name of the option
    data: Any = None,
    progress: Progress | bool | None = None,
) -> dict[str, Any]:
    """Write a finished run as one file.

    Args:
        run: its folder.
        out: the file. Beside an ONNX graph of texts, their tokenizers are written as ``OUT.INPUT.tokenizer.json``.
        format: ``"bundle"``, which ``load`` opens as it opens the folder; ``"onnx"``, which is only kept where it
            answers some training rows as the run does; needs the extra ``onnx``.
        data: for ``"onnx"``, the table that the run has learned from, where it is no longer where it was.
        progress: as for ``fit``.

    Returns:
        ``out``, ``format`` and ``bytes``; of a graph also ``inputs``, ``outputs``, ``rows`` on which it was compared
        with the run, and the greatest ``difference``.

    Raises:
        TongganError: with who, what was got, what was expected, and the remedy.
    """
    run, out = Path(run), Path(out)
    if format == "bundle":
        Bundle.load(run)  # so that nothing damaged is handed on
        pack(unpacked(run), out)
        return {"out": str(out), "format": format, "bytes": out.stat().st_size}
    bundle = Bundle.load(run)
    _check(bundle, run)
    _, found = with_data(bundle, run, data, progress=chosen_progress(progress))
    rows = found.datasets["train"].sample(_ROWS, seed=0)
    inputs = {name: each.expand() for name, each in rows.batch(np.arange(len(rows))).inputs.items()}
    items = {name: source.items(rows.rows) for name, source in rows.inputs.items()}
    told = _write_graph(bundle, inputs, items, out)
    return {"out": str(out), "format": format, "bytes": out.stat().st_size, **told}


def _check(bundle: Bundle, run: Path) -> None:
    model, form = bundle.model, None if bundle.recipe.task is None else bundle.recipe.task.form
    who = f"ONNX graph of {run}"
    if form is None:
        raise ConfigError(
            who,
            got=f"the task '{bundle.task.kind}'",
            expected="a task of classes, labels or numbers",
            remedy="Export one file for Tonggan itself with --format bundle",
        )
    if not isinstance(model, FusedModel):
        raise ConfigError(
            who,
            got="members of a floor, which are no network",
            expected="a single network",
            remedy=f"Make one of them with 'tonggan compress {run} --distill small --out RUN', or use --format bundle",
        )
    if any(isinstance(encoder, Int8Encoder) for encoder in model.encoders):
        raise ConfigError(
            who,
            got="encoders in int8",
            expected="a network in floating point, which ONNX Runtime can quantize itself",
            remedy="Export the run that it was made of, or use --format bundle",
        )


@dataclass(frozen=True)
class _Input:
    """How the graph reads one input.

    Attributes:
        names: of its tensors in the graph.
        example: of each of them, for the rows that are compared.
        note: for people and programs.
    """

    names: Sequence[str]
    example: Sequence[Tensor]
    note: Mapping[str, Any]


def _input_of(name: str, modality: Modality[Any], arrays: Arrays, items: Sequence[Any]) -> _Input:
    if isinstance(modality, Image):
        config = modality.config
        note = {"values": "uint8 [rows, height, width, 3] RGB, upright, of any one size", "resize": config.resize}
        pixels = arrays.values.permute(0, 2, 3, 1).contiguous()
        return _Input([name, f"{name}.present"], [pixels, arrays.present], {**note, "size": config.size})
    if isinstance(modality, Video):
        seen = SeenFrames()(arrays)
        note = {"values": f"uint8 {['rows', *seen.values.shape[1:]]} RGB, upright: the middle frames of equal parts"}
        return _Input([name, f"{name}.present"], [seen.values, seen.present], note)
    if isinstance(modality, TableRow):
        cells = torch.from_numpy(modality.unscaled(items))
        values = "float64 [rows, cells], NaN where absent"
        return _Input([name], [cells], {"values": values, "cells": modality.described})
    if isinstance(modality, Audio | Text):
        is_audio = isinstance(modality, Audio)
        values = "float32 [rows, samples] from -1 to 1" if is_audio else "int64 [rows, tokens]"
        note = {"values": values, "length": "int64 [rows], 0 where absent"}
        if isinstance(modality, Audio):
            limits = modality.config
            return _Input(
                [name, f"{name}.length"],
                [arrays.values, arrays.mask.sum(dim=1)],
                {**note, "sample_rate": limits.sample_rate, "max_seconds": limits.max_seconds},
            )
        return _Input([name, f"{name}.length"], [arrays.values, arrays.mask.sum(dim=1)], note)
    note = {"values": f"{arrays.values.dtype} {list(arrays.values.shape)}", "mask": "bool, True where real"}
    return _Input([name, f"{name}.mask"], [arrays.values, arrays.mask], note)


class _Graph(nn.Module):
    """What is exported: tensors of all inputs, one after another, to logits or numbers, and what they mean."""

    def __init__(self, bundle: Bundle, parts: Mapping[str, _Input]) -> None:
        super().__init__()
        assert isinstance(bundle.model, FusedModel)
        self.model, self.task = bundle.model, bundle.task
        self.modalities, self.parts = bundle.modalities, parts

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        left, inputs = list(tensors), {}
        for name, part in self.parts.items():
            given = [left.pop(0) for _ in part.names]
            inputs[name] = _arrays(self.modalities[name], given)
        tokens = {name: self.model.encode_input(name, arrays) for name, arrays in inputs.items()}
        outputs: Tensor = self.model.head(Context(self.model.fuse(tokens), tokens, inputs))["outputs"]
        return outputs, _meaning(self.task, outputs)


def _meaning(task: Task, outputs: Tensor) -> Tensor:
    """Calibrated probabilities, or numbers in their units."""
    if isinstance(task, Regress):
        return outputs.double() * torch.from_numpy(task.deviation) + torch.from_numpy(task.mean)
    assert isinstance(task, LabelTask), "classes, labels or numbers"
    found = task.probabilities(Prediction({"outputs": outputs}))
    assert found is not None, "classes and labels have probabilities"
    return found


def _arrays(modality: Modality[Any], given: Sequence[Tensor]) -> Arrays:
    """What the encoder reads of the tensors of one input."""
    if isinstance(modality, TableRow):
        return modality_cells(modality, given[0])
    values, second = given
    if isinstance(modality, Image):
        return Arrays(resized(values, size=modality.config.size, pads=modality.config.resize == "pad"), second)
    if isinstance(modality, Video):
        return Arrays(values, second.unsqueeze(1).expand(values.shape[:2]))
    if isinstance(modality, Audio | Text):
        return Arrays(values, torch.arange(values.shape[1]).unsqueeze(0) < second.unsqueeze(1))
    return Arrays(values, second)


def modality_cells(table: TableRow, cells: Tensor) -> Arrays:
    """``table.collate`` of unscaled cells float64 ``[B, C]``."""
    mask = ~cells.isnan()
    scales = torch.tensor([scale or (0.0, 1.0) for scale in table.scales], dtype=torch.float64)
    is_number = torch.tensor([scale is not None for scale in table.scales])
    standardized = table.squashed((cells.masked_fill(~mask, 0) - scales[:, 0]) / scales[:, 1])
    values = torch.where(is_number, standardized, cells).masked_fill(~mask, 0)
    return Arrays(values.float(), mask)


def resized(pixels: Tensor, *, size: int, pads: bool) -> Tensor:
    """uint8 ``[B, H, W, 3]`` to ``[B, 3, size, size]`` as pictures are resized: averaged over areas, or interpolated.

    Both are products with matrices that depend on H and W alone.
    """
    values = pixels.permute(0, 3, 1, 2).float()
    height, width = (torch.ones_like(values[0, 0, :, 0]).sum(), torch.ones_like(values[0, 0, 0]).sum())
    rows, columns = torch.arange(values.shape[2]).float(), torch.arange(values.shape[3]).float()
    extent = torch.maximum(height, width) if pads else torch.minimum(height, width)
    down = _weights(rows, height, extent, size=size, pads=pads)
    across = _weights(columns, width, extent, size=size, pads=pads)
    return torch.matmul(torch.matmul(down, values), across.transpose(0, 1)).round().clamp(0, 255).to(torch.uint8)


def _weights(places: Tensor, length: Tensor, extent: Tensor, *, size: int, pads: bool) -> Tensor:
    """``[size, L]``: how much each of the L places of an axis counts for each of ``size``."""
    target = (length * size / extent).round().clamp(min=1) if pads else torch.full_like(length, size)
    used = length if pads else extent
    margin = ((size - target) / 2).floor() if pads else torch.zeros_like(length)
    start = torch.zeros_like(length) if pads else ((length - extent) / 2).floor()
    step = used / target
    out = torch.arange(size).float() - margin
    low = (out * step).unsqueeze(1)
    own = (places - start).unsqueeze(0)
    area = (torch.minimum(low + step, own + 1) - torch.maximum(low, own)).clamp(min=0) / step
    middle = ((out + 0.5) * step - 0.5).unsqueeze(1)
    middle = torch.minimum(middle.clamp(min=0), used - 1)
    near = (1 - (middle - own).abs()).clamp(min=0)
    inside = ((out >= 0) & (out < target)).unsqueeze(1) & (own >= 0) & (own < used)
    return torch.where(extent > size, area, near) * inside


def _write_graph(bundle: Bundle, inputs: Mapping[str, Arrays], items: Mapping[str, Any], out: Path) -> dict[str, Any]:
    parts = {name: _input_of(name, each, inputs[name], items[name]) for name, each in bundle.modalities.items()}
    names = [name for part in parts.values() for name in part.names]
    example = [tensor for part in parts.values() for tensor in part.example]
    meaning = "values" if isinstance(bundle.task, Regress) else "probabilities"
    with evaluating(bundle.model):
        expected: Tensor = bundle.model(inputs)["outputs"]
        meant = _meaning(bundle.task, expected)
    graph = _Graph(bundle, parts)
    content = graph_of(graph, example, name=bundle.recipe.target[0], inputs=names, outputs=["outputs", meaning])
    session = open_graph(content, threads=torch.get_num_threads())
    found = compute(session, dict(zip(names, example, strict=True)))
    single = compute(session, {name: tensor[:1] for name, tensor in zip(names, example, strict=True)})
    pairs = [(found[0], expected), (found[1], meant), (single[0], expected[:1])]
    difference = max(float(((one - other).abs() / other.abs().clamp(min=1)).max()) for one, other in pairs)
    if not difference <= _TOLERANCE:
        raise DataError(
            f"ONNX graph of {bundle.recipe.target[0]}",
            got=f"answers that differ by up to {difference:.2g} from those of the run",
            expected=f"at most {_TOLERANCE:g} on {len(expected):,} training rows; the file was not kept",
            remedy="Report it with the recipe, and use --format bundle until it is mended",
        )
    notes = {
        "inputs": {name: dict(part.note) for name, part in parts.items()},
        "labels": bundle.task.labels,
        "target": bundle.recipe.target,
        "task": bundle.task.kind,
    }
    try:
        with whole_file(out) as partial:
            partial.write_bytes(with_notes(content, {"tonggan": json.dumps(notes, ensure_ascii=False)}))
        files = _write_tokenizers(bundle, out)
    except OSError as error:
        raise BundleError(
            f"file {out}",
            got=str(error),
            expected="a file that can be written",
            remedy="Free space or choose another file with --out",
        ) from error
    told = {"inputs": names, "outputs": ["outputs", meaning], "rows": len(expected), "difference": difference}
    return {**told, "tokenizers": files}


def _write_tokenizers(bundle: Bundle, out: Path) -> list[str]:
    """Beside the graph, what makes token ids of texts."""
    files = []
    for name, modality in bundle.modalities.items():
        state = modality.state() if isinstance(modality, Text) else {}
        if state:
            path = out.with_name(f"{out.name}.{name}.tokenizer.json")
            with whole_file(path) as partial:
                partial.write_text(state.get("tokenizer") or json.dumps(state, ensure_ascii=False), encoding="utf-8")
            files.append(str(path))
    return files
