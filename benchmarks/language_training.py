"""Training throughput of a small language model on ragged texts: Hugging Face Trainer against Tonggan.

Both train the same Llama from the same weights on the same token ids, by fused AdamW with the same weight decay,
clipping and learning rates, in float32, the same rows a batch and the same steps, on the same number of threads.
Counted are real tokens, never padding. Trainer pads each batch to its longest row, and so does Tonggan, but its Llama
keeps padding out of the matrix products. Trainer is run a second time with rows of similar length in one batch
(group_by_length); the loss on held-out texts, computed alike for all, shows what that does to learning. Each repeat
runs every contender in a fresh process, one after the other, in an order that turns; time is counted from the end of
the first epoch. What
Tonggan does besides (a look at 16 rows and the best weights' checkpoint in each epoch, the check for losses that are
not finite, the log) does count.

The texts are AG News where TONGGAN_MIRROR names a folder that holds it, else the docstrings of Python's standard
library. Needs a peer that Tonggan does not: pip install transformers. Run: python benchmarks/language_training.py
"""

from __future__ import annotations

import ast
import csv
import os
import statistics
import sysconfig
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contenders import compare
from tonggan.language.causal_transformer import CausalTransformer, CausalTransformerConfig
from tonggan.language.tokenizer import Tokenizer

ROWS, HELD_OUT = 768, 64
BATCH_SIZE = 16
LONGEST = 256
LEARNING_RATE, WEIGHT_DECAY, WARMUP, CLIP_NORM = 2e-3, 0.05, 0.05, 1.0
SHAPE = CausalTransformerConfig(
    vocab_size=4096,
    hidden_size=256,
    intermediate_size=768,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=LONGEST,
)
IGNORED = -100


def read_texts() -> list[str]:
    """Title and description of each news item, or every docstring."""
    mirror = os.environ.get("TONGGAN_MIRROR")
    news = Path(mirror) / "ag_news" / "test.csv" if mirror else None
    if news is not None and news.is_file():
        with news.open(newline="", encoding="utf-8") as file:
            return [f"{title}\n{description}" for _, title, description in csv.reader(file)]
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return [
        text
        for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, documented) and (text := ast.get_docstring(node))
    ]


def read_rows() -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of the texts to train on, and of those held out."""
    texts = read_texts()
    chosen = [texts[index] for index in np.random.default_rng(0).permutation(len(texts))[: ROWS + HELD_OUT]]
    tokenizer = Tokenizer.train(chosen[:ROWS], vocab_size=SHAPE.vocab_size)
    rows = [[1, *tokenizer.encode(text)[: LONGEST - 2], 2] for text in chosen]
    return rows[:ROWS], rows[ROWS:]


def new_model() -> CausalTransformer:
    torch.manual_seed(0)
    return SHAPE.build()


def token_losses(model: CausalTransformer, ids: Tensor, mask: Tensor) -> Tensor:
    """[B, 2]: the summed negative log-likelihood of each row's tokens after its first, and how many these are."""
    hidden = model(model.embed(ids), mask=mask)[:, :-1]
    real = mask[:, 1:]
    each = F.cross_entropy(model.logits(hidden[real]), ids[:, 1:][real], reduction="none")
    total = torch.zeros(len(ids)).index_add(0, real.nonzero()[:, 0], each)
    return torch.stack([total, real.sum(dim=1).float()], dim=1)


