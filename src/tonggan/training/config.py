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
    """Passes over the training part; with a time limit, their maximum."""
    batch_size: int = Field(default=64, ge=1)
    """Rows in a batch; several processes share them."""
    hidden_cells: float = Field(default=0.5, ge=0, le=1)
    """Share of the rows with number or category columns that are repeated in each epoch with some of these cells, and
    some words of their texts, hidden, so that the model learns to answer with missing or unseen cells. Beyond 500 rows
    the share is smaller, down to a fifth. 0 for none."""
    accumulation: int = Field(default=1, ge=1)
    """Number of batches whose gradients are averaged in one step of the optimizer."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate, reached at the end of the warmup."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Decoupled weight decay of matrices and filters; norms, biases and positions have none."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Fraction of the training in which the learning rate rises."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Maximum norm of all gradients together; null for no clipping."""
    sharded: bool = False
    """With several processes, each keeps a shard of the parameters rather than all of them (FSDP2)."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of the model's arithmetic; auto is bf16 if the hardware supports it, else fp32."""
    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between evaluations on the validation part; null is once per epoch."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many evaluations without a better score; null never stops early."""
    checkpoint_every: float = Field(default=60.0, ge=0)
    """Seconds between two checkpoints, from which an interrupted run resumes."""
