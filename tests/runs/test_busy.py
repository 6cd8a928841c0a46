"""Beside another program that computes with all threads, a run under a limit is slower, and not worthless."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

BUSY = "import torch; a = torch.randn(500, 500)\nwhile True: a = torch.tanh(a @ a.T / 500)"


@pytest.mark.slow
def test_a_run_beside_a_busy_process_is_still_good(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    left, right = generator.normal(size=(2, 1500))
    table = pa.table({"left": left, "right": right, "answer": 3 * left - 2 * right + left * right})
    pyarrow.csv.write_csv(table, tmp_path / "train.csv")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    busy = subprocess.Popen([sys.executable, "-c", BUSY], env=environment)
    try:
        command = [sys.executable, "-m", "tonggan", "fit", str(tmp_path / "train.csv"), "--target", "answer", "--json"]
        command += ["--time-limit", "5m", "--out", str(tmp_path / "run")]
        for setting in ("floor=null", "training.epochs=8", "audit_alone=false"):
            command += ["--set", setting]
        done = subprocess.run(command, capture_output=True, check=True, env=environment)
    finally:
        busy.kill()
        busy.wait()
    assert json.loads(done.stdout)["metrics"]["valid"]["r2"] > 0.95
