"""Classes by their names alone: a row is of the class whose name lies nearest in a space (zero-shot, after CLIP)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.errors import ConfigError, DataError
from tonggan.modalities import ColumnConfig
from tonggan.modalities.base import MediaModality
from tonggan.progress import Progress, chosen_progress
from tonggan.runs.loading import scan_tables
from tonggan.space.index_folder import query_modalities
from tonggan.space.indexing import FEWEST_ADAPTED_TO, compared_inputs
from tonggan.space.matcher import Matcher, open_matcher
from tonggan.space.media_folder import media_below
from tonggan.space.pairs import columns_to_match

_CHINESE = re.compile(r"[\u3400-\u9fff]")
PHRASES = {
    "en": ("{}", "a photo of a {}", "a blurry photo of a {}", "a picture of the {}", "a drawing of a {}"),
    "zh": ("{}", "一张{}的照片", "一张模糊的{}照片", "{}的图片", "一幅{}的图画"),
}
"""What the name of a class stands in where pictures are told, by the language of the name."""


def classify(
    source: str,
    data: Any,
    *,
    classes: Sequence[str],
    keep: Sequence[str] = (),
    columns: Mapping[str, ColumnConfig] | None = None,
    progress: Progress | bool | None = None,
) -> pa.Table:
    """The nearest of ``classes`` for each row of ``data``, whose pictures, sounds or cells are read, else its texts.

    A collection of thirty or more is read by its own means and deviations, as an index reads it. Pictures are compared
    with the mean of phrases that hold a name, such as 'a photo of a cat' (after CLIP), all else with the name.

    Args:
        source: a space that reads texts, as for ``open_matcher``.
        data: as for ``index_table``.
        classes: names, in whatever language the space's text encoder knows.
        keep: columns of ``data`` to carry along; of a folder, the paths are.
        columns: what some columns are; the others are guessed.
        progress: as for ``fit``.

    Returns:
        ``row`` from 1, those of ``keep``, ``prediction``, which is null where nothing can be read, and
        ``similarity_NAME`` of each class.

    Raises:
        ConfigError: fewer than two classes, or the space reads no text or no column of the data.
        DataError: the data cannot be read, or has no such column.
    """
    progress, cache, matcher = chosen_progress(progress), cache_folder(), open_matcher(source)
    named = list(dict.fromkeys(name.strip() for name in classes if name.strip()))
    _check(source, matcher, named)
    files = media_below(data)
    table, keep = open_table(files, cache=cache, progress=progress), [*(() if files is data else files), *keep]
    absent = [name for name in keep if name not in table.names]
    if absent:
        raise DataError(
            f"table {table.source}",
            got=f"no column '{absent[0]}'",
            expected=f"one of {', '.join(table.names)}",
            remedy="Check --keep",
        )
    inputs = compared_inputs(table, *columns_to_match(table, columns or {}), matcher)
    inputs = {name: each for name, each in inputs.items() if each.kind != "text"} or inputs
    progress.say(f"Compared by: {', '.join(inputs)}")
    media, caches = scan_tables({"rows": table}, inputs, task=None, target=[], cache=cache, progress=progress)
    features = matcher.reader(inputs).read_table(
        table, media=media["rows"], caches=caches, rows=np.arange(len(table)), progress=progress
    )
    total, count = np.zeros((len(table), len(named)), dtype=np.float64), np.zeros((len(table), 1))
    for name, found in features.items():
        kind = inputs[name].kind
        if isinstance(inputs[name], MediaModality) and found.present.sum() >= FEWEST_ADAPTED_TO:
            matcher.space.adapt(kind, found)
        names = _embedded(matcher, named, in_phrases=kind in ("image", "video"))
        similar = matcher.embed(kind, found) @ names.T
        total += np.where(found.present[:, None], similar, 0)
        count += found.present[:, None]
    return _told(total / np.maximum(count, 1), count[:, 0] > 0, named, {name: table.values(name) for name in keep})


def _embedded(matcher: Matcher, names: Sequence[str], *, in_phrases: bool) -> NDArray[np.float32]:
    """``[N, D]`` of names as they are, or the mean of what phrases with them give, in the language that they are in."""
    phrases = [PHRASES["zh" if _CHINESE.search(name) else "en"] if in_phrases else ("{}",) for name in names]
    texts = [phrase.replace("{}", name) for name, each in zip(names, phrases, strict=True) for phrase in each]
    features = matcher.reader(query_modalities(matcher)).read("text", texts)
    vectors = matcher.embed("text", features, as_query=True)
    means: NDArray[np.float32] = vectors.reshape(len(names), -1, vectors.shape[1]).mean(axis=1)
    return means


def _check(source: str, matcher: Matcher, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise ConfigError(
            "--classes",
            got=f"fewer than two names: {', '.join(classes)}",
            expected="two or more, separated by commas",
            remedy="Name all that a row may be",
        )
    if "text" not in matcher.kinds.values() or not matcher.is_one_space:
        raise ConfigError(
            f"space '{source}'",
            got="no texts beside other inputs",
            expected="a space in which names of classes lie",
            remedy="Use 'starter', or fit one with a text column",
        )


def _told(
    similar: NDArray[np.float64], present: NDArray[np.bool_], names: Sequence[str], kept: Mapping[str, Any]
) -> pa.Table:
    best = [names[place] if is_there else None for place, is_there in zip(similar.argmax(1), present, strict=True)]
    columns: dict[str, Any] = {"row": list(range(1, len(best) + 1))}
    columns |= {name if name != "prediction" else "prediction_given": pa.array(cells) for name, cells in kept.items()}
    columns["prediction"] = pa.array(best, pa.string())
    for name, values in zip(names, similar.T, strict=True):
        columns[f"similarity_{name}"] = pa.array(values.astype(np.float64), mask=~present)
    return pa.table(columns)
