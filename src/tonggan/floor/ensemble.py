"""The ensemble: members that read features, and perhaps networks, whose predictions are averaged by weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tonggan.floor.base import Floats, Goal, Member, MemberConfig, Stored
from tonggan.floor.features import Features, Reading
from tonggan.floor.reader import Reader
from tonggan.layers.cores import map_on_cores
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


@dataclass(frozen=True, eq=False)
class Views:
    """One input as the members and as each of the networks read it."""

    reading: Reading
    tokens: Sequence[Tokens] = ()

    def __len__(self) -> int:
        return len(self.reading)

    def keep(self, rows: Tensor) -> Views:
        """The same with the input absent where ``rows`` [B] bool is False."""
        return Views(self.reading.keep(rows), [tokens.keep(rows) for tokens in self.tokens])

    def take(self, rows: Tensor) -> Views:
        """The rows at the positions ``rows`` [N] int64, in that order."""
        return Views(self.reading.take(rows.cpu()), [tokens.take(rows) for tokens in self.tokens])


class Ensemble(Model):
    """Members and their weights, which add up to 1.

    Args:
        readers: by input.
        goal: what is predicted.
        bags: the members by name.
        networks: read the same inputs, each with the weight of its prediction.
        folds: models, each of which has not learned from the rows of one fold and answers these instead of the mean;
            they are no part of what is stored.
    """

    def __init__(
        self,
        readers: Mapping[str, Reader],
        *,
        goal: Goal,
        bags: Mapping[str, Bag],
        networks: Sequence[tuple[FusedModel, float]] = (),
        folds: Sequence[Model] = (),
    ) -> None:
        super().__init__()
        self.names = tuple(readers)
        self.readers, self.goal, self.bags = dict(readers), goal, dict(bags)
        self._networks = nn.ModuleList([network for network, _ in networks])
        self.network_weights = [weight for _, weight in networks]
        self._folds = tuple(folds)  # no modules of this one: they share its networks

    @staticmethod
    def mean(
        models: Sequence[Model], readers: Mapping[str, Reader], goal: Goal, *, folds: Sequence[Model] = ()
    ) -> Ensemble:
        """What ``models``, ensembles and networks that read the same inputs, predict on average."""
        bags: dict[str, Bag] = {}
        networks: list[tuple[FusedModel, float]] = []
        for place, model in enumerate(models):
            parts = [(model, 1.0)] if isinstance(model, FusedModel) else []
            if isinstance(model, Ensemble):
                parts = model.networks
                bags |= {
                    f"{name} {place + 1}": replace(bag, weight=bag.weight / len(models))
                    for name, bag in model.bags.items()
                }
            networks += [(network, weight / len(models)) for network, weight in parts]
        return Ensemble(readers, goal=goal, bags=bags, networks=networks, folds=folds)

    @property
    def networks(self) -> list[tuple[FusedModel, float]]:
        """Those that were trained, with their weights."""
        networks = [network for network in self._networks if isinstance(network, FusedModel)]
        return list(zip(networks, self.network_weights, strict=True))

    def of_fold(self, fold: int) -> Model:
        return self._folds[fold]

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
        """What the members read of one input, and the Tokens of the networks."""
        tokens = [network.encode_input(name, arrays) for network, _ in self.networks]
        return Views(self.readers[name].read(arrays), tokens)

    def answer(self, encoded: Mapping[str, Views], inputs: Mapping[str, Arrays]) -> Prediction:
        """The weighted mean of what all predict, as outputs of a head."""
        features = {name: views.reading for name, views in encoded.items()}
        parts = _weighted(list(self.bags.values()), features)
        for place, (network, weight) in enumerate(self.networks):
            tokens = {name: views.tokens[place] for name, views in encoded.items()}
            parts.append(weight * self.goal.predictions(network.answer(tokens, inputs)["outputs"]))
        return Prediction({"outputs": self.goal.outputs(np.sum(parts, axis=0)).to(device_of(self))})

    def embed(self, inputs: Mapping[str, Arrays]) -> Tensor:
        """[B, D]: the vectors of frozen encoders, each of length 1, and the cells, side by side; the first network's
        where there is one. What is absent is 0.
        """
        for network, _ in self.networks:
            return network.embed(inputs)
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
        return Ensemble(self.readers, goal=self.goal, bags=bags, networks=[(network, weight)])


def _weighted(bags: Sequence[Bag], features: Features) -> list[Floats]:
    """What each of ``bags`` predicts, ``[N, size]``, times its weight.

    Members take turns at the cores: each asks for many small steps, in which threads would wait for one another.
    """
    members = [member for bag in bags for member in bag.members]
    predicted = map_on_cores(lambda member: member.predict(features), members)
    return [bag.weight * np.mean(list(islice(predicted, len(bag.members))), axis=0) for bag in bags]


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
                tensors[f"{place}.{fold}.{key}"] = torch.from_numpy(array.copy())
    goal = {"form": ensemble.goal.form, "size": ensemble.goal.size}
    return {"goal": goal, "bags": plain, "network_weights": ensemble.network_weights}, tensors


def load_members(
    plain: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    readers: Mapping[str, Reader],
    networks: Sequence[FusedModel],
) -> Ensemble:
    """The inverse of ``store_members``, with the networks, which are stored by themselves.

    Raises:
        KeyError, ValueError: what is stored is incomplete, or does not fit together.
    """
    goal = Goal(**plain["goal"])
    bags = {}
    for place, bag in enumerate(plain["bags"]):
        config = MemberConfig.model_validate(bag["config"])
        stored = [
            Stored(each, {key: tensors[f"{place}.{fold}.{key}"].numpy().copy() for key in keys})
            for fold, (each, keys) in enumerate(zip(bag["members"], bag["arrays"], strict=True))
        ]
        bags[bag["name"]] = Bag(config, [config.load(each, goal) for each in stored], bag["weight"])
    weighted = list(zip(networks, plain["network_weights"], strict=True))
    total = sum(plain["network_weights"]) + sum(bag.weight for bag in bags.values())
    if not abs(total - 1) < 1e-6:
        raise ValueError(f"the weights of the members add up to {total:g}")
    return Ensemble(readers, goal=goal, bags=bags, networks=weighted)
