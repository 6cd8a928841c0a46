"""Several processes learn what one does, whether each keeps all weights or its share of them alone."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import forked
import tonggan
import training_scene
from tonggan.errors import ConfigError
from tonggan.training.stepper import Stepper
from tonggan.training.supervised import Supervised
from tonggan.training.world import World, refuse_processes
from training_scene import CONFIG, Deep, run_still, scene


def last(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "last.safetensors")


def together(folder: Path, *words: str) -> list[str]:
    """What two processes say at their end, of the training that ``words`` name."""
    return [
        done.stderr
        for done in forked.run_together([sys.executable, training_scene.__file__, str(folder), *words], number=2)
    ]


def check_equal(one: dict[str, Tensor], two: dict[str, Tensor], *, atol: float = 1e-5) -> None:
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        # Of a single token queries and keys decide nothing: their gradients are the rounding of others.
        if ".attention.in_projection." not in name:
            torch.testing.assert_close(tensor, two[name], rtol=1e-3, atol=atol, msg=name)


def test_what_one_process_does_alone_refuses_several(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refuse_processes("compress --quantize")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 processes that torchrun has started"):
        tonggan.compress(tmp_path, out=tmp_path / "out", quantize="int8")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "fields"), [("plain", []), ("deep", ["sharded=true"]), ("deep", ["sharded=true", "optimizer=muon"])]
)
def test_two_processes_learn_what_one_does(tmp_path: Path, kind: str, fields: list[str]) -> None:
    """Without dropout, which every process draws for itself, weights and scores are those of one process."""
    assert together(tmp_path / "shared", kind, *fields) == ["", ""]
    _, result = run_still(kind, tmp_path / "alone", *fields)
    rounding = 2e-2 if "optimizer=muon" in fields else 1e-5  # Muon multiplies in half precision.
    check_equal(last(tmp_path / "alone"), last(tmp_path / "shared"), atol=rounding)
    assert (tmp_path / "shared" / f"best-{result.best_step:08d}.safetensors").exists()


def test_what_two_processes_began_one_ends_and_the_other_way_round(tmp_path: Path) -> None:
    run_still("deep", tmp_path / "whole")
    for error in together(tmp_path / "two", "deep", "sharded=true", "stop=7"):
        assert "a request to stop at step 8 of 40" in error
    model, _ = run_still("deep", tmp_path / "two")
    check_equal(last(tmp_path / "whole"), last(tmp_path / "two"))
    done = forked.run([sys.executable, training_scene.__file__, str(tmp_path / "one"), "deep", "stop=7"])
    assert "a request to stop at step 8 of 40" in done.stderr
    assert together(tmp_path / "one", "deep", "sharded=true") == ["", ""]
    check_equal(last(tmp_path / "whole"), last(tmp_path / "one"))
    assert not [name for name, parameter in model.named_parameters() if type(parameter) is not nn.Parameter]


def test_a_scalar_has_no_shares() -> None:
    _, task, *_ = scene()
    model = Deep()
    model.scale = nn.Parameter(torch.tensor(1.0))
    config = CONFIG.model_copy(update={"sharded": True})
    with pytest.raises(ConfigError, match=r"sharded=true with the scalar model\.scale.*training\.sharded=false"):
        Stepper(Supervised(model, task), config=config, world=World(0, 2, torch.device("cpu")), seed=0)
