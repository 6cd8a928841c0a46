"""What the presets choose."""

from __future__ import annotations

import pytest

from tonggan.errors import ConfigError
from tonggan.floor.config import FloorConfig, members_of

TABLE, MIXED = {"table": "table"}, {"table": "table", "note": "text"}
NONE = {"note": None}  # whatever is installed


def resolved(inputs: dict[str, str], rows: int, **fields: object) -> FloorConfig:
    return FloorConfig.parse(fields, who="floor").resolve(inputs, latin=[], num_rows=rows)


def test_each_preset_tries_what_the_one_before_tries_and_more() -> None:
    fast, balanced, best = (members_of(preset) for preset in ("fast", "balanced", "best"))
    assert set(fast) < set(balanced) < set(best)
    assert all(config == best[name] for name, config in {**fast, **balanced}.items())


@pytest.mark.parametrize(
    ("preset", "inputs", "rows", "folds", "network"),
    [
        ("fast", TABLE, 100, 3, False),
        ("fast", MIXED, 10_000, 3, False),
        ("fast", MIXED, 30_000, 0, False),
        ("balanced", TABLE, 100, 5, False),
        ("balanced", MIXED, 100, 5, False),
        ("balanced", MIXED, 2_000, 5, True),
        ("balanced", TABLE, 6_000, 0, False),
        ("best", TABLE, 100, 8, True),
        ("fast", {"photo": "image"}, 100, 3, True),
    ],
)
def test_a_preset_depends_on_inputs_and_rows(
    preset: str, inputs: dict[str, str], rows: int, folds: int, *, network: bool
) -> None:
    weights = {name: None for name, kind in inputs.items() if kind != "table"}
    found = resolved(inputs, rows, preset=preset, weights=weights)
    assert (found.folds, found.network) == (folds, network)
    assert found.members.keys() <= members_of(found.preset).keys()


READ = {"table": TABLE, "text": {"note": "text"}, "both": MIXED, "nothing": {"photo": "image"}}


@pytest.mark.parametrize(
    ("inputs", "left_out"),
    [
        ("table", {"tfidf"}),
        ("text", {"linear", "boosted_trees"}),
        ("both", set()),
        ("nothing", {"linear", "tfidf", "boosted_trees"}),
    ],
)
def test_members_that_have_nothing_to_read(inputs: str, left_out: set[str]) -> None:
    """A preset does without them; whoever names one is told."""
    kinds, members = READ[inputs], members_of("fast")
    weights = {name: None for name, kind in kinds.items() if kind != "table"}
    assert members.keys() - resolved(kinds, 100, preset="fast", weights=weights).members.keys() == left_out
    if left_out:
        said = f"{', '.join(name for name in members if name in left_out)}, with nothing to read"
        with pytest.raises(ConfigError, match=said):
            resolved(kinds, 100, members=members, weights=weights)


def test_no_member_of_a_preset_is_named_as_the_network_of_the_run_is_called() -> None:
    assert "network" not in members_of("best"), "a run told to train no network tells of one"
    assert members_of("best")["small_network"].kind == "network"


def test_few_rows_of_numbers_have_members_of_their_own() -> None:
    def tried(rows: int, *, has_numbers: bool, preset: str = "balanced") -> set[str]:
        floor = FloorConfig.parse({"preset": preset}, who="floor")
        found = floor.resolve(TABLE, latin=[], num_rows=rows, has_numbers=has_numbers)
        return {"svm", "gaussian_process"} & set(found.members)

    assert tried(300, has_numbers=True) == {"svm", "gaussian_process"}
    assert tried(300, has_numbers=False) == tried(5_000, has_numbers=True) == set()
    assert tried(300, has_numbers=True, preset="fast") == set()
    assert tried(300, has_numbers=True, preset="best") == {"svm", "gaussian_process"}


def test_what_is_set_stays() -> None:
    found = resolved(
        MIXED, 100, weights=NONE, folds=2, network=True, members={"mine": {"kind": "linear"}}, max_members=1
    )
    assert (found.folds, found.network, list(found.members), found.max_members) == (2, True, ["mine"], 1)
    assert found.weights == NONE


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"notes": None}, "notes"),
        ({"note": "efficientnet_lite0"}, "efficientnet_lite0"),
        ({"note": "nosuch"}, "nosuch"),
    ],
)
def test_weights_that_do_not_suit_are_refused(weights: dict[str, str | None], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolved(MIXED, 100, weights=weights)
