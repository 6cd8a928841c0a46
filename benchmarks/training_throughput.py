"""Training throughput of a small picture + sound network: Keras, a plain PyTorch loop, Hugging Face Trainer, Tonggan.

All train the same network (64x64x3 pictures through two convolutions, 128 numbers of a sound through a dense layer,
merged, softmax) from the same weights on the same rows in memory, by AdamW at batch 32 without clipping, on the same
number of threads, in float32; Tonggan is run a second time in the precision that it chooses by itself. Each repeat runs
every contender in a fresh process, one after the other, in an order that turns; time is counted from the end of the
first epoch, so that imports and first allocations do not count. What Tonggan does besides (one evaluation of 32 rows an
epoch, the check for losses that are not finite, the log) does count.

Needs peers that Tonggan does not: pip install tensorflow-cpu keras transformers. Run:
python benchmarks/training_throughput.py
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from contenders import compare

ROWS = 2048
BATCH_SIZE = 32
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.01


class Network(nn.Module):
    """The picture + sound network, always from the same weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.picture_1 = nn.Conv2d(3, 32, 3)
        self.picture_2 = nn.Conv2d(32, 64, 3)
        self.picture_3 = nn.Linear(64 * 14 * 14, 64)
        self.sound = nn.Linear(128, 64)
        self.merged_1 = nn.Linear(128, 64)
        self.merged_2 = nn.Linear(64, 2)

    def forward(self, pictures, sounds):
        left = nn.functional.max_pool2d(self.picture_1(pictures.float() / 255).relu(), 2)
        left = nn.functional.max_pool2d(self.picture_2(left).relu(), 2)
        left = self.picture_3(left.flatten(1)).relu()
        right = self.sound(sounds).relu()
        return self.merged_2(self.merged_1(torch.cat([left, right], dim=1)).relu())


def make_rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures uint8 [N, 3, 64, 64], sounds float32 [N, 128], and which of two classes each row is."""
    random = np.random.default_rng(0)
    sounds = random.standard_normal((ROWS, 128)).astype(np.float32)
    pictures = random.integers(0, 256, (ROWS, 3, 64, 64), dtype=np.uint8)
    return pictures, sounds, (sounds[:, 0] > 0).astype(np.int64)


class Clock:
    """When each epoch ended, and the last loss, to see that all contenders learn the same."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def tick(self) -> None:
        self.ends.append(time.perf_counter())

    def result(self, *, loss: float, **more: str) -> dict[str, Any]:
        return {"seconds": self.ends[-1] - self.ends[0], "loss": loss, **more}


def run_keras(epochs: int, threads: int) -> dict[str, Any]:
    """Keras's own fit, on TensorFlow where that is installed."""
    backend = "tensorflow" if importlib.util.find_spec("tensorflow") else "torch"
    os.environ["KERAS_BACKEND"] = backend
    import keras
    from keras import layers

    if backend == "tensorflow":
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    picture, sound = layers.Input((64, 64, 3)), layers.Input((128,))
    left = layers.Rescaling(1 / 255)(picture)
    left = layers.MaxPooling2D()(layers.Conv2D(32, 3, activation="relu", name="picture_1")(left))
    left = layers.MaxPooling2D()(layers.Conv2D(64, 3, activation="relu", name="picture_2")(left))
    left = layers.Dense(64, activation="relu", name="picture_3")(layers.Flatten()(left))
    right = layers.Dense(64, activation="relu", name="sound")(sound)
    merged = layers.Dense(64, activation="relu", name="merged_1")(layers.Concatenate()([left, right]))
    outputs = layers.Dense(2, activation="softmax", name="merged_2")(merged)
    model = keras.Model([picture, sound], outputs)
    for name, module in Network().named_children():
        model.get_layer(name).set_weights([keras_kernel(module), module.bias.detach().numpy()])
    model.compile(
        keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY), loss="sparse_categorical_crossentropy"
    )
    clock = Clock()
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: clock.tick())
    pictures, sounds, classes = make_rows()
    pictures = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
    history = model.fit(
        [pictures, sounds], classes, batch_size=BATCH_SIZE, epochs=epochs, verbose=0, callbacks=[callback]
    )
    return clock.result(loss=history.history["loss"][-1], variant=backend)


def keras_kernel(module: nn.Module) -> np.ndarray:
    """Keras keeps filters as [H, W, in, out] and matrices as [in, out], and flattens with the channels last."""
    weight = module.weight.detach()
    if weight.dim() == 4:
        return weight.permute(2, 3, 1, 0).numpy()
    if weight.shape[1] == 64 * 14 * 14:
        weight = weight.view(64, 64, 14, 14).permute(0, 2, 3, 1).reshape(64, -1)
    return weight.T.numpy()


