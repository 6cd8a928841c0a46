"""From a table of pairs to a space: read features once, fit linear maps, train towers, choose, measure, save."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.alignment.contrastive import TemperatureConfig
from tonggan.alignment.distances import Distance
from tonggan.evaluation.bootstrap import intervals
from tonggan.progress import Progress
from tonggan.runs.bundle_folder import CHECKPOINTS, SPACE
from tonggan.runs.run_folder import claimed, finish, remember
from tonggan.space.config import MatchRecipe
from tonggan.space.features import Features, TokenSets, encoded
from tonggan.space.linear_maps import Fitted, fit_linear, lead_of, surely_better
from tonggan.space.matcher import Matcher, chance, load_matcher
from tonggan.space.matches import MatchMeasure
from tonggan.space.objective import FeatureBatches, Matching
from tonggan.space.pages import write_space_report
from tonggan.space.pairs import Pairs, read_pairs, read_rows
from tonggan.space.towers import Space
from tonggan.training import Budget, train
from tonggan.training.world import World, world

_ROWS_AT_ONCE = 512
_MOST_SETS = 500  # rows that are chosen on where sets are compared
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_MOST_CHOSEN_ON = 2_000


def fit_space(
    recipe: MatchRecipe,
    *,
    out: Path,
    sources: Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    started: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Matcher:
    """Learn a space from the pairs that ``recipe`` names, and leave it in ``out``; an interrupted training goes on.

    Started by ``torchrun``, the processes share each batch, whose rows are all compared; all else the main one does.

    Args:
        recipe: what to learn from, and how.
        out: the run's folder.
        sources: tables in memory by split, instead of the recipe's paths.
        time_limit: seconds for everything.
        started: ``time.monotonic()`` from which these count, now by default.
        overwrite: replace a space that is there.
        progress: told of every step.

    Raises:
        ConfigError: the recipe does not fit the data.
        DataError: the data cannot be used, or hold too few pairs.
        BundleError: the folder is in use, holds something else, or cannot be written.
        MissingExtraError: there are no weights for an input.
    """
    progress = progress or Progress()
    budget = Budget(time_limit, started=started)
    with world() as processes:
        if not processes.is_main:
            return _follow(recipe, sources or {}, out=out, budget=budget, processes=processes)
        with claimed(out, overwrite=overwrite, index=SPACE):
            matcher = _fit(
                recipe,
                sources or {},
                out=out,
                budget=budget,
                overwrite=overwrite,
                progress=progress,
                processes=processes,
            )
            finish(out)
        processes.wait()
    return matcher


def _fit(
    recipe: MatchRecipe,
    sources: Mapping[str, Any],
    *,
    out: Path,
    budget: Budget,
    overwrite: bool,
    progress: Progress,
    processes: World,
) -> Matcher:
    """All of it, as one process or the main one."""
    began = time.monotonic()
    pairs = read_pairs(recipe, sources, progress=progress, quarantine=out / "quarantine.csv")
    remember(out, f"# data: {pairs.fingerprint}\n{recipe.to_yaml()}", overwrite=overwrite)
    processes.wait()
    space = _new_space(recipe, pairs)
    valid = _held_out(pairs, space)
    fitted = None
    if space.maps:
        fitted = _fit_linear(space, recipe, pairs, valid, progress=progress)
    if space.has_networks:
        _train_towers(space, recipe, pairs, valid, out=out, budget=budget, progress=progress)
        pairs = _encoded(pairs, space)
        valid = _held_out(pairs, space)
    if space.maps and space.has_networks:
        went_on = fitted is not None and fitted.start is not None
        _choose_share(space, pairs.kinds, valid, went_on=went_on, progress=progress)
    results = _assess(space, recipe, pairs, progress=progress) | {"seconds": time.monotonic() - began}
    made = Matcher(recipe, pairs.modalities, _weights_of(pairs), space.eval(), results, out, pairs.reader.encoders)
    write_space_report(out / "report.html", made, pairs.features[pairs.final], pairs.datasets[pairs.final])
    return made.save(out)


def _follow(recipe: MatchRecipe, sources: Mapping[str, Any], *, out: Path, budget: Budget, processes: World) -> Matcher:
    """The training, beside the main process, whose space is waited for."""
    processes.wait()  # By then features are in the cache.
    pairs = read_pairs(recipe, sources, progress=Progress())
    space = _new_space(recipe, pairs)
    if space.has_networks:
        if space.maps:  # The processes share their buffers, so all must have the same.
            _fit_linear(space, recipe, pairs, _held_out(pairs, space), progress=Progress())
        _train_towers(space, recipe, pairs, _held_out(pairs, space), out=out, budget=budget, progress=Progress())
    processes.wait()
    return load_matcher(out)


def _held_out(pairs: Pairs, space: Space) -> dict[str, Features]:
    """The rows of the validation part that are chosen on."""
    most = _MOST_SETS if space.compares_sets else _MOST_CHOSEN_ON
    return {name: each.take(np.arange(min(len(each), most))) for name, each in pairs.features["valid"].items()}


def _encoded(pairs: Pairs, space: Space) -> Pairs:
    """``pairs`` with what the encoders that have learned make of the parts that are measured."""
    features = {split: dict(part) for split, part in pairs.features.items()}
    for split, part in features.items():
        for name, kind in pairs.kinds.items() if split != "train" else ():
            if kind in space.encoders:
                dataset = pairs.learned_from(split, set(space.encoders))
                sets = [
                    encoded(partial(space.encode, kind), dataset.batch(rows).inputs[name].expand())
                    for rows in np.array_split(np.arange(len(dataset)), math.ceil(len(dataset) / _ROWS_AT_ONCE) or 1)
                ]
                part[name] = replace(part[name], learned=TokenSets.cat(sets))
    return replace(pairs, features=features)


def _new_space(recipe: MatchRecipe, pairs: Pairs) -> Space:
    kinds, train = pairs.kinds, pairs.features["train"]
    widths = {kind: train[name].values.shape[1] for name, kind in kinds.items()}
    config = recipe.space
    distance: Distance = config.alignment.distance if isinstance(config.alignment, TemperatureConfig) else "cosine"
    has_linear = config.parts != "towers" and distance == "cosine"
    sets = {kind: train[name].as_tokens().values.shape[2] for name, kind in kinds.items() if train[name].sets}
    torch.manual_seed(recipe.seed)
    space = Space(
        widths,
        dim=config.dim if config.parts != "linear" else 0,
        hidden=config.hidden,
        dropout=config.dropout,
        linear_dim=widths[lead_of(kinds)] if has_linear else 0,
        distance=distance,
        matching=config.matching if config.parts != "linear" else "pooled",
        token_widths=sets,
        encoders=config.build_encoders(pairs.modalities) if config.parts != "linear" else {},
    )
    for kind in widths:
        space.standardize(kind, Features.cat([train[name] for name, own in kinds.items() if own == kind]))
    return space


def _weights_of(pairs: Pairs) -> dict[str, str]:
    return {kind: each["name"] for kind, each in pairs.reader.identities.items()}


def _fit_linear(
    space: Space, recipe: MatchRecipe, pairs: Pairs, valid: Mapping[str, Features], *, progress: Progress
) -> Fitted | None:
    """Fit the linear maps, and tell of them."""
    num_rows = len(next(iter(valid.values())))
    fitted = fit_linear(
        space,
        pairs,
        start=recipe.space.start,
        score=lambda: measure_space(space, pairs.kinds, valid).score(),
        num_rows=num_rows,
    )
    if fitted is not None:
        told = f"Linear maps: mrr {fitted.score:.3f} on the validation part, penalty {fitted.penalty:g}"
        progress.say(f"{told}, continued from '{fitted.start}'" if fitted.start else told)
    return fitted


def _train_towers(
    space: Space,
    recipe: MatchRecipe,
    pairs: Pairs,
    valid: Mapping[str, Features],
    *,
    out: Path,
    budget: Budget,
    progress: Progress,
) -> None:
    torch.manual_seed(recipe.seed + 1)
    objective = Matching(
        space,
        pairs.kinds,
        recipe.space.alignment,
        num_labels=pairs.num_labels,
        at_once=recipe.space.at_once,
    )
    batches = {
        split: FeatureBatches(
            features,
            labels=None if labels is None else labels[: len(next(iter(features.values())))],
            batch_size=recipe.training.batch_size,
            seed=recipe.seed,
            shuffle=split == "train",
            raw=pairs.learned_from(split, set(space.encoders)) if space.encoders else None,
        )
        for split, features in (("train", pairs.features["train"]), ("valid", valid))
        for labels in [pairs.labels[split]]
    }
    config = recipe.training
    if config.evaluate_every is None:
        most = max(1, len(batches["train"]) * config.epochs // 10)
        config = config.model_copy(update={"evaluate_every": most})
    train(
        objective,
        batches["train"],
        valid=batches["valid"],
        config=config,
        folder=out / CHECKPOINTS,
        seed=recipe.seed,
        identity={"recipe": recipe.to_dict(), "data": pairs.fingerprint},
        budget=budget,
        progress=progress,
    )
    objective.cpu().eval()


def _choose_share(
    space: Space, kinds: Mapping[str, str], valid: Mapping[str, Features], *, went_on: bool, progress: Progress
) -> None:
    """How much the linear maps count, by the validation part; of equal scores both alike.

    Maps that know more than these pairs, as they ``went_on`` from others, count alone unless towers surely add to them.
    """
    scores = {}
    for share in _SHARES:
        space.share = share
        scores[share] = measure_space(space, kinds, valid).score()
    space.share = max(scores, key=lambda share: (scores[share], -abs(share - 0.5)))
    if went_on and scores[space.share] < scores[1.0] + surely_better(len(next(iter(valid.values())))):
        space.share = 1.0
    shown = ", ".join(f"{share:g}: {score:.3f}" for share, score in scores.items())
    progress.say(f"Share of the linear maps, mrr on the validation part: {shown}; {space.share:g} is kept")


def measure_space(
    space: Space, kinds: Mapping[str, str], features: Mapping[str, Features], *, with_sets: bool = True
) -> MatchMeasure:
    """What ``space`` is worth on rows of features; ``with_sets`` as it compares them, otherwise by vectors alone."""
    space.eval()
    with_sets = with_sets and space.compares_sets
    rows: dict[str, NDArray[Any]] = {}
    for name, kind in kinds.items():
        each = features[name]
        rows[f"{name}/query"] = space.embed(kind, each, as_query=True)
        rows[f"{name}/vector"] = space.embed(kind, each)
        rows[f"{name}/present"], rows[f"{name}/content"] = each.present, each.content
        if with_sets:
            sets = space.sets(kind, each)
            rows[f"{name}/tokens"], rows[f"{name}/mask"] = sets.values, sets.mask
    matching = space.matching if with_sets else "pooled"
    return MatchMeasure(rows, "mrr", True, kinds=dict(kinds), matching=matching, share=1 - space.share)


def _assess(space: Space, recipe: MatchRecipe, pairs: Pairs, *, progress: Progress) -> dict[str, Any]:
    """What the space is worth on every part but the training one, beside chance and each of its parts alone."""
    rows = {split: len(table) for split, table in pairs.tables.items()}
    parts = {split: part for split, part in pairs.features.items() if split != "train"}
    results = _results(space, pairs.kinds, parts, rows, seed=recipe.seed)
    main, by_chance = results["metrics"][pairs.final], results["others"]["chance"]
    progress.say(
        f"On {rows[pairs.final]:,} rows of {pairs.final}: recall@1 {main['recall@1']:.3f}, "
        f"recall@10 {main['recall@10']:.3f}; by chance {by_chance['recall@10']:.3f}"
    )
    return results | {"alignment": recipe.space.alignment.kind if space.has_networks else None}


def evaluate_space(matcher: Matcher, data: Any, *, max_bad: float = 0.05, progress: Progress) -> dict[str, Any]:
    """What the space of ``matcher`` is worth on other pairs, as the results of a run.

    Raises:
        DataError: the data cannot be read, lack an input, or too many of their files are unusable.
    """
    table, features = read_rows(matcher, data, max_bad=max_bad, progress=progress)
    seed, rows = matcher.recipe.seed, {"test": len(table)}
    found = _results(matcher.space, matcher.kinds, {"test": features}, rows, seed=seed)
    return found | {"alignment": matcher.results.get("alignment")}


def _results(
    space: Space,
    kinds: Mapping[str, str],
    parts: Mapping[str, Mapping[str, Features]],
    rows: Mapping[str, int],
    *,
    seed: int,
) -> dict[str, Any]:
    metrics, bounds = {}, {}
    for split, features in parts.items():
        measure = measure_space(space, kinds, features)
        metrics[split] = measure.metrics()
        bounds[split] = {name: list(pair) for name, pair in intervals(measure, seed=seed).items()}
    final = list(parts.values())[-1]
    counts = {name: len(np.unique(each.content[each.present])) for name, each in final.items() if each.present.any()}
    return {
        "task": "match",
        "metrics": metrics,
        "intervals": bounds,
        "others": {"chance": chance(list(counts.values())), **_plain_answers(space, kinds, final)},
        "found_among": counts,
        "rows": dict(rows),
        "inputs": dict(kinds),
        "score_name": "mrr",
        "share_of_linear_maps": space.share,
        "matching": space.matching,
    }


def _plain_answers(
    space: Space, kinds: Mapping[str, str], features: Mapping[str, Features]
) -> dict[str, dict[str, float]]:
    """What the linear maps and the towers reach alone, and frozen encoders as they are where inputs are of one kind."""
    found = {}
    kept = space.share
    for name, share in (("linear maps alone", 1.0), ("towers alone", 0.0)):
        if space.maps and space.has_networks:
            space.share = share
            found[name] = measure_space(space, kinds, features).metrics()
    space.share = kept
    if space.compares_sets:
        found["means of sets"] = measure_space(space, kinds, features, with_sets=False).metrics()
    if len(space.widths) == 1:
        ((kind, width),) = space.widths.items()
        as_they_are = Space({kind: width}, dim=0, hidden=0, linear_dim=width)
        found["frozen encoders alone"] = measure_space(as_they_are, kinds, features).metrics()
    return found
