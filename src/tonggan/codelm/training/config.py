"""How a code model is trained, as data. It holds no code of the training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tonggan.config import Config
from tonggan.training.config import TrainingConfig

_LEARNING_RATES = {"lora": 5e-4, "full": 1e-4, "scratch": 1e-3}


class CodeTrainingConfig(Config):
    """AdamW over packed rows of code, with a linear warmup and a cosine decay to zero."""

    method: Literal["lora", "full"] = "lora"
    """What of a base model is trained: low-rank adapters, or everything. From scratch, everything is."""
    rank: int = Field(default=16, ge=1)
    """Rank of the adapters of every linear map (LoRA, Hu et al. 2021)."""
    fim_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of the chunks that are rearranged for fill-in-the-middle (Bavarian et al. 2022)."""
    length: int = Field(default=1024, ge=64)
    """Tokens of a row."""
    batch_tokens: int = Field(default=8192, ge=64)
    """Tokens in one step of the optimizer."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the corpus; with a time limit, their maximum."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate; null is 5e-4 for adapters, 1e-4 for a whole base model, 1e-3 from scratch."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Fraction of the training in which the learning rate rises."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Maximum norm of all gradients together."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of the arithmetic; auto is bf16 if the hardware supports it."""
    holdout: Literal["auto", "time", "file"] = "auto"
    """Files to measure on: those changed last, or some chosen by a hash of their name; auto takes the first if there is
    a history."""
    holdout_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the files that are held out."""
    lines: int = Field(default=200, ge=1)
    """Lines of held-out files on which the model is compared with the previous one; a time limit may leave fewer."""
    checkpoint_every: float = Field(default=60.0, ge=0)
    """Seconds between two checkpoints, from which an interrupted run resumes."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random choice."""
    hidden_size: int = Field(default=256, ge=32, multiple_of=32)
    """Width of a model from scratch."""
    num_layers: int = Field(default=6, ge=1)
    """Layers of a model from scratch."""

    def loop(self, *, is_scratch: bool, tokens_at_once: int) -> TrainingConfig:
        """What the training loop reads where a batch has ``tokens_at_once``; the model has an arithmetic of its own."""
        return TrainingConfig(
            epochs=self.epochs,
            accumulation=max(1, round(self.batch_tokens / tokens_at_once)),
            learning_rate=self.learning_rate or _LEARNING_RATES["scratch" if is_scratch else self.method],
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            clip_norm=self.clip_norm,
            precision="fp32",
            checkpoint_every=self.checkpoint_every,
        )
