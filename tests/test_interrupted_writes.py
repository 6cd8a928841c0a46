"""Killed at any change of a file, or with a full disk from there on, work is brought to its end by the same command."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import code_training_scene
import fault_scene
from embedder_scene import tiny_embedder
from fault_scene import Fault
from tonggan.codelm.corpus import Corpus
from tonggan.codelm.search.code_index import CodeIndex
from tonggan.codelm.training.adapters import AdapterRegistry
from tonggan.runs.bundle import Bundle
from writing_scene import (
    build,
    copy_embedder,
    export,
    fit,
    fit_members,
    index,
    predict,
    replace_run,
    store_table,
    train_code,
)

pytestmark = pytest.mark.slow
FAULTS = pytest.mark.parametrize("fault", ["kill", "full"])


def bundle(out: Path) -> tuple[Any, ...]:
    """All of a bundle that does not depend on the clock, and the names of what is in its folder."""
    index = json.loads((out / "bundle.json").read_bytes())
    results, files = index["results"], [(out / name).read_bytes() for name in index["files"]]
    return files, index["files"], results["metrics"], results["intervals"], names(out)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "tensorboard" not in path.parts)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder) if (folder / name).is_file()}


def check(
    work: Callable[[Path], Any], content: Callable[[Path], Any], tmp_path: Path, *, fault: Fault, changes: int
) -> None:
    """After every fault the same work ends as if there had been none; it changes files at least so many times."""
    whole, out = tmp_path / "whole" / "out", tmp_path / "faulty" / "out"
    for folder in (whole, out):
        folder.parent.mkdir()
    assert fault_scene.run(work, whole, fault=fault, place=1_000_000) == "done"
    told = fault_scene.outlive_each(work, out, fault=fault)
    assert len(told) > changes
    if fault == "full":
        for message in set(told[:-1]):
            assert "ree space" in message or "disk's space" in message, message
    assert content(out) == content(whole)


@FAULTS
@pytest.mark.parametrize(("work", "changes"), [(fit, 20), (fit_members, 10)])
def test_a_run(
    tmp_path: Path, fault: Fault, work: Callable[[Path], None], changes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path / "cache"))
    check(work, bundle, tmp_path, fault=fault, changes=changes)


@FAULTS
def test_a_run_that_replaces_another(tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stops it, its folder holds one of the two, whole."""
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path / "cache"))
    out, whole = tmp_path / "out", tmp_path / "whole"
    for work, folder in ((fit, out), (fit, whole), (replace_run, whole)):
        assert fault_scene.run(work, folder, fault=fault, place=1_000_000) == "done"
    former, new = bundle(out)[0], bundle(whole)[0]
    told: list[str] = []
    held = []
    while "done" not in told:
        told.append(fault_scene.run(replace_run, out, fault=fault, place=len(told) + 1))
        weights = Bundle.load(out).model.state_dict()
        held.append({name: tensor.tolist() for name, tensor in weights.items()})
    assert len(told) > 20
    assert former != new
    assert [one for place, one in enumerate(held) if place == 0 or one != held[place - 1]] == [held[0], held[-1]]
    assert bundle(out) == bundle(whole)


def adapters(run: Path) -> tuple[Any, ...]:
    registry = AdapterRegistry(run)
    manifest = registry.manifest("first").to_dict()
    del manifest["training"]["seconds"]
    weights = (registry.folder / "first" / "weights.safetensors").read_bytes()
    return manifest, weights, registry.promoted, names(run)


@FAULTS
@pytest.mark.parametrize("is_scratch", [True, False])
def test_a_training_on_code(tmp_path: Path, fault: Fault, *, is_scratch: bool) -> None:
    base = code_training_scene.base_folder(tmp_path / "base")
    corpus = code_training_scene.small_corpus(tmp_path / "files", base=base).folder
    work = partial(train_code, corpus=corpus, base="scratch" if is_scratch else str(base))
    check(work, adapters, tmp_path, fault=fault, changes=8)


def corpus_files(out: Path) -> tuple[Any, ...]:
    shards = {name: content for name, content in contents(out).items() if not name.startswith("report.")}
    return shards, names(out), len(Corpus.open(out).documents)


@FAULTS
def test_a_corpus(tmp_path: Path, fault: Fault) -> None:
    base = code_training_scene.base_folder(tmp_path / "base")
    code_training_scene.small_corpus(tmp_path / "files", base=base)
    work = partial(build, files=tmp_path / "files" / "repository", base=base)
    check(work, corpus_files, tmp_path, fault=fault, changes=12)


@FAULTS
def test_an_embedder(tmp_path: Path, fault: Fault) -> None:
    tiny_embedder(["some words that it knows"]).save(tmp_path / "embedder")
    check(partial(copy_embedder, source=tmp_path / "embedder"), contents, tmp_path, fault=fault, changes=6)


@FAULTS
@pytest.mark.parametrize("work", [predict, store_table])
def test_single_files(tmp_path: Path, fault: Fault, work: Callable[[Path], None]) -> None:
    check(work, contents, tmp_path, fault=fault, changes=1)


@FAULTS
def test_an_export(tmp_path: Path, fault: Fault) -> None:
    base = code_training_scene.base_folder(tmp_path / "base")
    check(partial(export, base=base), contents, tmp_path, fault=fault, changes=1)


def counted(folder: Path, *, root: Path) -> tuple[Any, ...]:
    with closing(CodeIndex.open(root, folder=folder)) as opened:
        found = [hit.unit for hit in opened.search("how values are pooled")]
        return opened.count(), found


@FAULTS
def test_an_index_of_code(tmp_path: Path, fault: Fault) -> None:
    base = code_training_scene.base_folder(tmp_path / "base")
    code_training_scene.small_corpus(tmp_path / "files", base=base)
    root = tmp_path / "files" / "repository"
    check(partial(index, root=root), partial(counted, root=root), tmp_path, fault=fault, changes=1)
