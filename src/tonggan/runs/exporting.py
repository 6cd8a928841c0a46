"""A run for other programs: as an ONNX graph that reads pixels, samples, token ids and cells, or as a single file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tonggan.compression.int8 import Int8Encoder
from tonggan.compression.onnx_graph import compute, graph_of, open_graph, with_notes
from tonggan.decoders.base import Context
from tonggan.errors import BundleError, ConfigError, DataError
from tonggan.evaluation.predict import evaluating
from tonggan.files import whole_file
from tonggan.modalities.base import GraphInput
from tonggan.models import FusedModel
from tonggan.progress import Progress, chosen_progress
from tonggan.runs.bundle import Bundle
from tonggan.runs.one_file import pack, unpacked
from tonggan.runs.reopening import with_data
from tonggan.tasks import Task
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
            got="members of the floor, which are not networks",
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


class _Graph(nn.Module):
    """What is exported: tensors of all inputs, one after another, to logits or numbers, and what they mean."""

    def __init__(self, bundle: Bundle, parts: Mapping[str, GraphInput]) -> None:
        super().__init__()
        assert isinstance(bundle.model, FusedModel)
        self.model, self.task = bundle.model, bundle.task
        self.modalities, self.parts = bundle.modalities, parts

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        left, inputs = iter(tensors), {}
        for name, part in self.parts.items():
            inputs[name] = self.modalities[name].from_graph(*islice(left, len(part.tensors)))
        tokens = {name: self.model.encode_input(name, arrays) for name, arrays in inputs.items()}
        outputs: Tensor = self.model.head(Context(self.model.fuse(tokens), tokens, inputs))["outputs"]
        return outputs, _meaning(self.task, outputs)[1]


def _meaning(task: Task, outputs: Tensor) -> tuple[str, Tensor]:
    found = task.graph_output(Prediction({"outputs": outputs}))
    assert found is not None, "classes, labels or numbers"
    return found


def _write_graph(bundle: Bundle, inputs: Mapping[str, Arrays], items: Mapping[str, Any], out: Path) -> dict[str, Any]:
    parts = {name: each.to_graph(inputs[name], items[name]) for name, each in bundle.modalities.items()}
    names = [f"{name}{suffix}" for name, part in parts.items() for suffix in part.tensors]
    example = [tensor for part in parts.values() for tensor in part.tensors.values()]
    with evaluating(bundle.model):
        expected: Tensor = bundle.model(inputs)["outputs"]
        meaning, meant = _meaning(bundle.task, expected)
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
            remedy="Report it with the recipe, and use --format bundle until it is fixed",
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
        content = modality.vocabulary_file()
        if content is not None:
            path = out.with_name(f"{out.name}.{name}.tokenizer.json")
            with whole_file(path) as partial:
                partial.write_text(content, encoding="utf-8")
            files.append(str(path))
    return files
