import json
import os
import signal
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

import forked
import run_scene
import tonggan
from offline import run_offline
from small_data import png
from tonggan.errors import BundleError, ConfigError
from tonggan.progress import Progress


class Said(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def numbers(model: tonggan.Predictor) -> dict:
    """All of a run's results that are not about time and memory."""
    results = json.loads(json.dumps(model.results))
    del results["seconds"]
    for name in ("seconds", "peak_memory"):
        del results["training"][name]
    for entry in results["training"]["history"]:
        del entry["seconds"]
    return results


def weights(model: tonggan.Predictor) -> bytes:
    return (model.folder / "weights.safetensors").read_bytes()


def test_the_same_seed_gives_the_same_numbers(finished: tonggan.Predictor, tmp_path: Path) -> None:
    again = run_scene.fit(tmp_path / "again")
    assert weights(again) == weights(finished)
    assert numbers(again) == numbers(finished)
    other = run_scene.fit(tmp_path / "other", seed=1, settings=["audit_alone=false"])
    assert weights(other) != weights(finished)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "unfinished"),
    [
        pytest.param(20, "checkpoints", id="in training"),
        pytest.param(run_scene.STEPS + 20, "alone/0", id="in training on one input alone"),
        pytest.param("subsets", "checkpoints", id="in the audit"),
    ],
)
def test_a_killed_run_resumes_to_the_same_bytes(
    finished: tonggan.Predictor, tmp_path: Path, place: int | str, unfinished: str
) -> None:
    out = tmp_path / "run"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with forked.Process([sys.executable, run_scene.__file__, str(out), str(place)], env=environment) as process:
        assert process.stdout.readline().strip() == run_scene.HERE
        process.send_signal(signal.SIGKILL)
    assert (out / unfinished / "last.safetensors").exists()
    with pytest.raises(BundleError, match=r"unfinished run.*Run the command that started it again"):
        tonggan.load(out)
    said = Said()
    resumed = run_scene.fit(out, settings=[run_scene.EAGER], progress=said)
    assert any(line.startswith("Resuming at step") for line in said.lines)
    assert weights(resumed) == weights(finished)
    assert numbers(resumed) == numbers(finished)


def test_a_finished_run_keeps_curves_but_no_checkpoints(finished: tonggan.Predictor) -> None:
    names = {path.relative_to(finished.folder).parts[0] for path in finished.folder.rglob("*") if path.is_file()}
    assert names - {".lock"} == {
        "bundle.json", "checkpoints", "inputs.json", "quarantine.csv", "recipe.yaml", "report.html",
        "weights.safetensors",
    }  # fmt: skip
    assert not list(finished.folder.rglob("checkpoints/*.safetensors"))
    assert list(finished.folder.glob("checkpoints/tensorboard/events.*"))


def test_a_finished_run_is_replaced_on_demand_only(finished: tonggan.Predictor) -> None:
    before = (finished.folder / "bundle.json").read_bytes()
    with pytest.raises(BundleError, match=r"a finished run.*--overwrite"):
        run_scene.fit(finished.folder)
    assert (finished.folder / "bundle.json").read_bytes() == before


def test_a_time_limit_is_kept_and_leaves_a_valid_model(tmp_path: Path) -> None:
    endless = ["training.epochs=100000"]  # benchmarks/time_limits.py measures the time
    model = run_scene.fit(tmp_path / "run", data=run_scene.table(4_000), settings=endless, time_limit=6.0)
    assert model.results["training"]["stopped_by"] == "time"
    assert model.results["training"]["steps"] > 0
    assert model.results["measured"]["valid"] > 0
    loaded = tonggan.load(tmp_path / "run")
    rows = run_scene.table(8, seed=5)
    assert loaded.predict(rows) == model.predict(rows)


def test_a_limit_that_reading_uses_up_is_told_and_leaves_a_valid_model(tmp_path: Path) -> None:
    said = Said()
    model = run_scene.fit(tmp_path / "run", time_limit=0.01, progress=said)
    assert any("of the time limit of" in line for line in said.lines)
    assert sum("on 'note' alone" in line for line in said.lines) == 1
    assert model.results["audit"]["alone_trained"] == {}
    assert model.results["training"]["stopped_by"] == "time"
    assert len(tonggan.load(tmp_path / "run").predict(run_scene.table(8))) == 8


def test_a_limit_that_is_over_before_all_files_are_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png(1, 2, 3))
    table = pa.table({"picture": ["1.png"] * 5000, "answer": ["no", "yes"] * 2500})
    pyarrow.csv.write_csv(table, tmp_path / "train.csv")
    with pytest.raises(ConfigError, match=r"limit of 1 s: got reading picture: 2,048 of 4,500 rows.*Allow more"):
        tonggan.fit(tmp_path / "train.csv", target="answer", out=tmp_path / "run", time_limit=0.001)


MEMORY = """
import resource
import tonggan.api
from tonggan.progress import Progress

class Started(Exception):
    pass

class StopWhenTrainingStarts(Progress):
    def update(self, label, *, done, total, note=""):
        if label == "training":
            raise Started

def peak(name):
    try:
        tonggan.api.fit(f"{sys.argv[1]}/{name}.csv", target="answer", out=f"{sys.argv[1]}/{name}", settings=[
            "columns={picture: {kind: image, size: 8}}", "training.epochs=1000", "floor=null"],
            progress=StopWhenTrainingStarts())
    except Started:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

few = peak("few")
print(peak("many") - few)
"""


@pytest.mark.slow
def test_training_on_many_rows_starts_in_little_memory(tmp_path: Path) -> None:
    for index in range(20):
        (tmp_path / f"{index}.png").write_bytes(png(10 * index, 2, 3))
    for name, rows in (("few", 1_000), ("many", 100_000)):
        table = pa.table({"picture": [f"{row % 20}.png" for row in range(rows)], "answer": ["no", "yes"] * (rows // 2)})
        pyarrow.csv.write_csv(table, tmp_path / f"{name}.csv")
    megabytes = float(
        run_offline(MEMORY, tmp_path, cache=tmp_path / "cache", pickle_allowed=True, imports_libraries=True)
    )
    assert megabytes < 60, "which is 600 bytes for each further row"


def test_pictures_that_many_rows_share_are_told_of(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(png(60 * number, 0, 0))
    rows = 48
    data = tmp_path / "train.csv"
    pyarrow.csv.write_csv(
        pa.table(
            {
                "picture": [f"{row % 4}.png" for row in range(rows)],
                "answer": [["no", "yes"][row % 4 > 1] for row in range(rows)],
            }
        ),
        data,
    )
    settings = ["floor=null", "columns.picture.size=8", "training.epochs=1", "model.dim=16", "audit_alone=false"]
    said = Said()
    tonggan.fit(data, target="answer", out=tmp_path / "plain", settings=settings, progress=said)
    assert any("--set data.batch_by=picture" in line for line in said.lines)
    said = Said()
    together = [*settings, "data.batch_by=picture"]
    tonggan.fit(data, target="answer", out=tmp_path / "together", settings=together, progress=said)
    assert not any("batch_by" in line for line in said.lines)
