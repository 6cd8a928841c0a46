"""How alike two items are that are sets of tokens: regions of a picture, words of a text, stretches of a recording.

A plan says how much of each token of one item is laid beside each token of the other; the score is the sum of their
cosines so weighted. Late interaction lays each token of the query beside the one that is most like it; optimal
transport also asks that all of the other item is used.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from tonggan.tokens import Tokens

Matching: TypeAlias = Literal["pooled", "late_interaction", "transport"]
SETS: tuple[Matching, ...] = ("late_interaction", "transport")
"""The ways that compare sets, by their names."""
_ENTROPY = 0.1  # beside cosines
_ITERATIONS = 20
_LEAST_PRODUCTS = 0.05  # cosines over it are at most 20, and their exponentials well within float32
_TINY = 1e-30


def late_interaction_plan(similar: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Each real token of one's own beside the most similar real one of the other, all of them alike.

    The score is the mean over one's own tokens of the greatest cosine (FILIP, Yao et al. 2021; ColBERT, Khattab &
    Zaharia 2020, has the sum).

    Args:
        similar: cosines ``[..., L, M]``.
        own: bool ``[..., L]``, the real tokens.
        other: bool ``[..., M]``.

    Returns:
        ``[..., L, M]``, whose sum is 1; 0 where a side has no token.
    """
    best = similar.masked_fill(~other.unsqueeze(-2), -torch.inf).argmax(dim=-1, keepdim=True)
    plan = torch.zeros_like(similar).scatter_(-1, best, 1.0) * _shares(own, similar).unsqueeze(-1)
    return plan * other.any(dim=-1)[..., None, None]


def transport_plan(
    similar: Tensor, own: Tensor, other: Tensor, *, entropy: float = _ENTROPY, iterations: int = _ITERATIONS
) -> Tensor:
    """The plan that moves one set onto the other, every real token weighing alike, to the greatest sum of cosines.

    Entropic optimal transport by Sinkhorn's iteration (Cuturi 2013): by products where the entropy is so large that
    nothing can underflow, three times as fast, and in the logarithm otherwise (Peyré & Cuturi 2019, section 4.4).

    Args:
        similar: cosines ``[..., L, M]``.
        own: bool ``[..., L]``, the real tokens.
        other: bool ``[..., M]``.
        entropy: how much an even plan is worth beside the cosines; the less, the sharper the plan.
        iterations: over both sides.

    Returns:
        ``[..., L, M]``, whose sum is 1; 0 where a side has no token.
    """
    real = (own.unsqueeze(-1) & other.unsqueeze(-2)).movedim((-2, -1), (0, 1))
    # Tokens first: what is summed over is then far apart, and sums of all items go on side by side, five times as fast.
    kernel = (similar / entropy).movedim((-2, -1), (0, 1)).masked_fill(~real, -torch.inf).contiguous()
    rows, columns = (_shares(mask, similar).movedim(-1, 0) for mask in (own, other))
    of_columns = torch.zeros_like(columns)
    if entropy >= _LEAST_PRODUCTS:
        kernel = kernel.exp()
        of_columns = of_columns + 1
        for _ in range(iterations):
            of_rows = rows / (kernel * of_columns).sum(dim=1).clamp(min=_TINY)
            of_columns = columns / (kernel * of_rows.unsqueeze(1)).sum(dim=0).clamp(min=_TINY)
        plan = kernel * of_rows.unsqueeze(1) * of_columns
    else:
        for _ in range(iterations):
            of_rows = _finite(rows.log() - (kernel + of_columns).logsumexp(dim=1))
            of_columns = _finite(columns.log() - (kernel + of_rows.unsqueeze(1)).logsumexp(dim=0))
        plan = (kernel + of_rows.unsqueeze(1) + of_columns).exp()
    return plan.movedim((0, 1), (-2, -1))


def plan_of(similar: Tensor, own: Tensor, other: Tensor, matching: Matching) -> Tensor:
    """The plan ``[..., L, M]`` of ``matching``, without gradients."""
    with torch.no_grad():
        make = late_interaction_plan if matching == "late_interaction" else transport_plan
        return make(similar.detach(), own, other)


def set_scores(left: Tokens, right: Tokens, matching: Matching) -> tuple[Tensor, Tensor]:
    """How alike every two sets are: ``[N, M]`` with those of ``left`` asking, and ``[M, N]`` with those of ``right``.

    The gradient is that of the cosines under the plan, which is the gradient of late interaction, and of transport with
    the entropy counted (Danskin).
    """
    units = [F.normalize(each.values, dim=-1) for each in (left, right)]
    similar = torch.einsum("nld,mkd->nmlk", *units)
    own, other = left.mask[:, None].expand(similar.shape[:3]), right.mask[None].expand(len(left), -1, -1)
    forth = _weighted(similar, own, other, matching)
    if matching == "transport":
        return forth, forth.T
    return forth, _weighted(similar.transpose(-1, -2), other, own, matching).T


def rescored(scores: Tensor, asked: Tokens, found: Tokens, matching: Matching, *, share: float = 1.0) -> Tensor:
    """The scores of candidates with the sets compared in place of their means.

    Args:
        scores: ``[P, K]`` of K candidates for each query; the cosine of the means counts ``share`` in them.
        asked: ``[P, L, D]``.
        found: ``[P K, M, D]``, the candidates of the first query first.
        matching: how sets are compared.
        share: what the sets count as well.
    """
    shape = (*scores.shape, *found.values.shape[1:])
    units = F.normalize(found.values, dim=-1).view(shape)
    similar = torch.einsum("pld,pkmd->pklm", F.normalize(asked.values, dim=-1), units)
    other = found.mask.view(shape[:3])
    own = asked.mask[:, None].expand(similar.shape[:3])
    of_means = (pooled(asked).unsqueeze(1) * pooled(found).view(*scores.shape, -1)).sum(dim=-1)
    return scores + share * (_weighted(similar, own, other, matching) - of_means)


def pooled(tokens: Tokens) -> Tensor:
    """``[B, D]``, of length 1: the mean of unit tokens; zeros without any."""
    return F.normalize(Tokens(F.normalize(tokens.values, dim=-1), tokens.mask).mean(), dim=-1)


def _weighted(similar: Tensor, own: Tensor, other: Tensor, matching: Matching) -> Tensor:
    return (plan_of(similar, own, other, matching) * similar).sum(dim=(-1, -2))


def _shares(mask: Tensor, like: Tensor) -> Tensor:
    """The weight of each token: the real ones of an item alike, 1 together."""
    counted = mask.to(like.dtype)
    return counted / counted.sum(dim=-1, keepdim=True).clamp(min=1)


def _finite(values: Tensor) -> Tensor:
    """What a token that is not there adds: nothing."""
    return values.masked_fill(~values.isfinite(), 0.0)
