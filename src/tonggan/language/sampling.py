"""From logits to a drawn token: repetition penalty, temperature, top-k, top-p, min-p, in Hugging Face's order.

All work on logits ``[..., V]``; what is ruled out becomes minus infinity. Constraints and stops are not its matter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tonggan.language.settings import GenerationConfig

# Most nuclei are smaller than these: sorting all of a large vocabulary would take longer than all else here.
_NUCLEUS_SIZES = (128, 4096)


def penalize_repetition(logits: Tensor, seen: Tensor, *, penalty: float) -> Tensor:
    """Divide the positive logits of tokens in ``seen`` (bool, as ``logits``) by ``penalty``, multiply the negative."""
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Rule out all but the ``k`` greatest, and what equals the least of them."""
    least = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Rule out all but the fewest most probable tokens that together hold ``p``, and what equals the least of them."""
    probabilities = logits.softmax(dim=-1)
    size = logits.shape[-1]
    for count in (*_NUCLEUS_SIZES, size):
        top = probabilities.topk(min(count, size)).values
        before = top.cumsum(dim=-1) - top
        if bool((before[..., -1] >= p).all()):
            break
    left_out = before >= p
    left_out[..., 0] = False
    least = top.masked_fill(left_out, torch.inf).amin(dim=-1, keepdim=True)
    return logits.masked_fill(probabilities < least, -torch.inf)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Rule out tokens less probable than ``p`` times the most probable."""
    probabilities = logits.softmax(dim=-1)
    return logits.masked_fill(probabilities < p * probabilities.amax(dim=-1, keepdim=True), -torch.inf)


def warp(logits: Tensor, settings: GenerationConfig) -> Tensor:
    """Logits of the distribution to draw from; ``settings.temperature`` is above 0."""
    logits = logits / settings.temperature
    if settings.top_k:
        logits = keep_top_k(logits, settings.top_k)
    if settings.top_p < 1:
        logits = keep_top_p(logits, settings.top_p)
    if settings.min_p:
        logits = keep_min_p(logits, settings.min_p)
    return logits


def draw(logits: Tensor, generator: torch.Generator) -> int:
    """One token from ``logits`` ``[V]``, by one uniform number and the inverse of the cumulative distribution.

    So the draw hardly depends on the last bits of the logits, which differ between one row and a batch of them.
    """
    cumulative = logits.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
    uniform = torch.rand((), generator=generator, dtype=torch.float64)
    return int(torch.searchsorted(cumulative, uniform * cumulative[-1], right=True).clamp(max=len(logits) - 1))
