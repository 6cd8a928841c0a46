"""Whatever stands in the files of a bundle, opening it names the file and what to do, soon and in little memory."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import struct
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.torch import load, save

import ensemble_scene
import tonggan
from damage_scene import changed, places
from tonggan.errors import BundleError
from tonggan.runs.bundle_folder import FILES

WRONG: list[Any] = [
    None,
    True,
    -1,
    10**9,
    10**30,
    float("inf"),
    float("nan"),
    "",
    "x" * 100_000,
    [],
    ["a", 1],
    {},
    {"a": []},
]
NESTED = "[" * 100_000 + "]" * 100_000
SECONDS = 20
BYTES = 1 << 30


@pytest.fixture
def copied(finished: tonggan.Predictor, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.folder, tmp_path / "copy"))


@pytest.fixture(params=["finished", "members"])
def any_copied(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Of a network, and of members."""
    return Path(shutil.copytree(request.getfixturevalue(request.param).folder, tmp_path / "copy"))


def write(folder: Path, name: str, content: bytes) -> None:
    """Write a file, and its checksum into the index, as who edits a bundle by hand would."""
    (folder / name).write_bytes(content)
    if name in FILES:
        index = json.loads((folder / "bundle.json").read_bytes())
        index["files"][name] = hashlib.sha256(content).hexdigest()
        (folder / "bundle.json").write_text(json.dumps(index))


def opened(folder: Path, name: str) -> str:
    """``opened`` or ``refused``: in bounded time and memory, by an error that names the file and a remedy."""
    begin, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problem = None
    try:
        tonggan.load(folder)
    except BundleError as error:
        problem = error
    assert time.process_time() - begin < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES
    if problem is None:
        return "opened"
    assert name in str(problem)
    assert problem.remedy
    assert len(str(problem)) < 2_000
    return "refused"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bundle.json", "inputs.json", "recipe.yaml"])
def test_every_value_may_be_any_other(any_copied: Path, name: str) -> None:
    """What opens all the same is a setting that may have that value; all others are refused by name."""
    content = (any_copied / name).read_bytes()
    data = yaml.safe_load(content) if name == "recipe.yaml" else json.loads(content)
    dump = partial(yaml.dump, Dumper=yaml.CSafeDumper) if name == "recipe.yaml" else json.dumps
    random = np.random.default_rng(0)
    all_places = [
        place for place in places(data) if name != "bundle.json" or place[:1] not in (("results",), ("created",))
    ]
    refused = 0
    for place in all_places:
        for new in [WRONG[index] for index in random.choice(len(WRONG), size=2, replace=False)]:
            write(any_copied, name, dump(changed(data, place, new)).encode())
            refused += opened(any_copied, name) == "refused"
        if place:
            write(any_copied, name, dump(changed(data, place, changed)).encode())
            opened(any_copied, name)
    assert refused > len(all_places) / 2
    write(any_copied, name, content)
    assert opened(any_copied, name) == "opened"


@pytest.mark.parametrize("name", ["bundle.json", "inputs.json", "recipe.yaml", "weights.safetensors"])
def test_no_content_is_taken_for_a_bundle(any_copied: Path, name: str) -> None:
    content = (any_copied / name).read_bytes()
    bombs = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n".encode() for i in range(9)
    )
    for damaged in (
        b"", b"\0" * 1000, content[: len(content) // 2], content[:-1], content[1:], b"\xff\xfe" + content, b"[]", b"{}",
        NESTED.encode(), b'{"a":' * 100_000, bombs, b'{"format": 1e400}', b'{"format": ' + b"9" * 5000 + b"}",
        struct.pack("<Q", 1 << 60) + content[8:], struct.pack("<Q", 2) + b"{}",
    ):  # fmt: skip
        if name == "bundle.json" or damaged != content:
            write(any_copied, name, damaged)
            # A recipe that ends between two fields is a recipe.
            is_whole = damaged == content[:-1] or (name == "recipe.yaml" and damaged == content[: len(content) // 2])
            assert opened(any_copied, name) == "refused" or is_whole, damaged[:40]
        write(any_copied, name, content)


def test_members_whose_parts_do_not_fit_together_are_refused(members: tonggan.Predictor, tmp_path: Path) -> None:
    """Whatever was changed with a right checksum, a member that opens answers."""
    copied = Path(shutil.copytree(members.folder, tmp_path / "copy"))
    rows = ensemble_scene.frame(5, seed=1)
    whole = load((copied / "weights.safetensors").read_bytes())
    refused = 0
    for name, array in list(whole.items())[:: max(1, len(whole) // 16)]:
        others = {other: each for other, each in whole.items() if other != name}
        for new in (array[:-1], array.unsqueeze(0), array.double() * 1e9, -array.int(), None):
            left = others if new is None else {**others, name: new}
            write(copied, "weights.safetensors", save({key: each.contiguous() for key, each in left.items()}))
            if opened(copied, "weights.safetensors") == "refused":
                refused += 1
            else:
                assert tonggan.load(copied).predict_proba(rows).shape == (5, 2), name
    assert refused > 32


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("model", "encoders", "table", "num_layers"), 10**9),
        (("model", "dim"), 8 * 10**9),
        (("model", "dim"), 1 << 20),
        (("model", "encoders", "note", "num_layers"), 1000),
    ],
)
def test_a_model_that_its_weights_are_not_of_is_not_built(copied: Path, place: tuple[str, ...], value: int) -> None:
    recipe = yaml.safe_load((copied / "recipe.yaml").read_bytes())
    write(copied, "recipe.yaml", yaml.safe_dump(changed(recipe, place, value)).encode())
    assert opened(copied, "recipe.yaml") == "refused"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("inputs", "note", "state", "tokenizer"), '{"model": 1}'),
        (("inputs", "note", "state", "tokenizer"), NESTED),
        (("inputs", "table", "state", "scales", "size"), [0.0, 0.0]),
        (("inputs", "table", "state", "scales", "size"), [float("nan"), 1.0]),
        (("inputs", "table", "state", "scales"), {}),
        (("inputs", "table", "state", "categories"), []),
    ],
)
def test_what_was_fitted_is_checked(copied: Path, place: tuple[str, ...], value: Any) -> None:
    inputs = json.loads((copied / "inputs.json").read_bytes())
    write(copied, "inputs.json", json.dumps(changed(inputs, place, value)).encode())
    assert opened(copied, "inputs.json") == "refused"
