"""How a model is trained, as data. It holds no schedule or optimizer code."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tonggan.config import Config


class TrainingConfig(Config):
    """A linear warmup and a cosine decay to zero, for ``epochs`` or until a time limit."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW, or Muon for matrices and filters of networks that start from random weights."""
    epochs: int = Field(default=20, ge=1)
    """Passes over the training part; with a time limit, the most that are made."""
    batch_size: int = Field(default=64, ge=1)
    """Rows that go through the model at once; several processes share them."""
    hidden_cells: float = Field(default=0.5, ge=0, le=1)
    """Share of the rows with number or category columns that come a second time in each epoch, then with some of these
    cells, and of the words of their texts, hidden, so that a row with missing or never-seen cells is answered by what
    is left of it; of more than 500 rows a smaller share, down to a fifth. 0 for none."""
    accumulation: int = Field(default=1, ge=1)
    """Batches whose gradients are averaged for one step of the optimizer."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The highest learning rate, reached at the end of the warmup."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Decoupled weight decay of matrices and filters; norms, biases and positions have none."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """The part of the training in which the learning rate rises."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """The largest norm of all gradients together; null leaves them as they are."""
    sharded: bool = False
    """With several processes, each keeps a share of what learns, rather than all of it (FSDP2)."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the model's arithmetic; auto is bf16 where the hardware computes in it, else fp32."""
    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between two looks at the validation part; null is once an epoch."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations without a better score; null never stops early."""
    checkpoint_every: float = Field(default=60.0, ge=0)
    """Seconds between two checkpoints, from which an interrupted run resumes."""
