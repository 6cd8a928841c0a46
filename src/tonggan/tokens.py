"""What flows: arrays of one modality into an encoder, Tokens out of it, a Prediction out of a head, and the Batch.

Absence is always a mask that is False, never a made-up value; values under a False mask are meaningless and
no part may let them change a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MaskedT = TypeVar("_MaskedT", bound="Masked")


@dataclass(frozen=True)
class Masked:
    """Values with a mask that says which of them are real."""

    values: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        assert self.mask.dtype == torch.bool, f"mask is {self.mask.dtype}, not bool"
        assert self.values.shape[: self.mask.dim()] == self.mask.shape, (
            f"mask {tuple(self.mask.shape)} does not lead values {tuple(self.values.shape)}"
        )

    def __len__(self) -> int:
        return self.values.shape[0]

    @property
    def present(self) -> Tensor:
        """[B] bool: True where the row has anything of this modality."""
        return self.mask if self.mask.dim() == 1 else self.mask.flatten(1).any(dim=1)

    def keep(self: _MaskedT, rows: Tensor) -> _MaskedT:
        """The same with the modality absent where ``rows`` [B] bool is False."""
        shape = (-1,) + (1,) * (self.mask.dim() - 1)
        return replace(self, mask=self.mask & rows.view(shape))

    def take(self: _MaskedT, rows: Tensor) -> _MaskedT:
        """The rows at the positions ``rows`` [N] int64, in that order."""
        return replace(self, values=self.values[rows], mask=self.mask[rows])

    def to(self: _MaskedT, device: torch.device | str) -> _MaskedT:
        """The same on ``device``."""
        return replace(self, values=self.values.to(device), mask=self.mask.to(device))


@dataclass(frozen=True)
class Arrays(Masked):
    """Raw arrays of one modality, as its encoder reads them.

    ============  =============================  ===========
    modality      values                         mask
    ============  =============================  ===========
    image         uint8 ``[B, 3, H, W]``         ``[B]``
    text          int64 token ids ``[B, L]``     ``[B, L]``
    audio         float32 samples ``[B, T]``     ``[B, T]``
    video         uint8 ``[B, K, 3, H, W]``      ``[B, K]``
    table         float32 ``[B, C]``             ``[B, C]``
    keypoints     float32 ``[B, 1 + K, 133]``    ``[B, 1 + K]``
    ============  =============================  ===========

    Where several rows of a batch show the same picture or recording, it stands here once, and ``index`` [rows] int64
    says for each row of the batch which one is its own; None is one each. ``extent`` int64 ``[B, 2]`` is height and
    width of each picture before it was brought to one size, where that is known; 0 where there is none. ``texts``
    object ``[B]`` are the texts that token ids were made of.
    """

    index: Tensor | None = None
    extent: Tensor | None = None
    texts: NDArray[np.object_] | None = None

    @staticmethod
    def whole(values: Tensor) -> Arrays:
        """``values`` ``[B, ...]`` of rows that all have one."""
        return Arrays(values, torch.ones(len(values), dtype=torch.bool))

    def to(self, device: torch.device | str) -> Arrays:
        """The same on ``device``."""
        index = None if self.index is None else self.index.to(device)
        extent = None if self.extent is None else self.extent.to(device)
        return Arrays(self.values.to(device), self.mask.to(device), index, extent, self.texts)

    def take(self, rows: Tensor) -> Arrays:
        """Those at the positions ``rows`` [N] int64, in that order."""
        extent = None if self.extent is None else self.extent[rows]
        texts = None if self.texts is None else self.texts[rows.cpu().numpy()]
        return Arrays(self.values[rows], self.mask[rows], extent=extent, texts=texts)

    def of_rows(self, rows: Tensor) -> Arrays:
        """What the rows of the batch at the positions ``rows`` [N] int64 show; what they share stands once."""
        if self.index is None:
            return self.take(rows)
        slots, index = torch.unique(self.index[rows], return_inverse=True)
        return replace(self.take(slots), index=index)

    def expand(self) -> Arrays:
        """One for each row of the batch, what rows share copied."""
        return self if self.index is None else self.take(self.index)


@dataclass(frozen=True)
class Tokens(Masked):
    """The one thing that flows: ``values [B, L, D]`` float, ``mask [B, L]`` bool, True where real.

    ``maps`` are the feature maps ``[B, C, H, W]`` that an encoder of pictures made on the way, the finest first, for
    heads that answer by place; they are meaningless in rows without a real token, and nothing that joins Tokens keeps
    them.
    """

    maps: Sequence[Tensor] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        dims = (self.values.dim(), self.mask.dim())
        assert dims == (3, 2), f"Tokens want values [B, L, D] and mask [B, L], not {dims} dimensions"

    @property
    def dim(self) -> int:
        """D, the width of a token."""
        return self.values.shape[2]

    def take(self, rows: Tensor) -> Tokens:
        """The rows at the positions ``rows`` [N] int64, in that order."""
        return Tokens(self.values[rows], self.mask[rows], [part[rows] for part in self.maps])

    def to(self, device: torch.device | str) -> Tokens:
        """The same on ``device``."""
        return Tokens(self.values.to(device), self.mask.to(device), [part.to(device) for part in self.maps])

    def mean(self) -> Tensor:
        """[B, D]: the mean of the real tokens of each row; zeros for a row without any."""
        weights = self.mask.unsqueeze(-1).to(self.values.dtype)
        total = self.values.masked_fill(~self.mask.unsqueeze(-1), 0).sum(dim=1)
        return total / weights.sum(dim=1).clamp(min=1)

    def packed(self) -> Tokens:
        """The same tokens with the real ones first in each row, in their order, cut to the longest row's length."""
        order = torch.argsort(~self.mask, dim=1, stable=True)[:, : max(1, int(self.mask.sum(dim=1).max()))]
        values = self.values.gather(1, order.unsqueeze(-1).expand(-1, -1, self.dim))
        return Tokens(values, self.mask.gather(1, order))

    @staticmethod
    def concat(parts: Sequence[Tokens]) -> Tokens:
        """All tokens of ``parts`` side by side along L."""
        values = torch.cat([part.values for part in parts], dim=1)
        return Tokens(values, torch.cat([part.mask for part in parts], dim=1))


