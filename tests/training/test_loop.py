"""The loop as its users meet it: it learns, repeats, resumes, stops on time, and says what is wrong."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

import forked
import training_scene
from tonggan.data.loader import Loader
from tonggan.decoders import TARGET
from tonggan.errors import DataError, InterruptedRunError, TrainingError
from tonggan.progress import Progress
from tonggan.training import Budget, TrainingConfig
from tonggan.training import loop as loop_module
from tonggan.training.checkpoint import load_checkpoint
from training_scene import CONFIG, SEED, Net, Plain, run, scene, train_on


class Told(Progress):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def config(**changes):
    return CONFIG.model_copy(update=changes)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def course(result):
    """The history without its clock."""
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in result.history]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_learns_and_keeps_the_best_weights(tmp_path):
    told = Told()
    model, result = run(tmp_path, config=config(epochs=30), progress=told)
    assert result.steps == 300
    assert result.stopped_by == "epochs"
    assert [entry["epoch"] for entry in result.history] == list(range(1, 31))
    assert result.best_score == max(entry["valid_score"] for entry in result.history) > 0.8
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    _, task, _, valid = scene()
    model.eval()
    with torch.no_grad():
        batch = valid.batch(np.arange(len(valid)))
        assert task.measure(model(batch.inputs), batch.targets).score() == pytest.approx(result.best_score)
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == [
        f"best-{result.best_step:08d}.safetensors",
        "last.safetensors",
    ]
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert told.lines[0].startswith("Training: 300 steps, about ")
    assert told.lines[0].endswith(("MB", "GB"))
    assert result.peak_memory > 50e6
    assert result.seconds > 0


def test_repeats_exactly_and_leaves_the_global_random_state(tmp_path):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, first = run(tmp_path / "one")
    torch.manual_seed(1)
    training_state = torch.get_rng_state()
    assert torch.equal(before, training_state)
    other, second = run(tmp_path / "other")
    assert same_weights(one, other)
    assert course(first) == course(second)
    fresh, *_ = scene()
    assert not same_weights(one, fresh)


def test_is_the_plain_loop_of_pytorch(tmp_path):
    """One epoch in one step each, against AdamW and cosine written out."""
    _, task, train_part, valid_part = scene()
    torch.manual_seed(0)
    model, other = nn.Sequential(), nn.Sequential()
    model, other = Plain(), Plain()
    other.load_state_dict(model.state_dict())
    chosen = TrainingConfig(epochs=2, batch_size=80, precision="fp32", warmup=0.0, clip_norm=0.5, weight_decay=0.1)
    train_on(model, task, train_part, valid_part, config=chosen, folder=tmp_path)

    optimizer = torch.optim.AdamW(
        [{"params": [other.layers.weight], "weight_decay": 0.1}, {"params": [other.layers.bias], "weight_decay": 0.0}]
    )
    loader = Loader(train_part, batch_size=80, seed=SEED, shuffle=True, drop_last=True)
    for step, batch in enumerate([*loader.epoch(0), *loader.epoch(1)]):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * 0.5 * (1 + np.cos(np.pi * (step + 0.5) / 4))
        optimizer.zero_grad()
        logits = other.layers(batch.inputs["x"].values)
        nn.functional.cross_entropy(logits, batch.targets[TARGET].values).backward()
        nn.utils.clip_grad_norm_(other.parameters(), 0.5)
        optimizer.step()
    last, _ = load_checkpoint(tmp_path / "last.safetensors")
    torch.testing.assert_close(last["model.head.layers.weight"], other.layers.weight.detach(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(last["model.head.layers.bias"], other.layers.bias.detach(), rtol=1e-5, atol=1e-7)


def test_accumulated_batches_are_one_large_batch(tmp_path):
    """Without a random part in the network, two batches of 40 give the gradient of one of 80."""
    _, task, train_part, valid_part = scene()
    train_part.inputs["x"].modality.vary = lambda arrays, _, **__: arrays
    weights = []
    for size, accumulation in ((80, 1), (40, 2)):
        torch.manual_seed(0)
        model = Plain()
        chosen = TrainingConfig(epochs=3, batch_size=size, accumulation=accumulation, precision="fp32")
        result = train_on(model, task, train_part, valid_part, config=chosen, folder=tmp_path / str(size))
        assert result.steps == 6
        weights.append(load_checkpoint(tmp_path / str(size) / "last.safetensors")[0]["model.head.layers.weight"])
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-6)


def test_killed_and_resumed_is_bit_for_bit_the_run_never_stopped(tmp_path):
    straight, expected = run(tmp_path / "straight", config=config(checkpoint_every=0.05))
    folder = tmp_path / "killed"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = forked.Process([sys.executable, training_scene.__file__, str(folder)], env=environment)
    while not (folder / "best-00000010.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.15)  # Into the second epoch.
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    _, saved = load_checkpoint(folder / "last.safetensors")
    assert 0 < saved["run"]["step"] < expected.steps
    told = Told()
    resumed, result = run(folder, config=config(checkpoint_every=0.05), progress=told)
    assert told.lines[0] == f"Resuming at step {saved['run']['step']} of 40"
    assert same_weights(resumed, straight)
    assert course(result) == course(expected)
    assert result.seconds > saved["run"]["elapsed"] - saved["run"]["training_started"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_says_so_and_resumes(tmp_path, number):
    straight, expected = run(tmp_path / "straight")

    class Impatient(Net):
        calls = 0

        def encode(self, inputs):
            Impatient.calls += 1
            if Impatient.calls == 23:
                signal.raise_signal(number)
            return super().encode(inputs)

    torch.manual_seed(SEED)
    with pytest.raises(InterruptedRunError, match=r"a request to stop at step \d+ of 40.*Run the same command"):
        run(tmp_path / "stopped", model=Impatient())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed, result = run(tmp_path / "stopped")
    assert same_weights(resumed, straight)
    assert course(result) == course(expected)


def test_finished_run_is_not_trained_again(tmp_path):
    one, first = run(tmp_path)
    Net.pause, before = 10.0, Net.pause
    try:
        other, second = run(tmp_path)
    finally:
        Net.pause = before
    assert same_weights(one, other)
    assert second == first


def test_checkpoint_of_another_run_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(TrainingError, match=r"a run with other config.*Choose another folder"):
        run(tmp_path, config=config(epochs=5))


def test_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "last.safetensors").write_bytes(b"half a file")
    with pytest.raises(TrainingError, match=r"last.safetensors.*Delete the folder"):
        run(tmp_path)


@pytest.mark.parametrize("reads_apart", [1, 4])
def test_loss_that_is_not_finite_names_step_and_rows(tmp_path, monkeypatch, reads_apart):
    monkeypatch.setattr(loop_module, "_reads_apart", lambda _: reads_apart)
    model, task, train_part, valid_part = scene()
    train_part.inputs["x"].values[[17, 40]] = np.nan
    chosen = config(batch_size=160, evaluate_every=4)
    with pytest.raises(TrainingError, match=r"training step 1: got .* 2 of 160 rows \(counted from 1: 18, 41\)"):
        train_on(model, task, train_part, valid_part, config=chosen, folder=tmp_path)
    fresh, *_ = scene()
    assert torch.equal(model.layers[0].weight, fresh.layers[0].weight), "a bad step must not touch the weights"
    assert torch.isfinite(model.layers[1].running_mean).all()


def test_time_limit_is_kept_and_the_rate_falls_to_zero(tmp_path, monkeypatch):
    _, task, train_part, valid_part = scene()
    torch.manual_seed(0)
    clock = [time.monotonic()]

    class Slow(Net):
        """Each batch takes 0.02 s on the test's own clock, and nothing else any time."""

        def encode(self, inputs):
            clock[0] += 0.02
            return super().encode(inputs)

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    budget = Budget(4.0)
    budget.reserve(1.0)
    told = Told()
    chosen, model = config(epochs=10_000), Slow()
    result = train_on(model, task, train_part, valid_part, config=chosen, folder=tmp_path, budget=budget, progress=told)
    assert 2.6 < budget.elapsed < 3.1
    assert result.stopped_by == "time"
    assert result.history[-1]["learning_rate"] < 0.01 * CONFIG.learning_rate
    assert "of 100,000 steps, about 2 s" in told.lines[0] or "of 100,000 steps, about 3 s" in told.lines[0]