def run_plain(epochs: int, threads: int) -> dict[str, Any]:
    """What a person writes by hand: tensors in memory, a random order, fused AdamW."""
    torch.set_num_threads(threads)
    pictures, sounds, classes = map(torch.from_numpy, make_rows())
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    clock = Clock()
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(ROWS).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(pictures[rows], sounds[rows]), classes[rows])
            loss.backward()
            optimizer.step()
            total += loss.item()
        clock.tick()
    return clock.result(loss=total / (ROWS // BATCH_SIZE))


def run_trainer(epochs: int, threads: int) -> dict[str, Any]:
    """Hugging Face Trainer with all logging, saving and evaluation off."""
    from torch.utils.data import Dataset
    from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator

    torch.set_num_threads(threads)
    pictures, sounds, classes = map(torch.from_numpy, make_rows())

    class Rows(Dataset):
        def __len__(self) -> int:
            return ROWS

        def __getitem__(self, row):
            return {"pictures": pictures[row], "sounds": sounds[row], "labels": classes[row]}

    class WithLoss(Network):
        def forward(self, pictures, sounds, labels):
            logits = super().forward(pictures, sounds)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    clock = Clock()

    class Ticks(TrainerCallback):
        def on_epoch_end(self, *_, **__) -> None:
            clock.tick()

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            weight_decay=WEIGHT_DECAY,
            optim="adamw_torch_fused",
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            logging_strategy="epoch",
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = Trainer(
            WithLoss(), arguments, train_dataset=Rows(), data_collator=default_data_collator, callbacks=[Ticks()]
        )
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return clock.result(loss=float(losses[-1]))


def run_tonggan(
    epochs: int,
    threads: int,
    *,
    precision: Literal["auto", "fp32"] = "fp32",
    batch_size: int = BATCH_SIZE,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Tonggan's train, with its loader, its validation and its checkpoints, which several processes share."""
    from tonggan.config import Config
    from tonggan.data.dataset import Dataset, Source
    from tonggan.decoders import TARGET
    from tonggan.layers.precision import in_float32
    from tonggan.modalities.base import Modality
    from tonggan.tasks.classify import MulticlassConfig
    from tonggan.tokens import Arrays, Prediction
    from tonggan.training import TrainingConfig, train
    from tonggan.training.objective import MeasuredObjective
    from tonggan.training.supervised import loaders

    torch.set_num_threads(threads)

    class Stacked(Modality[Config]):
        """Arrays as they are."""

        kind = "stacked"

        def collate(self, items):
            return Arrays.whole(torch.from_numpy(items))

    class Memory(Source):
        """Rows of an array in memory."""

        def __init__(self, values: np.ndarray, modality: Modality) -> None:
            self.modality = modality
            self.values = values

        def items(self, rows):
            return self.values[rows]

    pictures, sounds, classes = make_rows()
    task = MulticlassConfig().build()
    task.fit(classes.tolist())

    class Classes(MeasuredObjective):
        """The task, learned by the network that all have."""

        score_name, greater_is_better = task.score_name, task.greater_is_better

        def __init__(self) -> None:
            super().__init__()
            self.network = Network()

        def losses(self, batch):
            return {"loss": self.predict(batch)["loss"].mean()}

        def predict(self, batch):
            outputs = self.network(batch.inputs["pictures"].values, batch.inputs["sounds"].values)
            with in_float32(outputs.device):
                loss = task.row_losses(outputs.float(), batch.targets[TARGET].values)
            return Prediction({"outputs": outputs, "loss": loss})

        def measure(self, prediction, targets):
            return task.measure(prediction, targets)

    inputs = {name: Memory(values, Stacked(Config())) for name, values in (("pictures", pictures), ("sounds", sounds))}
    rows = Dataset(inputs, np.arange(ROWS), {TARGET: Memory(classes, task.target)})
    config = TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        clip_norm=None,
        precision=precision,
    )
    with tempfile.TemporaryDirectory() as own:
        learned, valid = loaders(rows, rows.take(np.arange(32)), config=config, seed=0)
        result = train(Classes(), learned, valid=valid, config=config, folder=folder or Path(own), seed=0)
    seconds = result.history[-1]["seconds"] - result.history[0]["seconds"]
    return {"seconds": seconds, "loss": result.history[-1]["train_loss"], "variant": result.precision}


CONTENDERS = {
    "keras": run_keras,
    "plain": run_plain,
    "trainer": run_trainer,
    "tonggan": run_tonggan,
    "tonggan auto": partial(run_tonggan, precision="auto"),
}


def main() -> None:
    packages = {"keras": "keras", "trainer": "transformers"}
    missing = [name for name, package in packages.items() if not importlib.util.find_spec(package)]
    results = compare(CONTENDERS, description=__doc__, epochs=4, missing=missing)
    speeds = {name: [found["epochs"] * ROWS / found["seconds"] for found in each] for name, each in results.items()}
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    for name, values in speeds.items():
        last = results[name][-1]
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        variant = last.get("variant", "fp32")
        print(f"{name} ({variant}): {medians[name]:,.0f} samples/s ({spread}), last loss {last['loss']:.4f}")
    for name, goal in {"keras": 1.3, "trainer": 1.0, "plain": 0.95}.items() if results else ():
        if name in medians:
            same, own = medians["tonggan"] / medians[name], medians["tonggan auto"] / medians[name]
            print(f"ratio to {name}: {same:.2f}x in fp32, {own:.2f}x in Tonggan's own choice (goal {goal}x)")
        else:
            print(f"ratio to {name}: not measured, {packages[name]} is not installed")


if __name__ == "__main__":
    main()
