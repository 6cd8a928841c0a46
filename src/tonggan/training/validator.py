"""The validation part: what the present weights are worth, over all processes, within the time there is.

When to look is the loop's matter.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor

from tonggan.data.loader import Batches
from tonggan.tasks.measure import Measure
from tonggan.training.objective import MeasuredObjective
from tonggan.training.stepper import Stepper


class Validator:
    """Runs the stepper's objective over the first of ``batches``, as many as there is time for."""

    def __init__(self, stepper: Stepper, batches: Batches) -> None:
        assert isinstance(stepper.objective, MeasuredObjective), "a validation part wants an objective with a measure"
        self.stepper, self.objective, self.batches = stepper, stepper.objective, batches
        self.num_batches, self.num_rows = len(batches), batches.num_rows

    @torch.no_grad()
    def look(self, num_batches: int, *, enough: Callable[[], bool]) -> tuple[Tensor, Measure]:
        """The loss of each row that has one of its own, ``[N]``, and the measure of the first batches.

        Args:
            num_batches: how many batches to look at.
            enough: asked after each batch whether to leave it at those so far.
        """
        parts: list[tuple[Tensor, Measure]] = []
        stepper, objective = self.stepper, self.objective
        objective.eval()
        for batch in islice(self.batches.epoch(0), num_batches):
            own = stepper.world.share(batch)
            with stepper.arithmetic():
                prediction = objective.predict(own.to(stepper.device)).cpu()
            losses = prediction["loss"] if "loss" in prediction else torch.empty(0)
            parts.append((losses, objective.measure(prediction, own.targets)))
            if enough():
                break
        objective.train()
        parts = [part for gathered in stepper.world.gather(parts) for part in gathered]
        return torch.cat([losses for losses, _ in parts]), Measure.cat([measure for _, measure in parts])
