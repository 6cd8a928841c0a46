"""Several processes train one run together."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import command_line
import forked
import tonggan
from small_data import png
from tonggan.models import FusedModel


@pytest.mark.slow
def test_two_processes_fit_what_one_does(tmp_path: Path) -> None:
    """But for dropout, which each draws for itself and which is off here; the audit's trainings included."""
    generator = np.random.default_rng(0)
    left, right = generator.normal(size=(2, 120))
    words = ["high" if value > 0 else "low" for value in right]
    table = pa.table({"left": left, "words": words, "answer": 3 * left + np.sign(right)})
    pyarrow.csv.write_csv(table, tmp_path / "train.csv")
    settings = {
        "floor": "null", "training.epochs": 4, "training.precision": "fp32", "model.dim": 16,
        "model.modality_dropout": 0,
        "model.encoders.table.kind": "table", "model.encoders.table.dropout": 0, "columns.words.kind": "text",
        "model.encoders.words.kind": "text_transformer", "model.encoders.words.dropout": 0,
    }  # fmt: skip
    fit = ["fit", str(tmp_path / "train.csv"), "--json", "--target", "answer"]
    fit += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    alone = command_line.tonggan(*fit, "--out", tmp_path / "one")
    assert alone.code == 0, alone.err
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tonggan"]
    done = forked.run([*launcher, *fit, "--out", str(tmp_path / "two")])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "one/report.html").exists()
    assert (tmp_path / "two/report.html").exists()
    found = one, two = alone.json, json.loads(done.stdout)
    assert two["metrics"]["valid"] == pytest.approx(one["metrics"]["valid"], rel=1e-3)
    losses = [[entry["train_loss"] for entry in each["training"]["history"]] for each in found]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert one["audit"]["alone_trained"].keys() == {"table", "words"}
    assert two["audit"]["alone_trained"] == pytest.approx(one["audit"]["alone_trained"], rel=1e-2)


def test_an_encoder_that_adapts_has_seen_the_training_part(tmp_path: Path) -> None:
    for row in range(24):
        (tmp_path / f"{row}.png").write_bytes(png(10 * row, 5 * row, 255 - 10 * row))
    table = pa.table({"picture": [f"{row}.png" for row in range(24)], "answer": ["no"] * 12 + ["yes"] * 12})
    pyarrow.csv.write_csv(table, tmp_path / "train.csv")
    settings = ["floor=null", "columns.picture.size=8", "training.epochs=1", "model.dim=8"]
    settings.append("model.encoders.picture={kind: image_cnn, channels: [4], whiten: true}")
    tonggan.fit(tmp_path / "train.csv", target="answer", out=tmp_path / "run", settings=settings)
    model = tonggan.load(tmp_path / "run").bundle.model
    assert isinstance(model, FusedModel)
    filters = model.encoders[0].trunk[0].filters  # type: ignore[union-attr, index]
    # Pictures of one color each differ in one direction of the twelve: the others are made larger by far.
    norms = filters.flatten(1)[:12].norm(dim=1)
    assert norms.max() > 5 * norms.min()
