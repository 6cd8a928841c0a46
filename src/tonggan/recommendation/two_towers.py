"""Two towers: one for what a user has liked, one for an item by its id and its content (Covington et al. 2016).

They learn by a softmax over the items of a batch, corrected for how often each comes in one (Yi et al. 2019), through
the one training loop. Ids are hidden now and then, so that what an item is counts where hardly anybody has taken it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from tonggan.floor.base import CannotFitError, Floats, Stored
from tonggan.layers.precision import in_float32
from tonggan.recommendation.base import Content, Examples, Held, Histories, Places, Scorer, ScorerConfig
from tonggan.recommendation.content_weights import decomposed
from tonggan.recommendation.measure import RankingMeasure, measure_top, top_items
from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays, Batch, Prediction
from tonggan.training.budget import Budget
from tonggan.training.config import TrainingConfig
from tonggan.training.loop import train
from tonggan.training.objective import MeasuredObjective
from tonggan.wording import Words

_HISTORY, _USER, _ITEM, _ROW = "history", "user", "item", "row"
_SIZE_OF_CONTENT, _SIZE_OF_PEOPLE = 128, 32
_MOST_HELD = 1_000  # users by whom the weights of an epoch are chosen
_USERS_AT_ONCE = 256
_LISTED = 10


class TwoTowersConfig(ScorerConfig):
    """A network for histories and one for items, whose vectors' product is the score."""

    cost: ClassVar[int] = 5
    kind: Literal["two_towers"] = "two_towers"
    dim: int = Field(default=64, ge=2)
    """Width of both vectors."""
    length: int = Field(default=50, ge=1)
    """Number of latest items of a history to read."""
    hidden_ids: float = Field(default=0.3, ge=0, lt=1)
    """In training, the probability that an item's id is hidden, so that its content must suffice."""
    temperature: float = Field(default=0.1, gt=0)
    """Dot products of unit vectors are divided by it."""
    training: TrainingConfig = TrainingConfig(epochs=20, batch_size=512, learning_rate=3e-3, patience=3, warmup=0.02)
    """How it is trained."""
    words: ClassVar[Words] = Words("two towers", "双塔")

    def fit(
        self, examples: Examples, *, seed: int, seconds: float, held: Held | None = None, folder: Path | None = None
    ) -> Scorer:
        batches = HistoryBatches(examples.histories, self, seed=seed)
        if batches.num_rows < 2:
            raise CannotFitError(
                "two towers",
                got="no user with two likes",
                expected="users with several items",
                remedy="Leave it out, or give more interactions",
            )
        valid = None if held is None or not len(held) else HeldBatches(held, self, seed=seed)
        place = tempfile.TemporaryDirectory() if folder is None else nullcontext(folder)
        with torch.random.fork_rng(devices=[]), place as training_folder:
            torch.manual_seed(seed)
            towers = Towers(
                self,
                content=_dense(examples.content, examples.histories.num_items, _SIZE_OF_CONTENT, seed=seed),
                people=_dense(examples.people, len(examples.histories), _SIZE_OF_PEOPLE, seed=seed),
            )
            objective = TowersObjective(towers, self, examples.histories.counts(), held=held)
            result = train(
                objective,
                batches,
                valid=valid,
                config=self.training,
                folder=Path(training_folder),
                seed=seed,
                budget=Budget(None if math.isinf(seconds) else seconds),
            )
        epochs = self.training.epochs if valid is None else max(1, math.ceil(result.best_step / len(batches)))
        training = self.training.model_copy(update={"epochs": epochs})
        return TwoTowers(self.model_copy(update={"training": training}), towers.cpu())

    def load(self, stored: Stored) -> Scorer:
        arrays = {name: torch.from_numpy(array) for name, array in stored.arrays.items()}
        towers = Towers(self, content=arrays["content"], people=arrays["people"])
        towers.load_state_dict(arrays)
        return TwoTowers(self, towers)


def _dense(content: Content | None, rows: int, size: int, *, seed: int) -> Tensor:
    """float32 ``[rows, D]``: what is known of each; nothing of it is ``[rows, 0]``."""
    if content is None or content.features().nnz == 0:
        return torch.zeros(rows, 0)
    return torch.from_numpy(decomposed(content.features(), size, seed=seed)[:, :-1].astype(np.float32))


