"""What every objective of pretraining shares: one encoder, what is hidden from it, and the loss of guessing that.

All that an objective adds to the encoder serves the training alone and is forgotten after it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.data.loader import Batches
from tonggan.encoders import EncoderConfig
from tonggan.errors import ConfigError
from tonggan.evaluation.charts import draw
from tonggan.evaluation.report import page
from tonggan.files import whole_file
from tonggan.modalities import ColumnConfig, Modality
from tonggan.parts import Part
from tonggan.runs.recipe import DataConfig
from tonggan.tasks.figures import Chart, Line
from tonggan.tasks.measure import Floats, Measure, Reducer
from tonggan.tokens import Arrays, Batch, Prediction, Tokens
from tonggan.training import TrainingConfig
from tonggan.training.objective import MeasuredObjective
from tonggan.training.world import World, gathered
from tonggan.wording import Words

_SEEDS = 2**53


class PretrainingConfig(Part):
    """What an encoder learns from a column without labels.

    Attributes:
        reads: kinds of columns.
        default_of: those among them that get it where nobody names one.
        words: what is learned, for a person.
        varies: whether items come with the random variation of their column; False where the objective has its own.
    """

    reads: ClassVar[tuple[str, ...]]
    default_of: ClassVar[tuple[str, ...]] = ()
    words: ClassVar[Words]
    varies: ClassVar[bool] = False

    @abstractmethod
    def build(self, encoder: nn.Module, modality: Any, *, dim: int) -> Pretraining:
        """The objective of ``encoder``, which maps Arrays of the fitted ``modality`` to Tokens of width ``dim``.

        Raises:
            ConfigError: it does not go with such an encoder.
        """


class Draw:
    """Random numbers of the rows of a batch: each row has its own, whatever process and device computes it.

    Args:
        rows: numbers of the rows ``[B]``.
        seed: of the batch.
    """

    def __init__(self, rows: Tensor, *, seed: int) -> None:
        self._generators = [torch.Generator().manual_seed(seed + row) for row in rows.tolist()]

    def __call__(self, *shape: int, like: Tensor) -> Tensor:
        """``[B, *shape]`` from 0 to 1 where ``like`` is, others at each call."""
        values = torch.empty(len(self._generators), *shape)
        for row, generator in zip(values, self._generators, strict=True):
            row.uniform_(generator=generator)
        return values.to(like.device)


@dataclass(frozen=True)
class Guessed:
    """How well each row of a batch was guessed.

    Attributes:
        loss: ``[B]``, summed over what was guessed of the row.
        count: ``[B]``, how many things that are.
        right: ``[B]``, how many of them were right, where there is such a thing.
    """

    loss: Tensor
    count: Tensor
    right: Tensor | None = None

    def take(self, rows: Tensor) -> Guessed:
        """The rows at the positions ``rows`` [N] int64."""
        right = None if self.right is None else self.right[rows]
        return Guessed(self.loss[rows], self.count[rows], right)


class Pretraining(MeasuredObjective):
    """``encoder`` learns to guess what is hidden from it; the held-out loss chooses its weights.

    Attributes:
        encoder: what is kept in the end.
    """

    score_name = "loss"
    greater_is_better = False

    def __init__(self, encoder: nn.Module, kind: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.kind = kind

    @abstractmethod
    def guess(self, arrays: Arrays, draw: Draw) -> Guessed:
        """How well ``arrays`` were guessed; what is hidden of them comes from ``draw``."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The mean over all that was guessed: of several processes, each one's part of it."""
        arrays = only_input(batch)
        device = arrays.mask.device
        seed = gathered(torch.randint(_SEEDS, (1,)).to(device))[0]  # the main process's
        guessed = self.guess(arrays, Draw(batch.rows, seed=int(seed)))
        weight = self.weight(batch)
        sums = torch.stack([guessed.count.sum().float(), torch.tensor(weight, device=device)])
        count, whole = gathered(sums.unsqueeze(0)).sum(dim=0)
        share = weight / whole if weight else 1.0
        return {self.kind: guessed.loss.sum() / (count.clamp(min=1) * share)}

    def weight(self, batch: Batch) -> float:
        return float(only_input(batch).mask.sum())

    def predict(self, batch: Batch) -> Prediction:
        """The mean ``loss`` of each row, how many things were guessed, and how many right; the same at every call."""
        guessed = self.guess(only_input(batch), Draw(batch.rows, seed=0))
        outputs = {"loss": guessed.loss / guessed.count.clamp(min=1), "count": guessed.count}
        return Prediction(outputs if guessed.right is None else {**outputs, "right": guessed.right})

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> Measure:
        del targets
        rows = {name: np.asarray(values, dtype=np.float64) for name, values in prediction.outputs.items()}
        return HeldOut(rows, self.score_name, self.greater_is_better)


@dataclass(frozen=True, eq=False)
class HeldOut(Measure):
    """The mean loss of all that was guessed, and the share that was right. Rows have ``loss``, ``count``, ``right``."""

    def make_reducers(self) -> Sequence[Reducer]:
        count = self.rows["count"]
        sums = {"loss": self.rows["loss"] * count}
        if "right" in self.rows:
            sums["accuracy"] = self.rows["right"]
        return [
            Reducer([name], lambda counts, values=values: [counts @ values / max(1.0, counts @ count)])  # type: ignore[misc]
            for name, values in sums.items()
        ]

    def badness(self) -> Floats:
        badness: Floats = self.rows["loss"]
        return badness

    def differs(self, other: HeldOut) -> NDArray[np.bool_]:
        different: NDArray[np.bool_] = self.rows["loss"] != other.rows["loss"]
        return different


