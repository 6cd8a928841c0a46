"""One step of the optimizers: seeded, in the chosen precision, clipped, and without effect where it is not finite.

It holds objective and optimizers; which batches come when, and what a bad step means, is the loop's matter.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tonggan.errors import ConfigError, TrainingError
from tonggan.models.state import learned_state, load_learned_state
from tonggan.tokens import Batch
from tonggan.training.checkpoint import load_optimizer_tensors, optimizer_tensors, parameter_of
from tonggan.training.config import TrainingConfig
from tonggan.training.objective import MeasuredObjective, Objective
from tonggan.training.precision import choose_precision
from tonggan.training.world import World, shard, shared_as, whole

_NAMED_ROWS = 20


class Stepper:
    """Objective, optimizers and precision of a run.

    Args:
        objective: what is trained; its modules are moved to the device, if they are not cut into shares.
        config: how.
        world: the processes that share each batch.
        seed: of all randomness of the steps.

    Attributes:
        objective: what learns: the given one, or with ``config.sharded`` in several processes a copy in shares.
        loss_names: of the objective's losses; empty before the first step.

    Raises:
        ConfigError: the objective's batches cannot be cut, and the config or several processes would do so; or its
            parameters cannot.
    """

    def __init__(self, objective: Objective, *, config: TrainingConfig, world: World, seed: int) -> None:
        self.given, self.config, self.world, self.seed = objective, config, world, seed
        self.device = world.device
        self.is_sharded = config.sharded and world.size > 1
        _check_cuts(objective, config=config, world=world)
        if self.is_sharded:
            objective = copy.deepcopy(objective)
        self.objective = objective
        self.precision = choose_precision(config.precision, device=self.device)
        self.scaler = torch.amp.GradScaler(self.device.type) if self.precision == "fp16" else None
        objective.to(self.device)
        if self.device.type == "cpu" or self.precision != "fp32":
            # Convolutions and pooling of small networks were 1.3 to 1.7 times as fast in this layout, others the same.
            _set_memory_format(objective, torch.channels_last)
        if self.is_sharded:
            _check_shares(objective)
            shard(objective, methods=["losses", "predict"])
        self.optimizers = objective.optimizers(config)
        self.loss_names: list[str] = []
        self.keep_buffers()

    def arithmetic(self) -> AbstractContextManager[object]:
        """The precision's: matrix products and convolutions in half of it, if it is a half one."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)

    def step(
        self, number: int, batches: Sequence[Batch], *, learning_rate: float, enough: Callable[[], bool] = lambda: False
    ) -> Tensor:
        """Update the weights by the mean gradient of ``batches``, all randomness drawn from (seed, number).

        Args:
            number: of the step, from 0.
            batches: of which each counts by the objective's weight.
            learning_rate: before a group's own ``scale``.
            enough: asked after each batch whether to leave it at the gradient of those so far.

        Returns:
            ``[1 + losses]`` on the device: the mean of the sum of all losses, then of each by ``loss_names``. This
            process's part of it, where there are several. NaN where loss or gradient is not finite, and then the
            weights are as before.
        """
        self._seed_step(number)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group.get("scale", 1.0)
            optimizer.zero_grad()
        weights = [self.objective.weight(batch) for batch in batches]
        whole, done = sum(weights), 0.0
        total: Tensor | None = None
        for batch, weight in zip(batches, weights, strict=True):
            with self.arithmetic():
                placed = self.place(batch)
                losses = self.objective.losses(placed)
            share = weight / whole if self.world.size == 1 else self.objective.weight(placed) / whole
            self.loss_names = list(losses)
            named = torch.stack([loss.float() * share for loss in losses.values()])
            self._backward(dict(zip(losses, named, strict=True)))
            found = torch.cat([named.detach().sum().unsqueeze(0), named.detach()])
            total = found if total is None else total + found
            done += weight
            if done < whole and enough():
                break
        assert total is not None, "a step wants at least one batch"
        return self._update(total, scale=whole / done)

    def _backward(self, losses: Mapping[str, Tensor]) -> None:
        """Add to the gradients of each optimizer's parameters those of its own losses."""
        for place, (name, optimizer) in enumerate(self.optimizers.items(), start=1):
            own = [loss for key, loss in losses.items() if name in ("", key) or key.startswith(f"{name}/")]
            loss = torch.stack(own).sum() if len(own) > 1 else own[0]
            inputs = None if name == "" else _parameters(optimizer)
            scaled = self.scaler.scale(loss) if self.scaler else loss
            torch.autograd.backward(scaled, inputs=inputs, retain_graph=place < len(self.optimizers))

    def _update(self, losses: Tensor, *, scale: float) -> Tensor:
        finite = torch.isfinite(losses).all()
        if self.world.size > 1:  # What is not finite in one process must skip the step in all.
            bad = (~finite).float()
            self.world.add([bad])
            finite = bad == 0
        for optimizer in self.optimizers.values():
            parameters = _parameters(optimizer)
            self._add_gradients(parameters)
            if self.scaler:
                self.scaler.unscale_(optimizer)
            for gradient in (parameter.grad for parameter in parameters if scale != 1):
                if gradient is not None:
                    gradient *= scale
            if self.config.clip_norm is not None:
                norm = whole({"": nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)})[""]
                if not self.scaler:  # Which skips steps with too large gradients itself, as part of finding its scale.
                    finite = finite & torch.isfinite(norm)
        self._apply(finite)
        return torch.where(finite, losses * scale, torch.nan)

    def _apply(self, finite: Tensor) -> None:
        """Change the weights, or none of them where ``finite`` is False."""
        for optimizer in self.optimizers.values():
            if self.scaler:
                self.scaler.step(optimizer)
            else:
                # How GradScaler tells a fused optimizer to skip a step: on the device, without waiting for the result.
                found = shared_as((~finite).float(), _parameters(optimizer)[0])
                optimizer.found_inf = found  # type: ignore[attr-defined]
                optimizer.step()
        if self.scaler:
            self.scaler.update()

    def _add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum gradients over the processes; a parameter that none of them used keeps none.

        Those of shares are sums already.
        """
        if self.world.size == 1 or self.is_sharded:
            return
        used = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=self.device)
        self.world.add([used])
        shared = [parameter for parameter, count in zip(parameters, used.tolist(), strict=True) if count]
        for parameter in shared:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.world.add([parameter.grad for parameter in shared if parameter.grad is not None])

    def _seed_step(self, number: int) -> None:
        seed = int(np.random.SeedSequence((self.seed, number, self.world.rank)).generate_state(1)[0])
        # Not torch.manual_seed: it seeds every kind of device and takes a hundred times as long.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def place(self, batch: Batch) -> Batch:
        """The share of ``batch`` that falls to this process, on the device."""
        own = self.world.share(batch)
        return own if self.device.type == "cpu" else own.to(self.device)

    def keep_buffers(self) -> None:
        """Remember running statistics, which take in a bad batch before its loss is known."""
        self._buffers = [buffer.clone() for buffer in self.objective.buffers()]

    def share_buffers(self) -> None:
        """Give all processes the mean of their running statistics."""
        if self.world.size > 1:
            shared = [buffer for buffer in self.objective.buffers() if buffer.is_floating_point()]
            self.world.add(shared)
            for buffer in shared:
                buffer /= self.world.size

    @torch.no_grad()
    def bad_rows(self, batches: Sequence[Batch]) -> list[int]:
        """Row numbers, in the batches of a step without effect, whose own loss is not finite.

        There are none where rows have no loss of their own. Running statistics return to those last kept.
        """
        for buffer, kept in zip(self.objective.buffers(), self._buffers, strict=True):
            buffer.copy_(kept)
        if not isinstance(self.objective, MeasuredObjective):
            return []
        self.objective.eval()
        rows: list[int] = []
        for batch in map(self.place, batches):
            with self.arithmetic():
                prediction = self.objective.predict(batch)
            if "loss" in prediction:
                rows += batch.rows.cpu()[~torch.isfinite(prediction["loss"]).cpu()].tolist()
        return list(dict.fromkeys(rows))

    def tensors(self) -> dict[str, Tensor]:
        """Weights and the optimizers' memory, for a checkpoint: whole, whatever number of processes resumes it."""
        remembered = [optimizer_tensors(self.objective, optimizer) for optimizer in self.optimizers.values()]
        return self.learned() | whole({name: value for part in remembered for name, value in part.items()})

    def learned(self) -> dict[str, Tensor]:
        """The weights of now, whole."""
        return whole(learned_state(self.objective))

    def load(self, tensors: Mapping[str, Tensor], scaler: dict[str, Any] | None) -> None:
        """The inverse of ``tensors``, and of the scaler's ``state_dict``."""
        own = dict(self.objective.named_parameters())
        shares = {
            name: shared_as(tensor, own.get(parameter_of(name), tensor)) if tensor.dim() else tensor
            for name, tensor in tensors.items()
        }
        load_learned_state(self.objective, shares)
        for optimizer in self.optimizers.values():
            load_optimizer_tensors(self.objective, optimizer, shares)
        if self.scaler and scaler:
            self.scaler.load_state_dict(scaler)

    def give(self, tensors: Mapping[str, Tensor] | None) -> None:
        """Leave ``tensors``, or the weights of now, in the objective that was given, whole."""
        if tensors is not None or self.is_sharded:
            load_learned_state(self.given, tensors or self.learned())
        _set_memory_format(self.given.to(self.device), torch.contiguous_format)


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _check_cuts(objective: Objective, *, config: TrainingConfig, world: World) -> None:
    """Raise ConfigError where rows that must be compared with each other would be in different parts."""
    is_whole = world.size == 1 or objective.gathers
    if objective.splits_batches or (config.accumulation == 1 and is_whole):
        return
    got = f"accumulation {config.accumulation}" if config.accumulation > 1 else f"{world.size} processes"
    raise ConfigError(
        f"training of {type(objective).__name__}",
        got=got,
        expected="whole batches, whose rows are each other's wrong answers",
        remedy="Train in one process with training.accumulation=1 and a larger batch_size",
    )


def _check_shares(objective: Objective) -> None:
    """Raise ConfigError where a parameter cannot be cut into shares, or an optimizer minimizes a loss of its own."""
    scalars = [name for name, each in objective.named_parameters() if each.requires_grad and not each.dim()]
    if scalars or type(objective).optimizers is not Objective.optimizers:
        raise ConfigError(
            f"training of {type(objective).__name__}",
            got=f"sharded=true with the scalar {scalars[0]}" if scalars else "sharded=true with optimizers of its own",
            expected="parameters of one dimension at least, and one optimizer",
            remedy="Set training.sharded=false: each process keeps all weights then",
        )


def _set_memory_format(model: nn.Module, memory_format: torch.memory_format) -> None:
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
