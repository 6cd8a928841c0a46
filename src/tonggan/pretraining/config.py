"""A pretraining as data: which column, which encoder, what it learns, and how."""

from __future__ import annotations

import yaml
from pydantic import Field

from tonggan.config import Config
from tonggan.encoders import EncoderConfig
from tonggan.modalities import ColumnConfig
from tonggan.pretraining.base import PretrainingConfig
from tonggan.runs.recipe import DataConfig
from tonggan.training import TrainingConfig


class PretrainRecipe(Config):
    """How an encoder is pretrained on a column without labels. ``tonggan pretrain DATA`` makes one from its
    arguments.
    """

    data: DataConfig = DataConfig()
    """Where the rows come from; a part of them is held out to choose the weights by."""
    column: str | None = None
    """The column to learn from; null where only one can be meant."""
    columns: dict[str, ColumnConfig] = Field(default_factory=dict)
    """Kind and settings of that column; guessed where they are not named."""
    objective: PretrainingConfig | None = None
    """What is learned; null is masked_language for texts, contrastive for pictures, masked_audio for recordings."""
    encoder: EncoderConfig | None = None
    """What learns; null is the default encoder of the column's kind."""
    dim: int = Field(default=128, ge=8, multiple_of=8)
    """Width of the Tokens that it gives."""
    training: TrainingConfig = TrainingConfig(batch_size=256, hidden_cells=0)
    """Epochs, batch size, learning rate, and the like."""
    license: str | None = None
    """Under which the weights may be used, as SPDX writes it; it stands in the manifest."""
    max_bad: float = Field(default=0.05, ge=0, le=1)
    """Stop before training when more than this share of rows has an unreadable or missing file."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random choice."""

    def to_yaml(self) -> str:
        """The recipe as YAML that reads back equal."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=120)