def only_input(batch: Batch) -> Arrays:
    """Of the one input that is pretrained on, one item for each row."""
    (arrays,) = batch.inputs.values()
    return arrays.expand()


def refuse(*, objective: str, got: str, expected: str, remedy: str) -> ConfigError:
    """The error of an objective that does not go with what it was given."""
    return ConfigError(f"objective {objective}", got=got, expected=expected, remedy=remedy)


def check_for_each(objective: str, tokens: Tokens, arrays: Arrays) -> None:
    """Raise ConfigError where an encoder does not give a Token for each id."""
    if tokens.mask.shape != arrays.mask.shape:
        raise refuse(
            objective=objective,
            got=f"an encoder that makes {tokens.mask.shape[1]} tokens of {arrays.mask.shape[1]}",
            expected="one per token of the text, to predict it from",
            remedy="Use the encoder text_transformer, or the objective contrastive",
        )


def default_objective(kind: str) -> type[PretrainingConfig]:
    """The objective of a column of that ``kind`` where nobody names one.

    Raises:
        ConfigError: there is none.
    """
    found = [each for each in PretrainingConfig.family().values() if kind in each.reads]
    if not found:
        readable = sorted({name for each in PretrainingConfig.family().values() for name in each.reads})
        raise ConfigError(
            f"column of kind {kind}",
            got="no objective for it",
            expected=f"a column of kind {', '.join(readable)}",
            remedy="Name another column with --column",
        )
    return next((each for each in found if kind in each.default_of), found[0])


def encoder_of(config: EncoderConfig, modality: Modality[Any], *, dim: int, seed: int) -> nn.Module:
    """The encoder with seeded random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return config.build(modality, dim=dim)


@torch.no_grad()
def measured(objective: Pretraining, batches: Batches, *, processes: World) -> Measure:
    """What the weights are worth on the rows of ``batches``, which the processes share."""
    objective.to(processes.device).eval()
    own = (processes.share(batch).to(processes.device) for batch in batches.epoch(0))
    parts = [objective.measure(objective.predict(batch).cpu(), {}) for batch in own]
    objective.train()
    whole: Measure = Measure.cat([part for others in processes.gather(parts) for part in others])
    return whole


class PretrainTraining(TrainingConfig):
    """How an encoder is pretrained: as any training, with larger batches."""

    batch_size: int = Field(default=256, ge=1)
    """Rows in a batch, over all processes; contrastive learning benefits from many."""


class PretrainRecipe(Config):
    """How an encoder is pretrained on a column without labels. ``tonggan pretrain DATA`` makes one from its
    arguments.
    """

    data: DataConfig = DataConfig()
    """Where the rows come from; a part of them is held out for choosing the weights."""
    column: str | None = None
    """The column to learn from; null if there is only one candidate."""
    columns: dict[str, ColumnConfig] = Field(default_factory=dict)
    """Kind and settings of that column; guessed if not given."""
    objective: PretrainingConfig | None = None
    """What is learned; null is masked_language for texts and code, contrastive for pictures and clips, masked_audio for
    recordings."""
    encoder: EncoderConfig | None = None
    """The encoder to pretrain; null is the default one for the column's kind."""
    dim: int = Field(default=128, ge=8, multiple_of=8)
    """Width of its Tokens."""
    training: PretrainTraining = PretrainTraining()
    """Epochs, batch size, learning rate, and the like."""
    license: str | None = None
    """License of the weights, as an SPDX identifier, for the manifest. One of your own begins with LicenseRef-."""
    max_bad: float = Field(default=0.05, ge=0, le=1)
    """Stop before training when more than this share of rows, and more than one, has an unreadable or missing file; 0
    stops at one."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random choice."""

    @field_validator("license")
    @classmethod
    def _is_known_to_spdx(cls, name: str | None) -> str | None:
        if name is None:
            return None
        from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

        try:
            return canonicalize_license_expression(name)
        except InvalidLicenseExpression as error:
            raise ValueError(
                "it must be an SPDX license, such as CC0-1.0 or MIT, or one of your own that begins with LicenseRef-"
            ) from error


def write_page(path: Path, results: Mapping[str, Any], recipe: PretrainRecipe, *, trained_on: str) -> None:
    """Write the page of a pretraining that came to ``results``."""
    curves = {
        key: [(float(entry["step"]), float(entry[key])) for entry in results["history"] if entry.get(key) is not None]
        for key in ("train_loss", "valid_score")
    }
    lines = [
        Line(Words("training", "训练"), curves["train_loss"]),
        Line(Words("held out", "留出部分"), curves["valid_score"]),
    ]
    is_curve = len(results["history"]) > 1
    text = page(
        "pretraining.html",
        content={"title": results["column"]},
        results=results,
        goal=cast("PretrainingConfig", recipe.objective).words.capitalized(),
        metrics={"loss": Words("Loss", "损失"), "accuracy": Words("Guessed right", "猜对的比例")},
        curve=draw(Chart(Words("Step", "步数"), Words("Loss", "损失"), lines)) if is_curve else "",
        trained_on=trained_on,
        license=recipe.license,
        recipe=recipe.to_yaml(),
    )
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
