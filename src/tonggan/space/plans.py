"""How the sets of some pairs are laid beside one another, drawn: where in a picture each word is found."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from markupsafe import Markup, escape
from numpy.typing import NDArray

from tonggan.alignment.token_sets import plan_of
from tonggan.data.dataset import Dataset
from tonggan.models.text_embedder import TextEmbedder
from tonggan.space.features import Features
from tonggan.space.matcher import Matcher

_MOST_PAIRS = 4
_MOST_WORDS = 8
_SIDE = 96


@dataclass(frozen=True)
class DrawnPair:
    """One pair of the page.

    Attributes:
        title: what asks.
        tokens: each of its tokens, and the picture of where it is laid.
    """

    title: str
    tokens: Sequence[tuple[str, Markup]]


def drawn_pairs(
    matcher: Matcher, features: Mapping[str, Features], dataset: Dataset
) -> tuple[tuple[str, str], list[DrawnPair]]:
    """The names of what asks and of what is found, and some pairs; none where no sets are compared.

    Args:
        matcher: whose space compares sets.
        features: by input.
        dataset: the same rows as they stand in the table.
    """
    if not matcher.space.compares_sets:
        return ("", ""), []
    asks = next((name for name, kind in matcher.kinds.items() if kind == "text"), next(iter(matcher.kinds)))
    others = [name for name, kind in matcher.kinds.items() if kind != matcher.kinds[asks]]
    found = next((name for name in others if matcher.kinds[name] == "image"), (others or [asks])[0])
    both = np.flatnonzero(features[asks].present & features[found].present)[:_MOST_PAIRS]
    own, other = (matcher.space.sets(matcher.kinds[name], features[name].take(both)).tokens() for name in (asks, found))
    pairs = []
    for place, row in enumerate(both.tolist()):
        mask, beside = own.mask[place], other.mask[place]
        similar = own.values[place][mask] @ other.values[place][beside].T
        if similar.numel():
            real = [torch.ones(count, dtype=torch.bool) for count in similar.shape]
            plan = plan_of(similar, real[0], real[1], matcher.space.matching)
            items = [dataset.inputs[name].items(np.array([row]))[0] for name in (asks, found)]
            labels = _labels(matcher, asks, items[0], len(plan))
            picture = _thumbnail(items[1]) if matcher.kinds[found] == "image" else None
            drawn = zip(labels[:_MOST_WORDS], plan.numpy(), strict=False)
            title = str(items[0]) if matcher.kinds[asks] == "text" else f"{asks} {row + 1}"
            pairs.append(DrawnPair(title, [(label, _drawn(shares, picture)) for label, shares in drawn]))
    return (asks, found), pairs


def _labels(matcher: Matcher, name: str, item: Any, count: int) -> list[str]:
    """What each token of an item is called: a word of a text that a frozen encoder reads, else its number."""
    encoder = matcher.frozen(name)
    words = encoder.words_of(str(item)) if isinstance(encoder, TextEmbedder) else []
    return words[:count] if len(words) >= count else [str(number + 1) for number in range(count)]


def _thumbnail(picture: NDArray[np.uint8]) -> str:
    """uint8 ``[3, H, W]`` as a small ``data:`` address."""
    import cv2

    pixels = cv2.cvtColor(np.ascontiguousarray(picture.transpose(1, 2, 0)), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))
    return f"data:image/png;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def _drawn(shares: NDArray[np.float32], picture: str | None) -> Markup:
    """Where one token is laid: over the regions of a picture, or along a strip; the darker, the more of it."""
    side = math.isqrt(len(shares))
    columns, rows = (side, side) if picture is not None and side**2 == len(shares) else (len(shares), 1)
    width, height = _SIDE / columns, (_SIDE if rows > 1 else _SIDE / 4) / rows
    strongest = max(float(shares.max()), 1e-9)
    cells = [
        f'<rect class="laid" x="{place % columns * width:.1f}" y="{place // columns * height:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}" fill-opacity="{0.75 * float(share) / strongest:.2f}"/>'
        for place, share in enumerate(shares)
    ]
    image = f'<image href="{escape(picture)}" width="{_SIDE}" height="{_SIDE}"/>' if picture is not None else ""
    box = f"0 0 {_SIDE} {rows * height:.0f}" if not image else f"0 0 {_SIDE} {_SIDE}"
    return Markup(f'<svg class="plan" viewBox="{box}" role="img">{image}{"".join(cells)}</svg>')  # noqa: S704 - numbers and an escaped address
