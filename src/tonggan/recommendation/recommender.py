"""A finished recommender: what a user, a newcomer with a few likes, or who looks at an item may like, and why.

======================  =====================================================================
recommender.json        settings, ids, members, results, SHA-256 of the arrays
recommender.safetensors  who liked what, and what the members have learned
======================  =====================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt
from safetensors.numpy import load_file, save

from tonggan.data.fetch import sha256_of
from tonggan.errors import BundleError, DataError
from tonggan.files import whole_file
from tonggan.floor.base import Floats, Stored
from tonggan.recommendation.base import Histories, Places, ScorerConfig
from tonggan.recommendation.blend import Blend, Weighted
from tonggan.recommendation.config import RecommendationConfig
from tonggan.recommendation.content import Attributes
from tonggan.recommendation.ids import Ids
from tonggan.recommendation.measure import top_items
from tonggan.recommendation.popularity import Popularity, PopularityConfig
from tonggan.runs.bundle import versions
from tonggan.runs.bundle_folder import RECOMMENDER, read_index
from tonggan.runs.results import Results
from tonggan.stored import Record, named, read_record
from tonggan.tasks.labels import LabelType

ARRAYS = "recommender.safetensors"
FORMAT = 1
_MOST_REASONS = 3
_DAMAGED = "The run is damaged: copy it again from where it was made, or fit again"


@dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes:
        item: its id, of the type that the table has.
        title: what it is called; None without a table of items.
        score: the greater the better, comparable within one list alone.
        because: ids of what the user has liked that speaks most for it, the strongest first.
        shares: what it has in common with what the user has liked, such as ``genre: Comedy``.
        likes: how many users have liked it.
    """

    item: Any
    title: str | None
    score: float
    because: Sequence[Any] = ()
    because_titles: Sequence[str | None] = ()
    shares: Sequence[str] = ()
    likes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        because = [
            {"item": item, "title": title} for item, title in zip(self.because, self.because_titles, strict=True)
        ]
        return {
            "item": self.item,
            "title": self.title,
            "score": self.score,
            "because": because,
            "shares": list(self.shares),
            "likes": self.likes,
        }


