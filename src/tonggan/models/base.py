"""What evaluation, serving and a bundle ask of a model, be it one network or several members."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from tonggan.tokens import Arrays, Prediction


class Encoded(Protocol):
    """What a model makes of one input of some rows, before it joins the inputs: Tokens, and the like."""

    def __len__(self) -> int: ...

    def keep(self, rows: Tensor) -> Self:
        """The same with the input absent where ``rows`` [B] bool is False."""
        ...

    def take(self, rows: Tensor) -> Self:
        """The rows at the positions ``rows`` [N] int64, in that order."""
        ...


def device_of(module: nn.Module) -> torch.device:
    """Where the weights of ``module`` lie; the CPU where it has none."""
    return next((weight.device for weight in module.parameters()), torch.device("cpu"))


class Model(nn.Module, ABC):
    """Maps inputs to a Prediction in two steps, so that inputs can be hidden or exchanged between them.

    Attributes:
        names: of the inputs.
    """

    names: Sequence[str]

    @property
    def num_parameters(self) -> int:
        """How many numbers it has learned, or has been given and computes with."""
        return sum(weight.numel() for weight in self.parameters())

    def of_fold(self, fold: int) -> Model:
        """The model that answers the rows of a fold, as it has not learned from them; of a single model itself."""
        del fold
        return self

    @abstractmethod
    def encode_input(self, name: str, arrays: Arrays) -> Any:
        """What is ``Encoded`` of one input, row by row; what rows share stands once."""

    def encode(self, inputs: Mapping[str, Arrays]) -> dict[str, Any]:
        """What is ``Encoded`` of each input; what rows share is encoded once."""
        encoded = {}
        for name in self.names:
            made, index = self.encode_input(name, inputs[name]), inputs[name].index
            encoded[name] = made if index is None else made.take(index)
        return encoded

    @abstractmethod
    def answer(self, encoded: Mapping[str, Any], inputs: Mapping[str, Arrays]) -> Prediction:
        """What is predicted of ``inputs`` that were encoded as ``encoded``; any of them may be absent."""

    def forward(self, inputs: Mapping[str, Arrays], targets: Mapping[str, Arrays] | None = None) -> Prediction:  # noqa: ARG002
        """What is predicted of a batch; some models also tell something of ``targets``, as the loss of each row."""
        return self.answer(self.encode(inputs), inputs)

    @abstractmethod
    def embed(self, inputs: Mapping[str, Arrays]) -> Tensor:
        """[B, D]: one vector for each row."""
