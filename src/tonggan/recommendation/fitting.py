"""From tables of interactions, items and users to a recommender: read, split, choose, measure once, save."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tonggan.data.doctor import Diagnosis
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.errors import DataError
from tonggan.evaluation.report import page
from tonggan.files import whole_file
from tonggan.floor.base import CannotFitError, Floats
from tonggan.progress import Progress
from tonggan.recommendation.base import Content, Scorer, ScorerConfig
from tonggan.recommendation.blend import Blend, Tried, Weighted, measured, try_members, weigh, weigh_cold
from tonggan.recommendation.config import RecommendationConfig
from tonggan.recommendation.content import Role, attributes_of, read_things
from tonggan.recommendation.interactions import Read, read_interactions
from tonggan.recommendation.item_neighbors import ItemNeighborsConfig
from tonggan.recommendation.kept import read_member, write_member
from tonggan.recommendation.measure import METRICS, of_items
from tonggan.recommendation.popularity import Popularity, PopularityConfig
from tonggan.recommendation.recommender import Recommender
from tonggan.recommendation.splits import TEST, VALID, Split, split_interactions
from tonggan.runs.bundle_folder import RECOMMENDER
from tonggan.runs.results import Results
from tonggan.runs.run_folder import TRIALS, claimed, finish, remember
from tonggan.wording import Words

_FINAL_SHARE = 0.6  # of a time limit for choosing; as much again is needed once more at most, for fitting it anew
BLEND = "blend"
REPORT = "report.html"
_SHOWN = ("recall", "hit_rate", "mrr", "coverage", "popularity_bias")


def fit_recommender(
    interactions: Any,
    *,
    items: Any = None,
    users: Any = None,
    out: Path,
    config: RecommendationConfig,
    overwrite: bool = False,
    time_limit: float | None = None,
    progress: Progress,
) -> Recommender:
    """Learn who may like what, measure it on what came last, and save it; a run that was stopped goes on.

    Args:
        interactions: table of users and items, perhaps with ratings and times; whatever ``open_table`` takes.
        items: table of the items' columns.
        users: table of the users' columns.
        out: the run's folder.
        config: settings.
        overwrite: replace a recommender that is already in ``out``.
        time_limit: seconds for all of it.
        progress: told of every step.

    Raises:
        DataError: the tables cannot be used.
        BundleError: ``out`` holds a finished run, or cannot be written.
        ConfigError: ``out`` holds an unfinished run of other tables or settings.
    """
    started = time.monotonic()
    with claimed(out, overwrite=overwrite, index=RECOMMENDER):
        read = read_interactions(
            open_table(interactions, cache=cache_folder(), progress=progress),
            config.columns,
            threshold=config.threshold,
        )
        config = config.model_copy(update={"columns": read.columns, "threshold": read.interactions.threshold or 0})
        read, content, people = _with_tables(read, items, users, config, progress=progress)
        split, findings = split_interactions(
            read.interactions, config.split, seed=config.seed, content=content, people=people
        )
        diagnosis = Diagnosis([*read.findings, *findings], read.quarantine, {"interactions": len(read.interactions)})
        _tell(read, split, diagnosis, out, progress)
        remember(out, f"# data: {_fingerprint(split)}\n{config.to_yaml()}", overwrite=overwrite)
        deadline = math.inf if time_limit is None else started + _FINAL_SHARE * time_limit
        made = _make(split, config, deadline=deadline, folder=out / TRIALS, progress=progress)
        results = Results({**made.pop("results"), **_described(read, split, config, diagnosis)})
        results["seconds"] = time.monotonic() - started
        given, attributes = read.interactions, attributes_of(content, len(read.interactions.items))
        recommender = Recommender(
            config, given.users, given.items, given.liked(), given.all(), made["blend"], attributes, results, out
        )
        write_report(out / REPORT, results, title=read.source)
        recommender.save(out)
        finish(out)
    return recommender


def _fingerprint(split: Split) -> str:
    """A hash of all that members learn from and are chosen by."""
    given, digest = split.interactions, hashlib.sha256()
    arrays = [given.user, given.item, given.is_liked, split.parts, *([] if given.times is None else [given.times])]
    for content in (split.content, split.people):
        if content is not None:
            matrix = content.attributes
            arrays += [matrix.data, matrix.indices, matrix.indptr, content.vectors]
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _tell(read: Read, split: Split, diagnosis: Diagnosis, out: Path, progress: Progress) -> None:
    for line in [*_opening(read, split), *diagnosis.told()]:
        progress.say(line)
    if diagnosis.quarantine:
        diagnosis.write_quarantine(out / "quarantine.csv")


def _with_tables(
    read: Read, items: Any, users: Any, config: RecommendationConfig, *, progress: Progress
) -> tuple[Read, Content | None, Content | None]:
    """``read`` with the items and users of their own tables, and what is known of these."""
    found: dict[Role, Content | None] = {"item": None, "user": None}
    given = read.interactions
    findings = list(read.findings)
    tables: list[tuple[Role, Any, Any]] = [("item", items, config.items), ("user", users, config.users)]
    for role, source, kinds in tables:
        if source is None:
            continue
        known, found[role], told = read_things(
            source,
            given.items if role == "item" else given.users,
            role=role,
            column=str(read.columns.item if role == "item" else read.columns.user),
            kinds=kinds,
            cache=cache_folder(),
            progress=progress,
        )
        given = replace(given, items=known) if role == "item" else replace(given, users=known)
        findings += told
    return replace(read, interactions=given, findings=findings), found["item"], found["user"]


def _make(
    split: Split, config: RecommendationConfig, *, deadline: float, folder: Path, progress: Progress
) -> dict[str, Any]:
    """The blend that pays, fitted to all that lies before the test part, and what it is worth there."""
    examples, held = split.examples(VALID), split.held(VALID, seed=config.seed)
    configs = {
        name: each
        for name, each in config.members.items()
        if each is not None and (examples.content is not None or not each.needs_content)
    }
    tried, members = try_members(
        configs,
        examples,
        held,
        k=config.k,
        seed=config.seed,
        deadline=deadline,
        folder=folder / "valid",
        progress=progress,
    )
    if not members:
        problems = "; ".join(each.problem or "" for each in tried)
        raise DataError(
            "members of the recommender",
            got=f"none that could be fitted ({problems})",
            expected="one at least",
            remedy="Give more interactions, or other members with --set members.popularity.kind=popularity",
        )
    popularity = examples.histories.counts()
    settings: dict[str, Any] = {"popularity": popularity, "seed": config.seed}
    weights = weigh(members, held, k=config.k, **settings)
    cold_weights = {} if examples.content is None else weigh_cold(members, held, cold=config.cold, **settings)
    tried = [
        replace(each, weight=weights.get(each.name, 0.0), cold_weight=cold_weights.get(each.name, 0.0))
        for each in tried
    ]
    for line in told_of(tried, k=config.k):
        progress.say(line)
    blend = _blend(tried, members, popularity, cold=config.cold)
    valid = measured(blend.score, held, k=config.k, popularity=popularity)
    blend, test = _final(split, config, tried, folder=folder / "test", progress=progress)
    results = {
        "members": [
            {
                "name": each.name,
                "score": each.score,
                "weight": each.weight,
                "cold_weight": each.cold_weight,
                "seconds": each.seconds,
                "settings": None if each.config is None else each.config.to_dict(),
                "problem": each.problem,
            }
            for each in tried
        ],
        "valid": valid.table(seed=config.seed),
        "test": test,
    }
    return {"blend": blend, "results": results}


def _final(
    split: Split, config: RecommendationConfig, tried: list[Tried], *, folder: Path, progress: Progress
) -> tuple[Blend, dict[str, Any]]:
    """Fit with the chosen settings to all before the test part, and measure each member and the blend there, once."""
    examples, held = split.examples(TEST), split.held(TEST, seed=config.seed)
    members: dict[str, Scorer] = {}
    for each in progress.track([each for each in tried if each.config is not None], label="Fitting again"):
        assert each.config is not None
        try:
            path = folder / f"{each.name}.safetensors"
            if not path.exists():
                training = folder / each.name
                write_member(path, each.config.fit(examples, seed=config.seed, seconds=math.inf, folder=training))
            members[each.name] = read_member(path)
        except CannotFitError:  # which would need other settings than those that were chosen
            tried = [
                replace(other, weight=0.0, cold_weight=0.0) if other.name == each.name else other for other in tried
            ]
    popularity = examples.histories.counts()
    blend = _blend(tried, members, popularity, cold=config.cold)
    scorers = {**{name: member.score for name, member in members.items()}, BLEND: blend.score}
    is_cold = popularity <= config.cold
    cold = of_items(held, is_cold)
    parts: Mapping[str, Any] = {
        "warm": {
            name: measured(score, held, k=config.k, popularity=popularity).table(seed=config.seed)
            for name, score in scorers.items()
        },
        "cold": {
            name: measured(score, cold, k=config.k, popularity=popularity, allowed=is_cold).table(seed=config.seed)
            for name, score in scorers.items()
        }
        if len(cold)
        else {},
    }
    return blend, {
        **parts,
        "users": len(held),
        "cold_users": len(cold),
        "num_cold": int(is_cold.sum()),
        "new_users": split.num_new_users(TEST),
    }


def _blend(tried: list[Tried], members: Mapping[str, Scorer], popularity: Floats, *, cold: int) -> Blend:
    """The members that were kept; of two kinds of weights each adds up to 1. Neighbors stay to find similar items."""
    there = [each for each in tried if each.name in members]
    total = sum(each.weight for each in there) or 1.0
    total_cold = sum(each.cold_weight for each in there) or 1.0
    weighted = {
        each.name: Weighted(members[each.name], each.weight / total, each.cold_weight / total_cold)
        for each in there
        if each.weight > 0 or each.cold_weight > 0 or isinstance(each.config, ItemNeighborsConfig)
    }
    return Blend(weighted, Popularity(PopularityConfig(), popularity), cold=cold)


def _opening(read: Read, split: Split) -> list[str]:
    """What a person is told before anything is learned."""
    given = read.interactions
    columns = read.columns
    users, items = len(np.unique(given.user)), len(np.unique(given.item))
    likes = int(given.is_liked.sum())
    counted = f"{len(given):,} interactions of {users:,} users with {items:,} items, {likes:,} of them likes."
    if given.threshold is not None:
        least = f"{given.threshold:g}"
        counted = (
            f"{len(given):,} interactions of {users:,} users with {items:,} items, {likes:,} rated {least} or more."
        )
    lines = [
        f"Columns: user '{columns.user}', item '{columns.item}', rating '{columns.rating}', time '{columns.time}'.",
        counted,
    ]
    rows = [split.num_rows(part) for part in (0, VALID, TEST)]
    lines.append(
        f"Parts ({split.kind}): {rows[0]:,} to learn from, {rows[1]:,} to choose by, {rows[2]:,} for the test."
    )
    return lines


def told_of(tried: list[Tried], *, k: int) -> list[str]:
    """How each member did, and what it weighs."""
    lines = [f"Members, by nDCG@{k} on the part to choose by; those that raise it are kept:"]
    for each in tried:
        if each.score is None:
            lines.append(f"  {each.name}: left out ({each.problem})")
        else:
            lines.append(
                f"  {each.name}: {each.score:.4f}, weight {each.weight:.2f}, {each.cold_weight:.2f} among items with "
                f"few likes, {each.seconds:.1f} s"
            )
    return lines


def _described(read: Read, split: Split, config: RecommendationConfig, diagnosis: Diagnosis) -> dict[str, Any]:
    given = read.interactions
    described: dict[str, Any] = {
        "task": "recommend",
        "k": config.k,
        "cold": config.cold,
        "score_name": f"nDCG@{config.k}",
        "columns": read.columns.to_dict(),
        "interactions": len(given),
        "likes": int(given.is_liked.sum()),
        "threshold": given.threshold,
        "users": len(given.users),
        "items": len(given.items),
        "split": {
            "kind": split.kind,
            "rows": {n: split.num_rows(p) for n, p in (("train", 0), ("valid", 1), ("test", 2))},
        },
        "findings": [finding.to_dict() for finding in diagnosis.findings],
    }
    return described


def write_report(path: Path, results: Mapping[str, Any], *, title: str) -> None:
    """Write what was measured as one self-contained page in English and Chinese."""
    kinds = {each["name"]: (each["settings"] or {}).get("kind") for each in results["members"]}
    family = ScorerConfig.family()
    members = {name: family[kind].words if kind else Words(name, name) for name, kind in kinds.items()}
    told = {name: results[name] for name in ("columns", "threshold", "split", "members")}
    text = page(
        "recommendation.html",
        content={**results, "title": title},
        tables=[(part, results["test"][part]) for part in ("warm", "cold") if results["test"][part]],
        members={**members, BLEND: Words("weighted together", "加权组合")},
        metrics=METRICS,
        names=_SHOWN,
        settings=json.dumps(told, ensure_ascii=False, indent=1, default=str),
    )
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