@dataclass(frozen=True, eq=False)
class Recommender:
    """What ``tonggan fit … --task recommend`` makes, and ``tonggan.load`` reads.

    Attributes:
        config: all settings.
        users: ids of all known users.
        items: ids of all items.
        liked: what each user has liked, the test part included.
        seen: what each user has taken, liked or not.
        blend: the members.
        attributes: of the items.
        results: what was measured.
        folder: of the run; None before it is saved.
    """

    config: RecommendationConfig
    users: Ids
    items: Ids
    liked: Histories
    seen: Histories
    blend: Blend
    attributes: Attributes
    results: Results
    folder: Path | None = field(default=None)

    def recommend(
        self,
        user: Any = None,
        *,
        likes: Sequence[Any] | None = None,
        k: int = 10,
        include_seen: bool = False,
        few_likes: bool = False,
    ) -> list[Recommendation]:
        """The ``k`` items that a user may like most, the best first; fewer where there are no more.

        Args:
            user: id of a user of the table of interactions.
            likes: ids of items that someone else has liked, instead of a ``user``; none at all gives the most popular.
            k: how many.
            include_seen: whether what the user has taken already may be among them.
            few_likes: only items that hardly anybody had liked when the members learned, by their content.

        Raises:
            DataError: an unknown id, or neither or both of ``user`` and ``likes``.
        """
        if (user is None) == (likes is None):
            raise DataError(
                "recommend",
                got="both a user and likes" if user is not None else "neither a user nor likes",
                expected="one of them",
                remedy="Give the id of a known user, or what a new one has liked",
            )
        if likes is None:
            place = np.array([self.users.require(user, what="user")])
            liked, seen = self.liked.take(place), self.seen.take(place)
        else:
            places = list(dict.fromkeys(self.items.require(item, what="item") for item in likes))
            liked = seen = Histories.of([places], num_items=len(self.items))
        nothing = Histories.of([[]], num_items=len(self.items))
        scores, allowed = self.blend.score(liked), self.blend.is_cold if few_likes else None
        return self._told(liked[0], scores, nothing if include_seen else seen, k=k, allowed=allowed)

    def similar(self, item: Any, *, k: int = 10) -> list[Recommendation]:
        """The ``k`` items that are most like ``item``: for whoever liked it, their popularity aside.

        Raises:
            DataError: an unknown id.
        """
        history = Histories.of([[self.items.require(item, what="item")]], num_items=len(self.items))
        scores = self.blend.alike(int(history.items[0]))
        return self._told(history[0], scores[None], history, k=k)

    def _told(
        self,
        history: Places,
        scores: Floats,
        seen: Histories,
        *,
        k: int,
        allowed: NDArray[np.bool_] | None = None,
    ) -> list[Recommendation]:
        """The best items by ``scores`` ``[1, I]``, with their reasons in ``history``."""
        top = top_items(scores, seen, k=k, allowed=allowed)[0]
        top = top[top >= 0]
        added = self.blend.contributions(history, top)
        counts = self.liked.counts()
        told = []
        for item, parts in zip(top.tolist(), added, strict=True):
            strongest = [place for place in np.argsort(-parts, kind="stable")[:_MOST_REASONS] if parts[place] > 0]
            because = history[strongest].tolist()
            told.append(
                Recommendation(
                    self.items.values[item],
                    self.attributes.titles[item],
                    float(scores[0, item]),
                    [self.items.values[place] for place in because],
                    [self.attributes.titles[place] for place in because],
                    self.attributes.shared(history, item),
                    int(counts[item]),
                )
            )
        return told

    def save(self, folder: Path) -> None:
        """Write the recommender into ``folder``, each file whole or not at all, the index last.

        Raises:
            BundleError: the folder cannot be written.
        """
        arrays: dict[str, Any] = {f"liked.{name}": each for name, each in _arrays_of(self.liked).items()}
        arrays |= {f"seen.{name}": each for name, each in _arrays_of(self.seen).items()}
        arrays["popularity"] = self.blend.popularity.counts
        if self.attributes.matrix is not None:
            matrix = self.attributes.matrix
            arrays |= {
                "attributes.values": matrix.data.astype(np.float32),
                "attributes.columns": matrix.indices.astype(np.int64),
                "attributes.starts": matrix.indptr.astype(np.int64),
            }
        members = []
        for place, (name, each) in enumerate(self.blend.members.items()):
            stored = each.scorer.store()
            members.append(
                {
                    "name": name,
                    "weight": each.weight,
                    "cold_weight": each.cold_weight,
                    "config": each.scorer.config.to_dict(),
                    "plain": dict(stored.plain),
                }
            )
            arrays |= {f"members.{place}.{key}": np.ascontiguousarray(array) for key, array in stored.arrays.items()}
        index = {
            "format": FORMAT,
            "versions": versions(),
            "config": self.config.to_dict(),
            "users": {"names": self.users.names, "type": self.users.type},
            "items": {"names": self.items.names, "type": self.items.type},
            "titles": list(self.attributes.titles),
            "attributes": list(self.attributes.names),
            "members": members,
            "results": self.results,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with whole_file(folder / ARRAYS) as partial:
                partial.write_bytes(save({name: np.ascontiguousarray(each) for name, each in arrays.items()}))
            index["files"] = {ARRAYS: sha256_of(folder / ARRAYS)}
            with whole_file(folder / RECOMMENDER) as partial:
                partial.write_text(json.dumps(index, ensure_ascii=False, indent=1), encoding="utf-8")
        except OSError as error:
            raise BundleError(
                f"run folder {folder}",
                got=str(error),
                expected="a folder that can be written",
                remedy="Free space or choose another folder with --out, and run the same command again",
            ) from error

    @staticmethod
    def load(folder: Path) -> Recommender:
        """Read what ``save`` has written, with its SHA-256 verified.

        Raises:
            BundleError: no recommender, a damaged file, or a newer format.
        """
        index = read_record(_IndexFile, folder / RECOMMENDER, remedy=_DAMAGED, kind=BundleError)
        if index.format > FORMAT:
            raise BundleError(
                f"recommender {folder}",
                got=f"format {index.format} in {RECOMMENDER}",
                expected=f"format {FORMAT} or older",
                remedy="Update Tonggan: pip install --upgrade tonggan",
            )
        path = folder / ARRAYS
        actual = sha256_of(path) if path.is_file() else "no such file"
        if actual != index.files.get(ARRAYS):
            raise BundleError(
                f"file {path}",
                got=actual[:16],
                expected=f"SHA-256 {index.files.get(ARRAYS, '')[:16]}…, which {RECOMMENDER} says",
                remedy=_DAMAGED,
            )
        with named(
            f"recommender {folder}",
            expected=f"what Tonggan {index.versions.get('tonggan')} has written",
            remedy=_DAMAGED,
            kind=BundleError,
            passing=(),
        ):
            return _read(index, load_file(path), folder)


class _IdsEntry(Record):
    names: list[str]
    type: LabelType


class _MemberEntry(Record):
    name: str
    weight: float
    cold_weight: float
    config: dict[str, Any]
    plain: dict[str, Any]


class _IndexFile(Record):
    """The content of ``recommender.json``."""

    format: PositiveInt
    versions: dict[str, str]
    config: dict[str, Any]
    users: _IdsEntry
    items: _IdsEntry
    titles: list[str | None]
    attributes: list[str]
    members: list[_MemberEntry]
    results: dict[str, Any]
    files: dict[str, str]


def open_recommender(folder: Path) -> Recommender:
    """The recommender in ``folder``.

    Raises:
        BundleError: there is none; of another run the message says how it is used.
    """
    if is_recommender(folder):
        return Recommender.load(folder)
    read_index(folder)  # which says what is wrong where there is no run at all
    raise BundleError(
        f"run {folder}",
        got="a run that predicts a column",
        expected="a recommender, as 'tonggan fit … --task recommend' makes one",
        remedy=f"Use it with 'tonggan predict {folder}'",
    )


def is_recommender(folder: Path) -> bool:
    """Whether ``folder`` is that of a finished recommender."""
    return (folder / RECOMMENDER).is_file()


def _arrays_of(histories: Histories) -> dict[str, Places]:
    return {"starts": histories.starts, "items": histories.items}


def _read(index: _IndexFile, arrays: Mapping[str, Any], folder: Path) -> Recommender:
    users, items = (Ids(entry.names, entry.type) for entry in (index.users, index.items))
    num_items = len(items)

    def histories(name: str) -> Histories:
        found = Histories(arrays[f"{name}.starts"], arrays[f"{name}.items"], num_items, np.arange(len(users)))
        starts, places = found.starts, found.items
        if len(found) != len(users) or starts[0] != 0 or starts[-1] != len(places) or (found.lengths < 0).any():
            raise ValueError(f"{name}: parts that do not fit together")
        if len(places) and not (places.min() >= 0 and places.max() < num_items):
            raise ValueError(f"{name}: items that are not in the list")
        return found

    members = {}
    for place, entry in enumerate(index.members):
        before = f"members.{place}."
        own = {name.removeprefix(before): each for name, each in arrays.items() if name.startswith(before)}
        scorer = ScorerConfig.parse(entry.config, who=entry.name)
        members[entry.name] = Weighted(scorer.load(Stored(entry.plain, own)), entry.weight, entry.cold_weight)
    config = RecommendationConfig.parse(index.config, who=RECOMMENDER)
    blend = Blend(members, Popularity(PopularityConfig(), arrays["popularity"]), cold=config.cold)
    if (
        not np.isfinite(blend.score(Histories.of([[0], []], num_items=num_items))).all()
        or len(index.titles) != num_items
    ):
        raise ValueError("members whose scores are no finite numbers, or do not fit the items")
    attributes = Attributes(index.titles, index.attributes, _attributes(arrays, num_items, len(index.attributes)))
    results = Results(index.results)
    return Recommender(config, users, items, histories("liked"), histories("seen"), blend, attributes, results, folder)


def _attributes(arrays: Mapping[str, Any], num_items: int, num_names: int) -> Any:
    from scipy.sparse import csr_matrix

    if "attributes.values" not in arrays:
        return None
    parts = tuple(arrays[f"attributes.{name}"] for name in ("values", "columns", "starts"))
    matrix = csr_matrix(parts, shape=(num_items, num_names))
    matrix.check_format(full_check=True)
    return matrix
