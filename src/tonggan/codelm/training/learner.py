"""A language model that learns code: its loss over rows of token ids, what of it learns, the plain model at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tonggan.codelm.training.sentinels import SentinelRows
from tonggan.errors import TrainingError
from tonggan.language.causal_transformer import ROUND, CausalTransformer
from tonggan.language.infill import InfillTokens
from tonggan.language.low_rank import add_adapters, merge_adapters
from tonggan.tokens import Arrays, Batch
from tonggan.training.budget import describe_bytes, peak_memory
from tonggan.training.objective import Objective

CODE = "code"
"""The input of a batch: rows of token ids."""

_IGNORED = -100  # labels of rows that only fill up
_LOGITS_AT_ONCE = 512  # positions; those of a whole batch would take gigabytes


class Learner(Objective):
    """The next token of code, by a model of which all or some learns.

    Args:
        model: the weights to begin with; they become the learner's own.
        method: low-rank adapters and the rows of the sentinels, or everything.
        rank: of the adapters.
        infill: the sentinels; None where there are none to learn.
        precision: dtype of the arithmetic.
        generator: of the rows that are new.

    Attributes:
        max_memory: bytes that the process may take at its peak; None sets no limit.
    """

    max_memory: int | None = None

    def __init__(
        self,
        model: CausalTransformer,
        *,
        method: Literal["lora", "full"],
        rank: int,
        infill: InfillTokens | None,
        precision: Literal["fp32", "bf16"],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.model, self.method, self.rank, self.precision = model, method, rank, precision
        self.sentinels: SentinelRows | None = None
        ids = [] if infill is None else [infill.prefix, infill.suffix, infill.middle]
        self.never_predicted = torch.tensor(ids, dtype=torch.int64)
        if method == "lora":
            model.requires_grad_(False)
            if infill is not None:
                self.sentinels = SentinelRows(model, infill, generator=generator)
            with torch.random.fork_rng(devices=()):  # new weights are drawn from the global generator
                torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
                add_adapters(model, rank=rank)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.model.model.embed_tokens.weight.device

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The mean negative log-likelihood of a predicted token.

        Raises:
            TrainingError: more memory is taken than is allowed.
        """
        hidden, labels = self._hidden(batch.inputs[CODE])
        sentinels = None if self.sentinels is None else self.sentinels.output_rows
        learned = [each for each in (self.model.output_weight, sentinels) if each is not None and each.requires_grad]
        total: Tensor = _SummedLoss.apply(hidden, labels, self._logits, *learned)  # type: ignore[no-untyped-call]
        self._check_memory()
        return {"loss": total / len(labels)}

    def weight(self, batch: Batch) -> float:
        """How many tokens are predicted."""
        rows = batch.inputs[CODE]
        return int(self._places(rows.values.cpu(), rows.mask.cpu()).sum())

    def _check_memory(self) -> None:
        peak = peak_memory(self.device)
        if self.max_memory is not None and peak > self.max_memory:
            raise TrainingError(
                "memory of the training",
                got=describe_bytes(peak),
                expected=f"at most {describe_bytes(self.max_memory)}",
                remedy="Allow more with --max-memory, or train shorter rows with --set length=256",
            )

    def learned(self) -> dict[str, Tensor]:
        """What learns, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of ``learned``, in place."""
        for name, parameter in self.learned().items():
            parameter.copy_(tensors[name])

    def merged(self) -> CausalTransformer:
        """A plain model that computes the same, in float32 on the CPU; of a model that learned in full, itself."""
        if self.method == "full":
            return self.model.float().cpu().eval()
        merged = merge_adapters(self.model)
        if self.sentinels is not None:
            self.sentinels.write_to(merged)
        return merged

    def _places(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Bool ``[B, L - 1]``: True where the next token is to be predicted."""
        return mask[:, 1:] & ~torch.isin(ids[:, 1:], self.never_predicted.to(ids.device))

    def _hidden(self, rows: Arrays) -> tuple[Tensor, Tensor]:
        """Last hidden states ``[N, D]`` where a token is to be predicted, and these tokens ``[N]``."""
        places = self._places(rows.values, rows.mask)
        ids, labels = rows.values[:, :-1], rows.values[:, 1:]
        values = self.model.embed(ids)
        if self.sentinels is not None:
            values = self.sentinels.embed(ids, values)
        with self._arithmetic():
            hidden = self.model(values, mask=rows.mask[:, :-1])
        return hidden[places].float(), labels[places]

    def _logits(self, hidden: Tensor) -> Tensor:
        with self._arithmetic():
            logits = self.model.logits(hidden.to(self.model.model.embed_tokens.weight.dtype)).float()
            return logits if self.sentinels is None else self.sentinels.logits(hidden, logits)

    def _arithmetic(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()


class _SummedLoss(torch.autograd.Function):
    """The summed cross-entropy of hidden states ``[N, D]`` and labels ``[N]``, in chunks.

    Logits are made, and their gradients taken, chunk by chunk already when it is computed, so that they never take more
    memory than one chunk does.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, labels: Tensor, logits: Callable[[Tensor], Tensor], *learned: Tensor
    ) -> Tensor:
        missing = -len(labels) % ROUND
        padded, labels = F.pad(hidden, (0, 0, 0, missing)), F.pad(labels, (0, missing), value=_IGNORED)
        total, gradients = hidden.new_zeros(()), [torch.zeros_like(each) for each in (padded, *learned)]
        for first in range(0, len(labels), _LOGITS_AT_ONCE):
            chunk = slice(first, first + _LOGITS_AT_ONCE)
            with torch.enable_grad():
                leaf = padded[chunk].detach().requires_grad_()
                loss = F.cross_entropy(logits(leaf), labels[chunk], ignore_index=_IGNORED, reduction="sum")
                found = torch.autograd.grad(loss, [leaf, *learned])
            total += loss.detach()
            gradients[0][chunk] = found[0]
            for whole, part in zip(gradients[1:], found[1:], strict=True):
                whole += part
        gradients[0] = gradients[0][: len(hidden)]
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        hidden, *learned = (gradient * upstream[0] for gradient in ctx.saved_tensors)
        return hidden, None, None, *learned
