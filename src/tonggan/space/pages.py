"""Pages for people: what a space is worth, and what was found in it, with pictures shown and sounds played."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup, escape
from numpy.typing import NDArray

from tonggan.alignment.token_sets import plan_of
from tonggan.data.dataset import Dataset
from tonggan.data.media_types import kind_of_path
from tonggan.errors import BundleError, MissingExtraError, UnreadableError
from tonggan.evaluation.report import page
from tonggan.files import path_here, whole_file
from tonggan.modalities import VideoConfig
from tonggan.modalities.image import image_address
from tonggan.models.text_embedder import TextEmbedder
from tonggan.retrieval.row import Value
from tonggan.space.features import Features
from tonggan.space.index import Hit
from tonggan.space.index_folder import IndexInfo
from tonggan.space.matcher import Matcher
from tonggan.space.matches import METRICS
from tonggan.wording import Words

_MOST_DOTS = 150  # of each input
_SIZE = 420.0
_MARGIN = 12.0
_SIDE = 220  # pixels of a picture
_PLAN_SIDE = 96
_MOST_PAIRS = 4  # whose sets are drawn
_MOST_WORDS = 8  # of each
_LARGEST = 8_000_000  # bytes of a sound that a page holds
_SOUNDS = {".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg"}
_OTHERS: Mapping[str, Words] = {
    "chance": Words("drawn at random", "随机"),
    "linear maps alone": Words("linear maps alone", "仅线性映射"),
    "towers alone": Words("towers alone", "仅塔网络"),
    "means of sets": Words("means of token sets, not compared one by one", "仅比较词元集合的均值"),
    "frozen encoders alone": Words("frozen encoders as they are", "仅冻结编码器"),
}


@dataclass(frozen=True)
class DrawnPair:
    """One pair of the page.

    Attributes:
        title: what asks.
        tokens: each of its tokens, and the picture of where it is laid.
    """

    title: str
    tokens: Sequence[tuple[str, Markup]]


@dataclass(frozen=True)
class SpaceContent:
    """Everything on the page.

    Attributes:
        title: the inputs.
        split: the part that was measured last.
        metrics: on it.
        intervals: of them.
        directions: what is found by what.
        others: plain answers.
        gap: how far apart the centers of two inputs lie, from 0 to 2, by pair.
        picture: of the vectors.
        compared: what asks and what is found, of the pairs that are drawn.
        pairs: how their sets are laid beside one another; none where vectors are compared.
        results: all of them.
        recipe: as YAML.
    """

    title: str
    split: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, list[float]]
    directions: list[str]
    others: list[tuple[Words, Mapping[str, float]]]
    gap: list[tuple[str, float]]
    picture: Markup
    compared: tuple[str, str]
    pairs: list[DrawnPair]
    results: Mapping[str, Any]
    recipe: str


def write_space_report(path: Path, matcher: Matcher, features: Mapping[str, Features], dataset: Dataset) -> None:
    """Write the page of ``matcher`` with features and rows of the part that gives the final number."""
    compared, pairs = _drawn_pairs(matcher, features, dataset)
    results = matcher.results
    split = list(results["metrics"])[-1]
    metrics = results["metrics"][split]
    vectors = {
        name: matcher.embed(kind, features[name].take(np.flatnonzero(features[name].present)[:_MOST_DOTS]))
        for name, kind in matcher.kinds.items()
    }
    content = SpaceContent(
        title=" ↔ ".join(matcher.kinds),
        split=split,
        metrics=metrics,
        intervals=results["intervals"][split],
        directions=list(dict.fromkeys(name.rpartition(" ")[0] for name in metrics if "→" in name)),
        others=[(_OTHERS[name], found) for name, found in results["others"].items()],
        gap=_gaps(vectors),
        picture=_picture(vectors),
        compared=compared,
        pairs=pairs,
        results=results,
        recipe=matcher.recipe.to_yaml(),
    )
    text = page("space.html", content=content, metrics=METRICS, shown=_shown)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if name == "median_rank" else f"{value:.3f}"


def _gaps(vectors: Mapping[str, NDArray[np.float32]]) -> list[tuple[str, float]]:
    """The Euclidean distance between the centers of every two inputs (the modality gap, Liang et al. 2022)."""
    centers = {name: each.mean(axis=0) for name, each in vectors.items() if len(each)}
    names = list(centers)
    return [
        (f"{left} ↔ {right}", float(np.linalg.norm(centers[left] - centers[right])))
        for place, left in enumerate(names)
        for right in names[place + 1 :]
    ]


def _picture(vectors: Mapping[str, NDArray[np.float32]]) -> Markup:
    """The vectors along the two axes in which all of them differ most, a color for each input."""
    every = np.concatenate(list(vectors.values())).astype(np.float64)
    if len(every) < 3:
        return Markup("")
    _, _, axes = np.linalg.svd(every - every.mean(axis=0), full_matrices=False)
    places = (every - every.mean(axis=0)) @ axes[:2].T
    low, high = places.min(axis=0), places.max(axis=0)
    places = _MARGIN + (places - low) / np.maximum(high - low, 1e-9) * (_SIZE - 2 * _MARGIN)
    dots, start = [], 0
    for number, each in enumerate(vectors.values()):
        for x, y in places[start : start + len(each)]:
            dots.append(f'<circle class="input-{number % 5}" cx="{x:.1f}" cy="{_SIZE - y:.1f}" r="3.5"/>')
        start += len(each)
    return Markup(f'<svg viewBox="0 0 {_SIZE:.0f} {_SIZE:.0f}" role="img">{"".join(dots)}</svg>')  # noqa: S704 - numbers alone


@dataclass(frozen=True)
class ShownHit:
    """One row on the page: the files that can be shown, as ``data:`` addresses, and the other cells."""

    hit: Hit
    pictures: Sequence[str]
    sounds: Sequence[str]
    cells: Mapping[str, Value]


def write_hits(path: Path, hits: Sequence[Hit], info: IndexInfo) -> None:
    """Write the page of ``hits`` of the index ``info`` to ``path``.

    Raises:
        BundleError: it cannot be written.
    """
    text = page("hits.html", content={"title": Path(info.source).name}, hits=[_shown_hit(hit, info) for hit in hits])
    try:
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BundleError(
            f"page {path}", got=str(error), expected="a file that can be written", remedy="Choose another place"
        ) from error


def _shown_hit(hit: Hit, info: IndexInfo) -> ShownHit:
    pictures, sounds, cells = [], [], {}
    for name, value in hit.row.items():
        address = (
            _address(Path(info.base) / path_here(str(value), info.base)) if info.fields.get(name) == "file" else None
        )
        if address is None:
            cells[name] = value
        elif address.startswith("data:image"):
            pictures.append(address)
        else:
            sounds.append(address)
    return ShownHit(hit, pictures, sounds, cells)


def _address(path: Path) -> str | None:
    """A picture or the middle frame of a clip, made small, or a sound, as a ``data:`` address; None of all else."""
    import cv2

    if kind_of_path(path.name) == "video":
        return _middle_frame(path)
    try:
        if path.stat().st_size > _LARGEST:
            return None
        raw = path.read_bytes()
    except OSError:
        return None
    if path.suffix.lower() in _SOUNDS:
        return f"data:{_SOUNDS[path.suffix.lower()]};base64,{base64.b64encode(raw).decode()}"
    pixels = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw else None
    if pixels is None:
        return None
    scale = min(1.0, _SIDE / max(pixels.shape[:2]))
    height, width = (max(1, round(scale * side)) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    done, encoded = cv2.imencode(".png", small)
    return f"data:image/png;base64,{base64.b64encode(encoded.tobytes()).decode()}" if done else None


def _middle_frame(path: Path) -> str | None:
    try:
        frames = VideoConfig(size=_SIDE, resize="pad", frames=1, draws=1).build().decode(path)
    except (UnreadableError, MissingExtraError, OSError):
        return None
    return image_address(frames[0])


def _drawn_pairs(
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
    _, encoded = cv2.imencode(".png", cv2.resize(pixels, (_PLAN_SIDE, _PLAN_SIDE), interpolation=cv2.INTER_AREA))
    return f"data:image/png;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def _drawn(shares: NDArray[np.float32], picture: str | None) -> Markup:
    """Where one token is laid: over the regions of a picture, or along a strip; the darker, the more of it."""
    side = math.isqrt(len(shares))
    columns, rows = (side, side) if picture is not None and side**2 == len(shares) else (len(shares), 1)
    width, height = _PLAN_SIDE / columns, (_PLAN_SIDE if rows > 1 else _PLAN_SIDE / 4) / rows
    strongest = max(float(shares.max()), 1e-9)
    cells = [
        f'<rect class="laid" x="{place % columns * width:.1f}" y="{place // columns * height:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}" fill-opacity="{0.75 * float(share) / strongest:.2f}"/>'
        for place, share in enumerate(shares)
    ]
    image = (
        f'<image href="{escape(picture)}" width="{_PLAN_SIDE}" height="{_PLAN_SIDE}"/>' if picture is not None else ""
    )
    box = f"0 0 {_PLAN_SIDE} {rows * height:.0f}" if not image else f"0 0 {_PLAN_SIDE} {_PLAN_SIDE}"
    return Markup(f'<svg class="plan" viewBox="{box}" role="img">{image}{"".join(cells)}</svg>')  # noqa: S704 - numbers and an escaped address
