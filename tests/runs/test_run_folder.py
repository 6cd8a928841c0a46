import os
import signal
import sys
from pathlib import Path

import pytest
from filelock import FileLock

import forked
import run_scene
import tonggan
from tonggan.errors import BundleError, ConfigError, DataError
from tonggan.progress import Progress


def test_an_unfinished_run_is_not_resumed_with_another_recipe_or_other_data(tmp_path: Path) -> None:
    class Stop(Progress):
        def track(self, items, *, label, **_):
            if label == "subsets":
                raise KeyboardInterrupt
            yield from items

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_scene.fit(out, settings=["audit_alone=false"], progress=Stop())
    with pytest.raises(ConfigError, match=r"start: training\.learning_rate is [\d.]+, now 0\.5, expected"):
        run_scene.fit(out, settings=["audit_alone=false", "training.learning_rate=0.5"])
    with pytest.raises(ConfigError, match=r"start: the content of data is \w{8}, now \w{8}, expected"):
        run_scene.fit(out, settings=["audit_alone=false"], data=run_scene.table(seed=1))
    said: list[str] = []

    class Listen(Progress):
        def say(self, text: str) -> None:
            said.append(text)

    with pytest.raises(KeyboardInterrupt):
        run_scene.fit(out, settings=["audit_alone=false", "training.epochs=1"], progress=Stop(), overwrite=True)
    run_scene.fit(out, settings=["audit_alone=false", "training.epochs=1"], progress=Listen(), overwrite=True)
    assert any("Resuming" in line for line in said), "its own unfinished run is resumed, not overwritten"
    replaced = run_scene.fit(out, settings=["audit_alone=false"], data=run_scene.table(seed=1), overwrite=True)
    assert replaced.results["rows"] == {"train": 144, "valid": 16}


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(BundleError, match="another run at work in it"):
        run_scene.fit(tmp_path)
    assert not (tmp_path / "recipe.yaml").exists()


def test_a_run_is_only_replaced_by_one_that_can_begin(tmp_path: Path) -> None:
    out = tmp_path / "run"
    former = run_scene.fit(out, settings=["audit_alone=false", "training.epochs=1"])
    kept = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix in {".json", ".safetensors", ".yaml"}}
    with pytest.raises(DataError, match="no column 'weigth'"):
        run_scene.fit(out, settings=["columns.weigth.kind=number"], overwrite=True)
    with pytest.raises(ConfigError, match=r"start\.note"):
        run_scene.fit(out, settings=[f"start.note={out}", "model.encoders.note={kind: text_rnn}"], overwrite=True)
    assert {name: (out / name).read_bytes() for name in kept} == kept
    again = run_scene.fit(out, settings=["audit_alone=false", "training.epochs=1"], overwrite=True)
    assert again.results["metrics"] == former.results["metrics"]


@pytest.mark.slow
def test_a_finished_run_stays_until_the_one_that_replaces_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "run"
    quick = ["audit_alone=false", "training.epochs=1"]
    former = run_scene.fit(out, settings=quick)
    rows = run_scene.table(8, seed=5)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, run_scene.__file__, str(out), "20", "overwrite"]
    with forked.Process(command, env=environment) as process:
        assert process.stdout.readline().strip() == run_scene.HERE
        process.send_signal(signal.SIGKILL)
    assert (out / "next" / "checkpoints" / "last.safetensors").exists()
    assert tonggan.load(out).predict_proba(rows).tolist() == former.predict_proba(rows).tolist()
    with pytest.raises(BundleError, match="a finished run"):
        run_scene.fit(out, settings=quick)
    with pytest.raises(BundleError, match="an unfinished run that is to replace its bundle"):
        former.save(out)
    said: list[str] = []

    class Listen(Progress):
        def say(self, text: str) -> None:
            said.append(text)

    resumed = run_scene.fit(out, settings=[run_scene.EAGER], progress=Listen())
    assert any(line.startswith("Resuming at step") for line in said)
    assert resumed.results["training"]["steps"] > 20, "of four epochs"
    assert tonggan.load(out).predict_proba(rows).tolist() == resumed.predict_proba(rows).tolist()
    assert not (out / "next").exists()
    assert {path.name for path in out.iterdir()} >= {"bundle.json", "report.html", "checkpoints"}


def test_a_bundle_is_saved_over_another_one_with_its_report(tmp_path: Path) -> None:
    settings = ["audit_alone=false", "training.epochs=1"]
    one, other = (run_scene.fit(tmp_path / str(seed), seed=seed, settings=settings) for seed in (0, 1))
    other.save(tmp_path / "0")
    rows = run_scene.table(8, seed=5)
    assert tonggan.load(one.folder).predict_proba(rows).tolist() == other.predict_proba(rows).tolist()
    assert (one.folder / "report.html").read_bytes() == (other.folder / "report.html").read_bytes()
    assert not (one.folder / "next").exists()