def pad(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Ids ``[B, L]``, right-padded with zeros, and the mask."""
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return ids, torch.arange(ids.shape[1]) < torch.tensor([[len(row)] for row in rows])


@torch.no_grad()
def held_out_loss(model: CausalTransformer, rows: list[list[int]]) -> float:
    total, count = token_losses(model.eval(), *pad(rows)).sum(dim=0)
    return float(total / count)


def run_trainer(epochs: int, threads: int, *, strategy: str = "random") -> dict[str, Any]:
    """Hugging Face's Trainer on its own Llama, without checkpoints, evaluation or reports."""
    from transformers import LlamaConfig as TheirConfig
    from transformers import LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.set_num_threads(threads)
    rows, held_out = read_rows()
    ours = new_model()
    shape = SHAPE.model_dump(exclude={"dropout", "rope_theta"})
    theirs = LlamaForCausalLM(
        TheirConfig(**shape, rope_parameters={"rope_type": "default", "rope_theta": SHAPE.rope_theta})
    )
    theirs.load_state_dict(ours.state_dict() | {"lm_head.weight": ours.model.embed_tokens.weight})
    ends: list[float] = []

    class Ticks(TrainerCallback):
        def on_epoch_end(self, *_args, **_options):
            ends.append(time.perf_counter())

    def collate(items: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        ids, mask = pad([item["input_ids"] for item in items])
        return {"input_ids": ids, "attention_mask": mask.long(), "labels": ids.masked_fill(~mask, IGNORED)}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            weight_decay=WEIGHT_DECAY,
            max_grad_norm=CLIP_NORM,
            lr_scheduler_type="cosine",
            warmup_steps=round(WARMUP * epochs * ROWS / BATCH_SIZE),
            optim="adamw_torch_fused",
            train_sampling_strategy=strategy,
            use_cpu=True,
            disable_tqdm=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
        )
        items = [{"input_ids": row} for row in rows]
        trainer = Trainer(theirs, arguments, train_dataset=items, data_collator=collate, callbacks=[Ticks()])
        trainer.train()
    ours.load_state_dict({name: weight for name, weight in theirs.state_dict().items() if name != "lm_head.weight"})
    return {"seconds": ends[-1] - ends[0], "tokens": count(rows), "loss": held_out_loss(ours, held_out)}


def run_tonggan(epochs: int, threads: int) -> dict[str, Any]:
    """Tonggan's train, with its loader, its validation and its checkpoints."""
    from tonggan.config import Config
    from tonggan.data.dataset import Dataset, Source
    from tonggan.modalities.base import Modality
    from tonggan.tasks.measure import Measure, Reducer
    from tonggan.tokens import Arrays, Prediction
    from tonggan.training import TrainingConfig, train
    from tonggan.training.objective import MeasuredObjective
    from tonggan.training.supervised import loaders

    class Ids(Modality[Config]):
        """Token ids as they are."""

        kind = "ids"

        def collate(self, items):
            return Arrays(*pad(items))

    class Memory(Source):
        modality = Ids(Config())

        def __init__(self, rows: list[list[int]]) -> None:
            self.rows = rows

        def items(self, rows):
            return [self.rows[row] for row in rows]

    class Likelihood(Measure):
        """Rows have ``total [N]``, their summed loss, and ``count [N]``, of how many tokens."""

        def make_reducers(self):
            return [Reducer(["loss"], lambda weights: [weights @ self.rows["total"] / (weights @ self.rows["count"])])]

        def badness(self):
            return self.rows["total"]

        def differs(self, other):
            return self.rows["total"] != other.rows["total"]

    class NextToken(MeasuredObjective):
        """The mean loss of a token."""

        score_name, greater_is_better = "loss", False

        def __init__(self) -> None:
            super().__init__()
            self.language = new_model()

        def losses(self, batch):
            found = self.predict(batch)
            return {"loss": found["total"].sum() / found["count"].sum()}

        def weight(self, batch):
            return float(batch.inputs["text"].mask[:, 1:].sum())

        def predict(self, batch):
            total, count = token_losses(self.language, batch.inputs["text"].values, batch.inputs["text"].mask).T
            return Prediction({"total": total, "count": count, "loss": total / count})

        def measure(self, prediction, _targets):
            rows = {name: prediction[name].double().numpy() for name in ("total", "count")}
            return Likelihood(rows, self.score_name, self.greater_is_better)

    torch.set_num_threads(threads)
    rows, held_out = read_rows()
    data = Dataset({"text": Memory(rows)}, np.arange(ROWS))
    config = TrainingConfig(
        epochs=epochs,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        warmup=WARMUP,
        clip_norm=CLIP_NORM,
        precision="fp32",
    )
    network = NextToken()
    with tempfile.TemporaryDirectory() as folder:
        learned, valid = loaders(data, data.take(np.arange(BATCH_SIZE)), config=config, seed=0)
        result = train(network, learned, valid=valid, config=config, folder=Path(folder), seed=0)
    seconds = result.history[-1]["seconds"] - result.history[0]["seconds"]
    return {"seconds": seconds, "tokens": count(rows), "loss": held_out_loss(network.language, held_out)}


def count(rows: list[list[int]]) -> int:
    return sum(map(len, rows))


def main() -> None:
    contenders = {
        "tonggan": run_tonggan,
        "trainer": run_trainer,
        "trainer, by length": partial(run_trainer, strategy="group_by_length"),
    }
    results = compare(contenders, description=__doc__, epochs=3)
    speeds = {
        name: [found["epochs"] * found["tokens"] / found["seconds"] for found in each] for name, each in results.items()
    }
    for name, values in speeds.items():
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        loss = results[name][-1]["loss"]
        print(f"{name}: {statistics.median(values):,.0f} tokens/s ({spread}), held-out loss {loss:.3f}")
    for other, goal in {"trainer": "goal 1.2x", "trainer, by length": "no goal"}.items():
        if speeds:
            ratios = [one / two for one, two in zip(speeds["tonggan"], speeds[other], strict=True)]
            print(f"tonggan to {other}: {statistics.median(ratios):.2f}x ({goal})")


if __name__ == "__main__":
    main()
