"""Recurrent layers over masked tokens: padding, gaps and absent rows change nothing. Embeddings are the caller's."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from tonggan.config import Config
from tonggan.layers.precision import in_float32

_GROUP = 32  # rows that are read together: fewer would leave the processor idle


class RecurrentConfig(Config):
    """Size of a stack of recurrent layers; encoders that hold one inherit these fields."""

    cell: Literal["lstm", "gru"] = "lstm"
    """'lstm' (Hochreiter and Schmidhuber 1997), which trains twice as fast on a CPU, or 'gru' (Cho et al. 2014)."""
    causal: bool = False
    """Whether a token knows only those before it; otherwise a second network reads backward."""
    num_layers: int = Field(default=1, ge=1)
    """Number of stacked layers."""
    width: int | None = Field(default=None, ge=2)
    """Width of each direction; null takes the model's own."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability before each layer, in training."""


class Recurrent(nn.Module):
    """``values [B, L, before]`` under ``mask [B, L]`` to ``[B, L, width]``, twice as wide where both ways are read.

    Each direction is a network of its own. Of an LSTM the second one reads every row reversed within its length, which
    equals packed sequences and takes oneDNN's fast path for one direction; a GRU has none, and reads packed sequences.
    """

    def __init__(self, before: int, *, width: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.is_gru = config.cell == "gru"
        cell = nn.GRU if self.is_gru else nn.LSTM
        directions = 1 if config.causal else 2
        self.width = directions * width
        self.layers = nn.ModuleList(
            nn.ModuleList(cell(self.width if index else before, width, batch_first=True) for _ in range(directions))
            for index in range(config.num_layers)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """What each token and its context say; what stands under a False mask is meaningless and finite."""
        order, is_graph = None, torch.compiler.is_exporting()  # which takes the same way whatever it reads
        if is_graph or (mask[:, 1:] & ~mask[:, :-1]).any():  # there are gaps, which are passed over
            places = torch.arange(mask.shape[1], device=mask.device)
            order = torch.where(mask, places, places + mask.shape[1]).argsort(dim=1)
            values = _picked(values, order)
        lengths = mask.sum(dim=1, keepdim=True)
        with in_float32(values.device):
            if self.is_gru and not is_graph:
                values = self._read_packed(values, lengths.squeeze(1))
            elif is_graph or len(values) < 2 * _GROUP:
                values = self._read_rows(values, lengths)
            else:  # rows of like length together, so that little is computed of padding
                rows = lengths.squeeze(1).argsort(descending=True)
                parts = [self._read_rows(values[some], lengths[some]) for some in torch.split(rows, _GROUP)]
                values = torch.cat(parts)[rows.argsort()]
        return values if order is None else _picked(values, order.argsort(dim=1))

    def _read_packed(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Both ways of a GRU at once, of rows whose ``lengths`` [B] first tokens are real."""
        packed = pack_padded_sequence(values, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        data = packed.data
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)
            weights: list[Tensor] = list(layer.parameters())
            data = self.dropout(data).to(weights[0].dtype)
            first = data.new_zeros(len(layer), len(values), self.width // len(layer))
            data, _ = torch.gru(data, packed.batch_sizes, first, weights, True, 1, 0.0, self.training, len(layer) == 2)
        return pad_packed_sequence(PackedSequence(data, *packed[1:]), batch_first=True, total_length=values.shape[1])[0]

    def _read_rows(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Rows whose ``lengths`` [B, 1] first tokens are real."""
        length = values.shape[1]
        longest = length if torch.compiler.is_exporting() else max(1, int(lengths.max()))
        positions = torch.arange(longest, device=values.device)
        inside = positions < lengths
        mirrored = torch.where(inside, lengths - 1 - positions, positions)
        values = values[:, :longest].masked_fill(~inside.unsqueeze(-1), 0)
        for layer in self.layers:
            values = self._read(layer, self.dropout(values), mirrored)
        return nn.functional.pad(values, (0, 0, 0, length - longest))

    def _read(self, directions: nn.Module, values: Tensor, mirrored: Tensor) -> Tensor:
        assert isinstance(directions, nn.ModuleList)
        values = values.to(next(directions.parameters()).dtype)
        found = [directions[0](values)[0]]
        if len(directions) == 2:
            found.append(_picked(directions[1](_picked(values, mirrored))[0], mirrored))
        return torch.cat(found, dim=2)


def _picked(values: Tensor, positions: Tensor) -> Tensor:
    """``values [B, L, D]`` at ``positions`` [B, L]."""
    return values.gather(1, positions.unsqueeze(-1).expand(-1, -1, values.shape[2]))
