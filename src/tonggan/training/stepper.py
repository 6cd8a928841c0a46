"""One step of the optimizer: seeded, in the chosen precision, clipped, and without effect where it is not finite.

It holds model and optimizer; which batches come when, and what a bad step means, is the loop's matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tonggan.errors import TrainingError
from tonggan.tasks.base import Objective
from tonggan.tokens import Batch
from tonggan.training.checkpoint import (
    load_model_tensors,
    load_optimizer_tensors,
    model_tensors,
    optimizer_tensors,
)
from tonggan.training.config import TrainingConfig
from tonggan.training.optimizer import build_optimizer
from tonggan.training.precision import Autocast, choose_precision

if TYPE_CHECKING:
    from accelerate import Accelerator

_NAMED_ROWS = 20


class Stepper:
    """Model, optimizer and precision of a run.

    Attributes:
        model: the bare model.
        wrapped: the same in the chosen precision and, over several processes, averaging gradients.
    """

    def __init__(
        self, model: nn.Module, task: Objective, *, config: TrainingConfig, accelerator: Accelerator, seed: int
    ) -> None:
        self.model, self.task, self.config, self.accelerator, self.seed = model, task, config, accelerator, seed
        self.device: torch.device = accelerator.device
        self.precision = choose_precision(config.precision, device=self.device)
        self.scaler = torch.amp.GradScaler(self.device.type) if self.precision == "fp16" else None
        model.to(self.device)
        if self.device.type == "cpu" or self.precision != "fp32":
            # Convolutions and pooling of small networks were 1.3 to 1.7 times as fast in this layout, others the same.
            set_memory_format(model, torch.channels_last)
        self.optimizer = build_optimizer(model, config)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        cast = model if self.precision == "fp32" else Autocast(model, device=self.device, precision=self.precision)
        self.wrapped: nn.Module = accelerator.prepare(cast)
        self.keep_buffers()

    def step(self, number: int, batches: Sequence[Batch], *, learning_rate: float) -> Tensor:
        """Update the weights by the mean gradient of ``batches``, all randomness drawn from (seed, number).

        Returns:
            The mean loss, a scalar on the device; NaN where loss or gradient is not finite, and then the weights
            are as before.
        """
        self._seed_step(number)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad()
        total: Tensor | None = None
        for index, batch in enumerate(batches, start=1):
            with nullcontext() if index == len(batches) else self.accelerator.no_sync(self.wrapped):
                loss = self.task.loss(self.wrapped, self.place(batch)) / len(batches)
                (self.scaler.scale(loss) if self.scaler else loss).backward()  # type: ignore[no-untyped-call]
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None, "a step wants at least one batch"
        return self._update(total)

    def _update(self, loss: Tensor) -> Tensor:
        finite = torch.isfinite(loss)
        if self.scaler:
            self.scaler.unscale_(self.optimizer)
        if self.config.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
            if not self.scaler:  # Which skips steps with too large gradients itself, as part of finding its scale.
                finite = finite & torch.isfinite(norm)
        if self.scaler:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            # How GradScaler tells a fused optimizer to skip a step: on the device, without waiting for the result.
            self.optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
            self.optimizer.step()
        return torch.where(finite, loss, torch.nan)

    def _seed_step(self, number: int) -> None:
        sequence = np.random.SeedSequence((self.seed, number, self.accelerator.process_index))
        seed = int(sequence.generate_state(1)[0])
        # Not torch.manual_seed: it seeds every kind of device and takes a hundred times as long.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def place(self, batch: Batch) -> Batch:
        """``batch`` on the model's device."""
        return batch if self.device.type == "cpu" else batch.to(self.device)

    def keep_buffers(self) -> None:
        """Remember running statistics, which take in a bad batch before its loss is known."""
        self._buffers = [buffer.clone() for buffer in self.model.buffers()]

    @torch.no_grad()
    def bad_rows(self, batches: Sequence[Batch]) -> list[int]:
        """Row numbers, in the batches of a step without effect, whose own loss is not finite.

        Running statistics return to those last kept.
        """
        for buffer, kept in zip(self.model.buffers(), self._buffers, strict=True):
            buffer.copy_(kept)
        self.wrapped.eval()
        rows: list[int] = []
        for batch in map(self.place, batches):
            assert batch.target is not None, "training wants targets"
            losses = self.task.outputs_loss(self.task.predict(self.model, batch).float(), batch.target)
            rows += batch.rows.cpu()[~torch.isfinite(losses).cpu()].tolist()
        return list(dict.fromkeys(rows))

    def tensors(self) -> dict[str, Tensor]:
        """Weights and the optimizer's memory, for a checkpoint."""
        return model_tensors(self.model) | optimizer_tensors(self.model, self.optimizer)

    def load(self, tensors: Mapping[str, Tensor], scaler: dict[str, Any] | None) -> None:
        """The inverse of ``tensors``, and of the scaler's ``state_dict``."""
        load_model_tensors(self.model, tensors)
        load_optimizer_tensors(self.model, self.optimizer, tensors)
        if self.scaler and scaler:
            self.scaler.load_state_dict(scaler)


def set_memory_format(model: nn.Module, memory_format: torch.memory_format) -> None:
    """Lay out the weights of two-dimensional convolutions in ``memory_format``; others stay as they are."""
    model.to(memory_format=memory_format)  # type: ignore[call-overload]


def not_finite(step: int, named: Sequence[int], *, of: int, learning_rate: float) -> TrainingError:
    """The error of a loss or gradient that is not finite in the rows ``named``, out of ``of`` rows of a step."""
    shown = ", ".join(map(str, named[:_NAMED_ROWS])) + (", …" if len(named) > _NAMED_ROWS else "")
    return TrainingError(
        f"training step {step:,}",
        got=f"a loss or gradient that is not finite in {len(named)} of {of} rows (counted from 1: {shown})",
        expected="finite numbers",
        remedy=f"Look at these rows, or lower training.learning_rate (now {learning_rate:g})",
    )
