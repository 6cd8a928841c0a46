"""Beside another program that computes with all threads, a run under a limit is slower, and not worthless."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

# The other program begins when this one has its libraries.
FIT = """
import subprocess, sys
import tonggan.api, tonggan.runs.fitting
busy = "import numpy as np; a = np.ones((500, 500))\\nwhile True: a = np.tanh(a @ a.T / 500)"
other = subprocess.Popen([sys.executable, "-c", busy])
try:
    model = tonggan.api.fit(
        sys.argv[1], target="answer", out=sys.argv[2], time_limit="5m",
        settings=["floor=null", "training.epochs=12", "audit_alone=false"],
    )
finally:
    other.kill()
    other.wait()
print(model.results["metrics"]["valid"]["r2"])
"""


@pytest.mark.slow
def test_a_run_beside_a_busy_process_is_still_good(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    left, right = generator.normal(size=(2, 600))
    table = pa.table({"left": left, "right": right, "answer": 3 * left - 2 * right + left * right})
    pyarrow.csv.write_csv(table, tmp_path / "train.csv")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", FIT, str(tmp_path / "train.csv"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert float(done.stdout.splitlines()[-1]) > 0.95