class Towers(nn.Module):
    """Vectors of items and of histories.

    Args:
        config: widths.
        content: float32 ``[I, D]``, what is known of each item.
        people: float32 ``[U, E]``, what is known of each user.
    """

    content: Tensor
    people: Tensor

    def __init__(self, config: TwoTowersConfig, *, content: Tensor, people: Tensor) -> None:
        super().__init__()
        self.hidden_ids, dim = config.hidden_ids, config.dim
        self.register_buffer("content", content)
        self.register_buffer("people", people)
        self.ids = nn.Embedding(len(content), dim)
        nn.init.normal_(self.ids.weight, std=0.1)
        self.bias = nn.Embedding(len(content), 1)
        nn.init.zeros_(self.bias.weight)
        self.of_content = nn.Linear(content.shape[1], dim) if content.shape[1] else None
        self.of_person = nn.Linear(people.shape[1], dim) if people.shape[1] else None
        self.item_tower, self.user_tower = (
            nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)) for _ in range(2)
        )
        self.undecayed = ("bias",)

    def items(self, places: Tensor) -> Tensor:
        """Unit vectors ``[N, D]`` of the items at ``places`` ``[N]``."""
        vectors = self.ids(places)
        if self.of_content is not None:
            if self.training and self.hidden_ids:
                vectors = vectors * (torch.rand(len(places), 1, device=vectors.device) >= self.hidden_ids)
            vectors = vectors + self.of_content(self.content[places])
        return F.normalize(vectors + self.item_tower(vectors), dim=1)

    def users(self, vectors: Tensor, mask: Tensor, users: Tensor) -> Tensor:
        """Unit vectors ``[B, D]`` of histories, of the mean of their items' ``vectors`` ``[B, L, D]`` under ``mask``.

        ``users`` ``[B]`` are places in the table of users, -1 of those that are not in it.
        """
        weights = mask.unsqueeze(2).to(vectors.dtype)
        pooled = (vectors * weights).sum(1) / weights.sum(1).clamp(min=1)
        if self.of_person is not None:
            known = (users >= 0).unsqueeze(1).to(pooled.dtype)
            pooled = pooled + known * self.of_person(self.people[users.clamp(min=0)])
        return F.normalize(pooled + self.user_tower(pooled), dim=1)


class TowersObjective(MeasuredObjective):
    """What a user liked next has a greater product than what the others of the batch liked.

    Args:
        towers: that learn.
        config: temperature.
        counts: ``[I]``, how often each item was liked: how often it comes in a batch.
        held: whom ``measure`` is about.
    """

    score_name = "ndcg"
    greater_is_better = True
    splits_batches = False
    log_share: Tensor

    def __init__(self, towers: Towers, config: TwoTowersConfig, counts: Floats, *, held: Held | None) -> None:
        super().__init__()
        self.towers, self.temperature, self.held, self.counts = towers, config.temperature, held, counts
        shares = torch.from_numpy(counts / max(counts.sum(), 1.0)).float()
        self.register_buffer("log_share", shares.clamp(min=1e-9).log(), persistent=False)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        history, item = batch.inputs[_HISTORY], batch.targets[_ITEM].values
        places, index = torch.unique(torch.cat([history.values.flatten(), item]), return_inverse=True)
        vectors = self.towers.items(places)
        read = vectors[index[: history.values.numel()]].view(*history.values.shape, -1)
        users = self.towers.users(read, history.mask, batch.inputs[_USER].values)
        with in_float32(users.device):
            logits = users.float() @ vectors[index[-len(item) :]].float().T / self.temperature
            logits = logits + self.towers.bias(item)[:, 0] - self.log_share[item]
            # The same item, or one that the user has liked before, is no wrong answer.
            right = torch.eye(len(item), dtype=torch.bool, device=item.device)
            known = torch.zeros(len(item), len(places), dtype=torch.bool, device=item.device)
            rows, columns = history.mask.nonzero(as_tuple=True)
            known[rows, index[: history.values.numel()].view_as(history.values)[rows, columns]] = True
            known = known[:, index[-len(item) :]]
            logits = logits.masked_fill((known | (item.unsqueeze(1) == item)) & ~right, -torch.inf)
            return {"softmax": F.cross_entropy(logits, torch.arange(len(item), device=item.device))}

    def predict(self, batch: Batch) -> Prediction:
        """Scores ``[B, I]`` of all items."""
        history = batch.inputs[_HISTORY]
        return Prediction({"scores": scores_of(self.towers, history, batch.inputs[_USER].values, self.temperature)})

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> Measure:
        assert self.held is not None, "a validation part wants users"
        rows = targets[_ROW].values.cpu().numpy()
        held = Held(self.held.histories.take(rows), self.held.seen.take(rows), self.held.wanted.take(rows))
        top = top_items(prediction["scores"].double().numpy(), held.seen, k=_LISTED)
        found: RankingMeasure = measure_top(top, held, popularity=self.counts, num_items=len(self.counts))
        return found


def scores_of(towers: Towers, history: Arrays, users: Tensor, temperature: float) -> Tensor:
    """``[B, I]``, without gradients."""
    with torch.no_grad():
        vectors = towers.items(torch.arange(len(towers.ids.weight), device=users.device))
        asked = towers.users(vectors[history.values], history.mask, users)
        return asked @ vectors.T / temperature + towers.bias.weight[:, 0]


