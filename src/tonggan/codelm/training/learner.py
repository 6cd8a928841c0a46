"""A Llama that learns code: its loss over rows of token ids, what of it learns, and the plain model at the end.

It takes no optimizer steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tonggan.codelm.training.sentinels import SentinelRows
from tonggan.language.infill import InfillTokens
from tonggan.language.llama import ROUND, Llama
from tonggan.language.low_rank import add_adapters, merge_adapters

_IGNORED = -100  # labels of rows that only fill up
_LOGITS_AT_ONCE = 512  # positions; those of a whole batch would take gigabytes


class Learner(nn.Module):
    """A model with what of it learns.

    Args:
        model: the weights to begin with; they become the learner's own.
        method: low-rank adapters and the rows of the sentinels, or everything.
        rank: of the adapters.
        infill: the sentinels; None where there are none to learn.
        precision: number format of the arithmetic.
        generator: of the rows that are new.
    """

    def __init__(
        self,
        model: Llama,
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

    def backward(self, rows: Sequence[Sequence[int]], *, num_labels: int) -> float:
        """Add the gradients of the rows' summed loss over ``num_labels`` to those that learn; gives that loss.

        Logits are made and left again in chunks, so that they never take more memory than one chunk does.
        """
        hidden, labels = self._hidden(rows)
        missing = -len(labels) % ROUND
        hidden, labels = F.pad(hidden, (0, 0, 0, missing)), F.pad(labels, (0, missing), value=_IGNORED)
        leaf = hidden.detach().requires_grad_()
        total = 0.0
        for chunk, label in zip(torch.split(leaf, _LOGITS_AT_ONCE), torch.split(labels, _LOGITS_AT_ONCE), strict=True):
            with self._arithmetic():
                loss = F.cross_entropy(self._logits(chunk), label, ignore_index=_IGNORED, reduction="sum") / num_labels
            torch.autograd.backward(loss)
            total += loss.item()
        torch.autograd.backward(hidden, leaf.grad)
        return total

    def num_labels(self, rows: Sequence[Sequence[int]]) -> int:
        """How many tokens of the rows are predicted."""
        never = set(self.never_predicted.tolist())
        return sum(1 for row in rows for id_ in row[1:] if id_ not in never)

    def learned(self) -> dict[str, Tensor]:
        """What learns, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of ``learned``, in place."""
        for name, parameter in self.learned().items():
            parameter.copy_(tensors[name])

    def merged(self) -> Llama:
        """A plain model that computes the same, in float32 on the CPU; of a model that learned in full, itself."""
        if self.method == "full":
            return self.model.float().cpu().eval()
        merged = merge_adapters(self.model)
        if self.sentinels is not None:
            self.sentinels.write_to(merged)
        return merged

    def _hidden(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Last hidden states ``[N, D]`` where a token is to be predicted, and these tokens ``[N]``."""
        whole = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(whole.shape[1]) < lengths.unsqueeze(1)
        ids, labels = whole[:, :-1], whole[:, 1:]
        places = (mask[:, 1:] & ~torch.isin(labels, self.never_predicted)).to(self.device)
        ids, labels = ids.to(self.device), labels.to(self.device)
        values = self.model.embed(ids)
        if self.sentinels is not None:
            values = self.sentinels.embed(ids, values)
        with self._arithmetic():
            hidden = self.model(values, mask=mask[:, :-1].to(self.device))
        return hidden[places].float(), labels[places]

    def _logits(self, hidden: Tensor) -> Tensor:
        logits = self.model.logits(hidden.to(self.model.model.embed_tokens.weight.dtype)).float()
        return logits if self.sentinels is None else self.sentinels.logits(hidden, logits)

    def _arithmetic(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()
