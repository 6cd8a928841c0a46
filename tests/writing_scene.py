"""Work that writes files, for tests that stop it; in a module of its own, as other processes must find it by name."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyarrow as pa

import ensemble_scene
import run_scene
from tonggan.codelm.corpus import Corpus, build_corpus
from tonggan.codelm.search.code_index import CodeIndex
from tonggan.codelm.training.config import CodeTrainingConfig
from tonggan.codelm.training.train import train_code_model
from tonggan.data.readers import open_table
from tonggan.language.gguf_export import export_gguf
from tonggan.language.pretrained import load_pretrained
from tonggan.models.text_embedder import TextEmbedder
from tonggan.runs.writing import write_predictions


def fit(out: Path) -> None:
    run_scene.fit(out, data=run_scene.table(40), settings=["training.epochs=1", "audit_alone=false"])


def fit_members(out: Path) -> None:
    settings = ["floor.members={linear: {kind: linear}}", "floor.folds=2", "audit_alone=false"]
    ensemble_scene.fit(out, data=ensemble_scene.frame(40), settings=settings)


def replace_run(out: Path) -> None:
    run_scene.fit(
        out, data=run_scene.table(40), settings=["training.epochs=1", "audit_alone=false"], seed=1, overwrite=True
    )


def train_code(run: Path, *, corpus: Path, base: str) -> None:
    config = CodeTrainingConfig(length=128, batch_tokens=512, lines=2, hidden_size=32, num_layers=1, precision="fp32")
    train_code_model(Corpus.open(corpus), base=base, run=run, config=config)


def build(out: Path, *, files: Path, base: Path) -> None:
    build_corpus([files], out, tokenizer_of=str(base))


def copy_embedder(out: Path, *, source: Path) -> None:
    TextEmbedder.load(str(source)).save(out)


def export(folder: Path, *, base: Path) -> None:
    pretrained = load_pretrained(str(base))
    export_gguf(pretrained.build(), pretrained.tokenizer, folder / "model.gguf", name="tiny", kind="f16")


def predict(folder: Path) -> None:
    for suffix in ("csv", "jsonl", "parquet"):
        write_predictions(folder / f"answers.{suffix}", pa.table({"answer": ["yes", "no"], "score": [0.5, 0.25]}))


def store_table(folder: Path) -> None:
    assert len(open_table(pa.table({"a": [1, 2, 3]}), cache=folder)) == 3


def index(folder: Path, *, root: Path) -> None:
    with closing(CodeIndex.open(root, folder=folder)) as opened:
        opened.refresh()
