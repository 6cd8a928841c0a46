"""The floor as data: which members are tried, on which frozen encoders, and whether a network joins them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from tonggan.config import Config
from tonggan.errors import ConfigError
from tonggan.floor.base import MemberConfig
from tonggan.floor.frozen import find_frozen, installed_weights, reads_vectors

Preset = Literal["fast", "balanced", "best"]

# With more rows one part to choose by is as good as folds, and several times as fast.
_FOLDED_ROWS = 5_000
# With fewer rows a network that starts from random weights adds nothing to what frozen encoders say.
_NETWORK_ROWS = 2_000
_NETWORK_CLIPS = 200
# Up to so many rows, these are among the best of all that is fitted to numbers, and take no long time.
_FEW_ROWS = 1_500
_OF_FEW_NUMBERS = ("svm", "gaussian_process")
# Those not named after their kind: what differs most and so adds most, and what is not the run's own network.
_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "boosted_trees_random": {"kind": "boosted_trees", "random_thresholds": True},
    "small_network": {"kind": "network"},
}
_PARTS = {"table": "cells", "text": "texts", "code": "texts"}  # of a Reading, by kind of input; vectors are another
_MEMBERS: Mapping[Preset, Sequence[str]] = {
    "fast": ("linear", "tfidf", "boosted_trees"),
    "balanced": (
        "linear",
        "tfidf",
        "boosted_trees",
        "boosted_trees_random",
        "extra_trees",
        "small_network",
        "neighbors",
    ),
    "best": (
        "linear",
        "tfidf",
        "boosted_trees",
        "boosted_trees_random",
        "random_forest",
        "extra_trees",
        "svm",
        "small_network",
        "neighbors",
    ),
}


def members_of(preset: Preset, *, few_numbers: bool = False) -> dict[str, MemberConfig]:
    """What a preset tries, by name; more where numbers are predicted from few rows."""
    names = [*_MEMBERS[preset]]
    if few_numbers and preset != "fast":
        names += [name for name in _OF_FEW_NUMBERS if name not in names]
    return {name: MemberConfig.model_validate(_VARIANTS.get(name, {"kind": name})) for name in names}


class FloorConfig(Config):
    """Members that are no networks, of which those that pay are kept."""

    preset: Preset = "balanced"
    """'fast' fits a few members in seconds; 'balanced' fits more, and a network if it may help; 'best' fits all of
    them, on more folds."""
    weights: dict[str, str | None] = Field(default_factory=dict)
    """By input, the frozen encoder whose embeddings are read (see 'tonggan weights list'); null for none. Inputs that
    are not named use what is installed."""
    members: dict[str, MemberConfig] = Field(default_factory=dict)
    """Members by a name of your choice; without any, those of the preset."""
    folds: int | None = Field(default=None, ge=0, le=20)
    """Number of folds: members are chosen by their out-of-fold predictions; 0 chooses by the validation part. The
    default depends on the number of rows."""
    network: bool | None = None
    """Whether to train a network too; by default, the preset and the number of rows decide."""
    max_members: int = Field(default=5, ge=1, le=50)
    """Maximum number of members to keep."""

    def resolve(
        self, inputs: Mapping[str, str], *, latin: Collection[str], num_rows: int, has_numbers: bool = False
    ) -> FloorConfig:
        """The same with every choice made.

        Args:
            inputs: the kind of modality of each input.
            latin: the inputs whose texts are written in Latin letters.
            num_rows: of the training part.
            has_numbers: whether numbers are predicted.

        Raises:
            ConfigError: weights are named for an input that does not exist, or that has no use for them, or a member
                that finds nothing to read.
        """
        unknown = set(self.weights) - set(inputs)
        if unknown:
            raise ConfigError(
                "floor.weights",
                got=", ".join(sorted(unknown)),
                expected="names among the inputs " + ", ".join(inputs),
                remedy="Correct the name",
            )
        weights = {
            name: self.weights[name] if name in self.weights else installed_weights(kind, is_latin=name in latin)
            for name, kind in inputs.items()
            if reads_vectors(kind)
        }
        for name, chosen in weights.items():
            if chosen is not None:
                find_frozen(inputs[name], chosen)
        unread = any(weights.get(name) is None for name, kind in inputs.items() if kind not in _PARTS)
        return self.model_copy(
            update={
                "weights": weights,
                "members": self._members(inputs, weights, few_numbers=has_numbers and num_rows <= _FEW_ROWS),
                "folds": self._folds(num_rows) if self.folds is None else self.folds,
                "network": self._network(inputs, unread, num_rows) if self.network is None else self.network,
            }
        )

    def _members(
        self, inputs: Mapping[str, str], weights: Mapping[str, str | None], *, few_numbers: bool
    ) -> dict[str, MemberConfig]:
        """Those that find something to read; one of a preset that does not is no member of this run."""
        members = self.members or members_of(self.preset, few_numbers=few_numbers)
        parts = {_PARTS[kind] for kind in inputs.values() if kind in _PARTS}
        parts |= {"vectors"} if any(weights.values()) else set()
        reading = {name: member for name, member in members.items() if member.reads & parts}
        if self.members and reading != members:
            unread = ", ".join(name for name in members if name not in reading)
            given = ", ".join(f"{name} ({kind})" for name, kind in inputs.items())
            raise ConfigError(
                "floor.members",
                got=f"{unread}, with nothing to read among {given}",
                expected="members that read one of the inputs: texts, cells, or vectors of a frozen encoder",
                remedy="Leave it out, or give it an input, e.g. --set columns.NAME.kind=text",
            )
        return reading

    def _folds(self, num_rows: int) -> int:
        if num_rows > (_FOLDED_ROWS if self.preset == "balanced" else 4 * _FOLDED_ROWS):
            return 0
        return {"fast": 3, "balanced": 5, "best": 8}[self.preset]

    def _network(self, inputs: Mapping[str, str], unread: bool, num_rows: int) -> bool:
        if unread or self.preset != "balanced":
            return unread or self.preset == "best"
        if "video" in inputs.values():  # how things move no frozen encoder says
            return num_rows >= _NETWORK_CLIPS
        return num_rows >= _NETWORK_ROWS and set(inputs.values()) != {"table"}