def test_no_time_at_all_still_gives_a_valid_model(tmp_path):
    model, result = run(tmp_path, budget=Budget(1e-9))
    assert result.stopped_by == "time"
    assert result.steps == 0
    assert len(result.history) == 1
    assert 0 < result.history[0]["valid_rows"] <= 80
    fresh, *_ = scene()
    assert same_weights(model, fresh)


def test_patience_stops_early(tmp_path):
    chosen = config(epochs=200, patience=3, evaluate_every=5)
    _, result = run(tmp_path, config=chosen)
    assert result.stopped_by == "patience"
    assert result.steps == result.best_step + 15
    assert result.best_score == max(entry["valid_score"] for entry in result.history)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_and_resumes(tmp_path, precision):
    chosen = config(precision=precision, epochs=20)
    straight, result = run(tmp_path / "straight", config=chosen)
    assert result.precision == precision
    assert result.best_score > 0.7
    assert all(parameter.dtype == torch.float32 for parameter in straight.parameters())

    class Impatient(Net):
        calls = 0

        def encode(self, inputs):
            Impatient.calls += 1
            if Impatient.calls == 77:
                signal.raise_signal(signal.SIGTERM)
            return super().encode(inputs)

    torch.manual_seed(SEED)
    with pytest.raises(InterruptedRunError):
        run(tmp_path / "stopped", config=chosen, model=Impatient())
    resumed, again = run(tmp_path / "stopped", config=chosen)
    assert same_weights(straight, resumed)
    assert course(again) == course(result)


def test_works_outside_the_main_thread(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(run(tmp_path)))
    thread.start()
    thread.join()
    assert results[0][1].stopped_by == "epochs"


def test_fewer_rows_than_a_batch(tmp_path):
    model, task, train_part, valid_part = scene()
    options = {"config": config(batch_size=64), "folder": tmp_path}
    result = train_on(model, task, train_part.take(np.arange(5)), valid_part, **options)
    assert result.steps == 4
    with pytest.raises(DataError, match="training part: got no rows"):
        train_on(model, task, train_part.take(np.arange(0)), valid_part, **options)


def test_curves_that_cannot_be_written_do_not_end_the_training(tmp_path):
    (tmp_path / "tensorboard").write_text("not a folder")
    told = Told()
    _, result = run(tmp_path, progress=told)
    assert result.steps == 40
    assert told.lines[0].startswith("TensorBoard's log cannot be written (")
