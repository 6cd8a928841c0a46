from pathlib import Path

import pytest
from filelock import FileLock

import run_scene
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
    other = run_scene.table(seed=1)
    with pytest.raises(ConfigError, match=r"start\.note: got other tokens"):
        run_scene.fit(out, settings=[f"start.note={out}"], data=other, overwrite=True)
    assert {name: (out / name).read_bytes() for name in kept} == kept
    again = run_scene.fit(out, settings=["audit_alone=false", "training.epochs=1"], overwrite=True)
    assert again.results["metrics"] == former.results["metrics"]