@dataclass(frozen=True, eq=False)
class _Padded:
    """Histories side by side: ``values`` int64 ``[B, L]``, 0 where ``mask`` is False."""

    arrays: Arrays

    @staticmethod
    def of(lists: list[Places], length: int) -> _Padded:
        longest = max(1, min(length, max((len(each) for each in lists), default=1)))
        values, mask = np.zeros((len(lists), longest), dtype=np.int64), np.zeros((len(lists), longest), dtype=bool)
        for row, each in enumerate(lists):
            latest = each[-longest:]
            values[row, : len(latest)], mask[row, : len(latest)] = latest, True
        return _Padded(Arrays(torch.from_numpy(values), torch.from_numpy(mask)))


class HistoryBatches:
    """Each like but a user's first, with those before it as the history.

    Args:
        histories: of all users.
        config: rows of a batch, and of a history.
        seed: of the order.
    """

    def __init__(self, histories: Histories, config: TwoTowersConfig, *, seed: int) -> None:
        self.histories, self.seed, self.length = histories, seed, config.length
        owners = np.repeat(np.arange(len(histories)), histories.lengths)
        is_first = np.zeros(len(histories.items), dtype=bool)
        is_first[histories.starts[:-1][histories.lengths > 0]] = True
        self.places, self.owners = np.flatnonzero(~is_first), owners
        self.num_rows = len(self.places)
        self.size = min(config.training.batch_size, max(2, self.num_rows))

    def __len__(self) -> int:
        return max(1, self.num_rows // self.size)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch ``number`` from batch ``start`` on."""
        order = np.random.default_rng([self.seed, number]).permutation(self.places)
        for index in range(start, len(self)):
            chosen = order[index * self.size : (index + 1) * self.size]
            owners = self.owners[chosen]
            begins = np.maximum(self.histories.starts[owners], chosen - self.length)
            lists = [self.histories.items[begin:end] for begin, end in zip(begins, chosen, strict=True)]
            inputs = {
                _HISTORY: _Padded.of(lists, self.length).arrays,
                _USER: Arrays.whole(torch.from_numpy(self.histories.users[owners])),
            }
            item = Arrays.whole(torch.from_numpy(self.histories.items[chosen]))
            yield Batch(torch.from_numpy(chosen), inputs, {_ITEM: item})

    def numbers_of(self, rows: NDArray[np.int64]) -> list[int]:
        """Likes as they are counted from 1, by user."""
        counted: list[int] = (rows + 1).tolist()
        return counted


class HeldBatches:
    """Users of whom it is known what they liked next; of very many some.

    Args:
        held: the users.
        config: of a history.
        seed: of which.
    """

    def __init__(self, held: Held, config: TwoTowersConfig, *, seed: int) -> None:
        self.held, self.length = held, config.length
        self.rows = np.sort(np.random.default_rng(seed).permutation(len(held))[:_MOST_HELD])
        self.num_rows = len(self.rows)

    def __len__(self) -> int:
        return math.ceil(self.num_rows / _USERS_AT_ONCE)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches from ``start`` on, the same in every epoch."""
        del number
        for index in range(start, len(self)):
            rows = self.rows[index * _USERS_AT_ONCE : (index + 1) * _USERS_AT_ONCE]
            lists = [self.held.histories[row] for row in rows]
            users = torch.from_numpy(self.held.histories.users[rows])
            inputs = {_HISTORY: _Padded.of(lists, self.length).arrays, _USER: Arrays.whole(users)}
            yield Batch(torch.from_numpy(rows), inputs, {_ROW: Arrays.whole(torch.from_numpy(rows))})

    def numbers_of(self, rows: NDArray[np.int64]) -> list[int]:
        """Users as they are counted from 1."""
        counted: list[int] = (rows + 1).tolist()
        return counted


class TwoTowers(Scorer):
    """Trained towers.

    Args:
        config: as it was fitted.
        towers: the networks.
    """

    def __init__(self, config: TwoTowersConfig, towers: Towers) -> None:
        self._config, self.towers = config, towers.eval()

    @property
    def config(self) -> TwoTowersConfig:
        return self._config

    def score(self, histories: Histories) -> Floats:
        parts = []
        for start in range(0, len(histories), _USERS_AT_ONCE):
            rows = np.arange(start, min(start + _USERS_AT_ONCE, len(histories)))
            padded = _Padded.of([histories[row] for row in rows.tolist()], self._config.length).arrays
            users = torch.from_numpy(histories.users[rows])
            parts.append(scores_of(self.towers, padded, users, self._config.temperature).double().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, histories.num_items))

    def contributions(self, history: Places, items: Places) -> Floats | None:
        """What the scores lose without each item of the history, of which only the latest are read."""
        if not len(history):
            return None
        read = np.arange(len(history))[-self._config.length :]
        lists = [history, *(np.delete(history, place) for place in read)]
        scores = self.score(Histories.of(lists, num_items=len(self.towers.ids.weight)))[:, items]
        found = np.zeros((len(items), len(history)))
        found[:, read] = (scores[0] - scores[1:]).T
        return found

    def store(self) -> Stored:
        arrays: dict[str, Any] = {name: each.detach().numpy() for name, each in self.towers.state_dict().items()}
        return Stored(arrays=arrays)
