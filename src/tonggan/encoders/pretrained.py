"""What encoders with pretrained weights have in common: how much of these learns, and how fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import Field
from torch import nn

from tonggan.encoders.base import EncoderConfig
from tonggan.language.low_rank import add_adapters


class PretrainedConfig(EncoderConfig):
    """An encoder that begins with weights of the catalogue or of a local folder; nothing is downloaded."""

    weights: str
    """A name from the catalogue (tonggan weights list), or a folder in Hugging Face's layout."""
    tune: Literal["frozen", "last", "low_rank", "full"] = "frozen"
    """What is fine-tuned: nothing, the last blocks, low-rank adapters, or everything."""
    layers: int = Field(default=2, ge=1)
    """With 'last', the number of blocks to fine-tune."""
    rank: int = Field(default=8, ge=1)
    """With 'low_rank', the rank of the adapters of every linear map (LoRA, Hu et al. 2021)."""
    trunk_rate: float = Field(default=0.05, gt=0, le=1)
    """Learning rate of the pretrained weights, as a fraction of the other parameters'."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Layer-wise learning rate decay: each block's rate is that of the block above times this (ELECTRA, Clark et al.
    2020); 1 for none."""


class PretrainedEncoder(nn.Module):
    """A pretrained trunk that learns as much as its config says; what a subclass puts behind it learns as all else.

    What does not learn stays in evaluation mode, so that it gives a row the same numbers in training.

    Args:
        config: says what learns.
        trunk: with its weights.
        blocks: the parts of it that follow one another, the first one first.
    """

    def __init__(self, config: PretrainedConfig, trunk: nn.Module, *, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.config = config
        self.trunk = trunk
        depths = _depths(trunk, blocks)
        if config.tune != "full":
            for name, parameter in trunk.named_parameters():
                learns = config.tune == "last" and depths[name] > len(blocks) - config.layers
                parameter.requires_grad_(learns)
        self._learning: tuple[nn.Module, ...] = {"full": (trunk,), "last": (*blocks[-config.layers :],)}.get(
            config.tune, ()
        )
        if config.tune == "low_rank":
            for block in blocks:
                add_adapters(block, rank=config.rank, names=None)
            depths = _depths(trunk, blocks)
        self.learning_rate_scales: Mapping[str, float] = {
            f"trunk.{name}": (1.0 if config.tune == "low_rank" else config.trunk_rate)
            * config.layer_decay ** (len(blocks) + 1 - depths[name])
            for name, parameter in trunk.named_parameters()
            if parameter.requires_grad
        }

    def train(self, mode: bool = True) -> Self:
        """Training mode for what learns, evaluation mode for the rest."""
        super().train(mode)
        self.trunk.eval()
        for part in self._learning:
            part.train(mode)
        return self


def _depths(trunk: nn.Module, blocks: Sequence[nn.Module]) -> dict[str, int]:
    """Of each parameter the number of its block, from 1 on; 0 of those before the blocks, one more behind them."""
    of_block = {id(parameter): number for number, block in enumerate(blocks, 1) for parameter in block.parameters()}
    depths: dict[str, int] = {}
    has_begun = False
    for name, parameter in trunk.named_parameters():
        has_begun = has_begun or id(parameter) in of_block
        depths[name] = of_block.get(id(parameter), len(blocks) + 1 if has_begun else 0)
    return depths
