"""What a model costs where it is used: its size, the time of an answer, and the memory that it needs.

    python -m tonggan.runs.footprint ROWS BUNDLE [BUNDLE ...]

prints the bytes of memory that each bundle takes to be loaded and to answer, above what the program has taken before.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tonggan.compression.onnx_graph import load_runtime
from tonggan.data.dataset import Dataset
from tonggan.evaluation.predict import evaluating
from tonggan.evaluation.wording import format_gain, format_score, metric_words
from tonggan.floor.ensemble import Ensemble
from tonggan.models import Model
from tonggan.processes import isolated_command
from tonggan.runs.bundle import Bundle
from tonggan.tasks import Task
from tonggan.tasks.figures import Section, Table
from tonggan.tokens import Arrays
from tonggan.wording import Words, part_zh

BATCHES = (1, 32)
"""Rows of an answer whose time is told."""
# How often each is timed, and for how long all together.
_FEWEST, _MOST, _SECONDS = 5, 50, 2.0
_CLEAR_PEAK = "5"


_COLUMNS = (
    Words("Model", "模型"),
    Words("Score", "得分"),
    Words("95 % interval", "95 % 区间"),
    Words("Parameters", "参数量"),
    Words("Size, MB", "大小（MB）"),
    *(Words(f"ms, {rows} rows" if rows > 1 else "ms, 1 row", f"{rows} 行（毫秒）") for rows in BATCHES),
    Words("Memory, MB", "内存（MB）"),
)


_MODELS = {"distill": "student", "prune": "pruned"}


@dataclass(frozen=True)
class Footprint:
    """What a model costs.

    Attributes:
        parameters: how many it has.
        size: bytes of all that it computes with.
        milliseconds: by number of rows, from cells in a table, files decoded, to their answers.
        memory: bytes at most that loading it and answering 32 rows takes; None where the system does not tell.
    """

    parameters: int
    size: int
    milliseconds: Mapping[int, float]
    memory: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"milliseconds": {str(rows): each for rows, each in self.milliseconds.items()}}


def footprints(models: Sequence[Model], folders: Sequence[Path], task: Task, dataset: Dataset) -> list[Footprint]:
    """What ``models`` cost on rows of ``dataset``, measured in turns, so that another busy program slows all alike.

    Args:
        models: that answer ``task``.
        folders: of their bundles.
        task: fitted.
        dataset: some rows that all read.
    """
    times = {rows: _times(models, task, dataset, num_rows=rows) for rows in BATCHES}
    memory = _memory(folders, dataset.take(np.arange(BATCHES[-1]) % len(dataset)))
    return [
        Footprint(
            model.num_parameters,
            size_of(model),
            {rows: each[place] for rows, each in times.items()},
            memory[place],
        )
        for place, model in enumerate(models)
    ]


def comparison(found: Mapping[str, Any]) -> Section:
    """The original and what was made of it side by side, of the results of a compressed run."""
    rows = []
    for each in found["rows"]:
        low, high = (format_score(found["score_name"], value) for value in each["interval"] or (math.nan, math.nan))
        times = [f"{milliseconds:.2f}" for milliseconds in each["milliseconds"].values()]
        memory = "" if each["memory"] is None else f"{each['memory'] / 1e6:.0f}"
        score = format_score(found["score_name"], each["score"])
        size = f"{each['size'] / 1e6:.2f}"
        bounds = f"{low.removesuffix(' %')} – {high}" if each["interval"] else ""
        rows.append(
            [_MODELS.get(each["model"], each["model"]), score, bounds, f"{each['parameters']:,}", size, *times, memory]
        )
    name, rows_told = metric_words(found["score_name"]), f"{found['num_rows']:,}"
    gain = format_gain(found["score_name"], found["gains"][found["split"]]["gain"], signed=True)
    return Section(
        Words("Beside the original", "与原模型对比"),
        Words(
            f"On {rows_told} {found['split']} rows, {name.english}: {gain.english}. Times are of one answer, from the "
            "cells of a table, files decoded, on this machine's CPU.",
            f"{part_zh(found['split'])}的 {rows_told} 行上{name.chinese}：{gain.chinese}。时间为一次回答所需，"
            "从已解码的表格单元算起，在本机 CPU 上测得。",
        ),
        table=Table(_COLUMNS, rows),
    )


def size_of(model: Model) -> int:
    """Bytes of all that ``model`` computes with."""
    tensors = {id(each): each for each in (*model.parameters(), *model.buffers())}
    size = sum(each.numel() * each.element_size() for each in tensors.values())
    if isinstance(model, Ensemble):
        members = [member for bag in model.bags.values() for member in bag.members]
        size += sum(array.nbytes for member in members for array in member.store().arrays.values())
    return size


def _times(models: Sequence[Model], task: Task, dataset: Dataset, *, num_rows: int) -> list[float]:
    """The least of many, one of each model in turn: whatever else the machine does can only make them longer."""
    rows = np.arange(num_rows) % len(dataset)
    least, spent, number = [math.inf for _ in models], 0.0, 0
    while number < _FEWEST or (spent < _SECONDS and number < _MOST):
        for place, model in enumerate(models):
            with evaluating(model) as device:
                start = time.perf_counter()
                task.decode(model(dataset.batch(rows).to(device).inputs).cpu())
                taken = time.perf_counter() - start
            least[place], spent = min(least[place], taken), spent + taken
        number += 1
    return [1000 * each for each in least]


def _memory(folders: Sequence[Path], dataset: Dataset) -> list[int | None]:
    """By bundle, as a process of its own sees it."""
    if not Path("/proc/self/clear_refs").exists():
        return [None for _ in folders]
    file = folders[-1] / "rows.npz"
    _write_rows(file, dataset.batch(np.arange(len(dataset))).inputs)
    try:
        command = isolated_command(__name__, str(file), *map(str, folders))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        file.unlink()
    if done.returncode:
        return [None for _ in folders]
    told: list[int | None] = json.loads(done.stdout.splitlines()[-1])
    return told


def _write_rows(path: Path, inputs: Mapping[str, Arrays]) -> None:
    arrays: dict[str, Any] = {}
    for number, each in enumerate(inputs.values()):
        whole = each.expand()
        parts = {"values": whole.values, "mask": whole.mask, "extent": whole.extent}
        arrays |= {f"{number}.{name}": part.numpy() for name, part in parts.items() if part is not None}
        if whole.texts is not None:
            arrays[f"{number}.texts"] = np.array([str(text) for text in whole.texts])
    np.savez(path, **arrays)


def _read_rows(path: Path, names: Sequence[str]) -> dict[str, Arrays]:
    inputs = {}
    with np.load(path, allow_pickle=False) as held:
        for number, name in enumerate(names):
            stored = {key: f"{number}.{key}" for key in ("values", "mask", "extent", "texts")}
            parts = {key: held[place] for key, place in stored.items() if place in held}
            texts = parts.pop("texts", None)
            tensors = {key: torch.from_numpy(part) for key, part in parts.items()}
            inputs[name] = Arrays(**tensors, texts=None if texts is None else texts.astype(object))
    return inputs


def _of_process(field: str) -> int:
    """Bytes, of /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def _measure(rows: Path, folder: Path) -> int:
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text(_CLEAR_PEAK, encoding="ascii")
    before = _of_process("VmRSS:")
    bundle = Bundle.load(folder)
    inputs = _read_rows(rows, list(bundle.modalities))
    with torch.inference_mode():
        bundle.model(inputs)
    return _of_process("VmHWM:") - before


def main() -> None:
    """Measure each bundle in a process that has computed nothing before."""
    rows, *folders = map(Path, sys.argv[1:])
    load_runtime()  # so that no bundle pays for it
    found: list[int | None] = []
    for folder in folders:
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.write(writing, str(_measure(rows, folder)).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            text = told.read()
        os.wait()
        found.append(int(text) if text else None)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