@dataclass(frozen=True)
class Prediction:
    """What a head says of some rows, by name: tensors ``[B, ...]``, or lists with an entry for each row."""

    outputs: Mapping[str, Any]

    def __post_init__(self) -> None:
        if torch.compiler.is_exporting():  # where a length would become a part of the graph
            return
        lengths = {name: len(part) for name, part in self.outputs.items()}
        assert len(set(lengths.values())) == 1, f"outputs of one number of rows, not {lengths}"

    def __len__(self) -> int:
        return len(next(iter(self.outputs.values())))

    def __getitem__(self, name: str) -> Any:
        return self.outputs[name]

    def __contains__(self, name: str) -> bool:
        return name in self.outputs

    def take(self, rows: Tensor) -> Prediction:
        """The rows at the positions ``rows`` [N] int64, in that order."""
        return Prediction(
            {
                name: part[rows] if isinstance(part, Tensor) else [part[row] for row in rows.tolist()]
                for name, part in self.outputs.items()
            }
        )

    def cpu(self) -> Prediction:
        """The same in main memory, half precision as float32."""
        return Prediction({name: _plain(part) for name, part in self.outputs.items()})


def _plain(part: Any) -> Any:
    if isinstance(part, Tensor):
        return part.detach().cpu().float() if part.is_floating_point() else part.cpu()
    return [_plain(each) for each in part]


@dataclass(frozen=True)
class Batch:
    """Some rows of a table, ready for a model.

    Attributes:
        rows: int64 ``[B]``, their numbers in the table.
        inputs: arrays by input name.
        targets: arrays by the name of a target; none where there is nothing to learn or to compare with.
    """

    rows: Tensor
    inputs: Mapping[str, Arrays]
    targets: Mapping[str, Arrays] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.rows.shape[0]

    def take(self, rows: Tensor) -> Batch:
        """The rows at the positions ``rows`` [N] int64, in that order."""
        return Batch(
            self.rows[rows],
            {name: arrays.of_rows(rows) for name, arrays in self.inputs.items()},
            {name: arrays.of_rows(rows) for name, arrays in self.targets.items()},
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same with arrays and targets on ``device``."""
        return Batch(
            self.rows,
            {name: arrays.to(device) for name, arrays in self.inputs.items()},
            {name: arrays.to(device) for name, arrays in self.targets.items()},
        )
