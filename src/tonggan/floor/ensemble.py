"""The ensemble: members that read features, and perhaps a network, whose predictions are averaged by weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tonggan.floor.base import Floats, Goal, Member, MemberConfig, Stored
from tonggan.floor.features import Features, Reading
from tonggan.floor.reader import Reader
from tonggan.models import FusedModel, Model
from tonggan.models.base import device_of
from tonggan.tokens import Arrays, Prediction, Tokens


@dataclass(frozen=True, eq=False)
class Bag:
    """One kind of member, fitted once or once without each fold of the rows; what it predicts is their mean.

    Attributes:
        config: what was fitted.
        members: one or more.
        weight: of its prediction among all.
    """

    config: MemberConfig
    members: Sequence[Member]
    weight: float

    def predict(self, features: Features) -> Floats:
        """``[N, size]``."""
        mean: Floats = np.mean([member.predict(features) for member in self.members], axis=0)
        return mean


@dataclass(frozen=True, eq=False)
class Views:
    """One input as the members and as the network read it."""

    reading: Reading
    tokens: Tokens | None

    def __len__(self) -> int:
        return len(self.reading)

    def keep(self, rows: Tensor) -> Views:
        """The same with the input absent where ``rows`` [B] bool is False."""
        return Views(self.reading.keep(rows), None if self.tokens is None else self.tokens.keep(rows))

    def take(self, rows: Tensor) -> Views:
        """The rows at the positions ``rows`` [N] int64, in that order."""
        return Views(self.reading.take(rows.cpu()), None if self.tokens is None else self.tokens.take(rows))


class Ensemble(Model):
    """Members and their weights, which add up to 1.

    Args:
        readers: by input.
        goal: what is predicted.
        bags: the members by name.
        network: reads the same inputs; None where there is none.
        network_weight: of its prediction.
    """

    def __init__(
        self,
        readers: Mapping[str, Reader],
        *,
        goal: Goal,
        bags: Mapping[str, Bag],
        network: FusedModel | None = None,
        network_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.names = tuple(readers)
        self.readers, self.goal, self.bags = dict(readers), goal, dict(bags)
        self.network: FusedModel | None = network
        self.network_weight = network_weight

    @property
    def frozen(self) -> dict[str, dict[str, str]]:
        """By input, name and identity of the frozen encoder whose vectors it reads."""
        return {
            name: {"name": reader.encoder.name, "identity": reader.encoder.identity}
            for name, reader in self.readers.items()
            if reader.weights is not None
        }

    @property
    def num_parameters(self) -> int:
        members = [member for bag in self.bags.values() for member in bag.members]
        arrays = [array for member in members for array in member.store().arrays.values()]
        return super().num_parameters + sum(array.size for array in arrays if array.dtype != np.uint8)

    def encode_input(self, name: str, arrays: Arrays) -> Views:
        """What the members read of one input, and the network's Tokens."""
        tokens = None if self.network is None else self.network.encode_input(name, arrays)
        return Views(self.readers[name].read(arrays), tokens)

    def answer(self, encoded: Mapping[str, Views], inputs: Mapping[str, Arrays]) -> Prediction:
        """The weighted mean of what all predict, as outputs of a head."""
        features = {name: views.reading for name, views in encoded.items()}
        parts = [bag.weight * bag.predict(features) for bag in self.bags.values()]
        if self.network is not None:
            tokens = {name: views.tokens for name, views in encoded.items() if views.tokens is not None}
            outputs = self.network.answer(tokens, inputs)["outputs"]
            parts.append(self.network_weight * self.goal.predictions(outputs))
        return Prediction({"outputs": self.goal.outputs(np.sum(parts, axis=0)).to(device_of(self))})

    def embed(self, inputs: Mapping[str, Arrays]) -> Tensor:
        """[B, D]: the vectors of frozen encoders, each of length 1, and the cells, side by side; the network's where
        there is one. What is absent is 0.
        """
        if self.network is not None:
            return self.network.embed(inputs)
        encoded = self.encode(inputs)
        parts = [np.zeros((len(views), 0), dtype=np.float32) for views in encoded.values()]
        for views in encoded.values():
            part = views.reading.vectors if views.reading.vectors is not None else views.reading.cells
            if part is not None:
                present = np.where(views.reading.present[:, None], np.nan_to_num(part), 0)
                length = np.linalg.norm(present, axis=1, keepdims=True) if views.reading.vectors is not None else 1.0
                parts.append(present / np.maximum(length, 1e-12))
        return torch.from_numpy(np.concatenate(parts, axis=1)).float()

    def with_network(self, network: FusedModel, weight: float) -> Ensemble:
        """The same with ``network``, and less of all others."""
        bags = {name: replace(bag, weight=(1 - weight) * bag.weight) for name, bag in self.bags.items()}
        return Ensemble(self.readers, goal=self.goal, bags=bags, network=network, network_weight=weight)


def store_members(ensemble: Ensemble) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a bundle keeps of the members: plain data for JSON, and tensors by name."""
    plain: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    for place, (name, bag) in enumerate(ensemble.bags.items()):
        stored = [member.store() for member in bag.members]
        plain.append(
            {
                "name": name,
                "config": bag.config.to_dict(),
                "weight": bag.weight,
                "members": [dict(each.plain) for each in stored],
                "arrays": [sorted(each.arrays) for each in stored],
            }
        )
        for fold, each in enumerate(stored):
            for key, array in each.arrays.items():
                tensors[f"{place}.{fold}.{key}"] = torch.from_numpy(np.array(array))
    goal = {"form": ensemble.goal.form, "size": ensemble.goal.size}
    return {"goal": goal, "bags": plain, "network_weight": ensemble.network_weight}, tensors


def load_members(plain: Mapping[str, Any], tensors: Mapping[str, Tensor], readers: Mapping[str, Reader]) -> Ensemble:
    """The inverse of ``store_members``, without a network.

    Raises:
        KeyError, ValueError: what is stored is incomplete, or does not fit together.
    """
    goal = Goal(**plain["goal"])
    bags = {}
    for place, bag in enumerate(plain["bags"]):
        config = MemberConfig.model_validate(bag["config"])
        stored = [
            Stored(each, {key: np.array(tensors[f"{place}.{fold}.{key}"]) for key in keys})
            for fold, (each, keys) in enumerate(zip(bag["members"], bag["arrays"], strict=True))
        ]
        bags[bag["name"]] = Bag(config, [config.load(each, goal) for each in stored], bag["weight"])
    return Ensemble(readers, goal=goal, bags=bags)
