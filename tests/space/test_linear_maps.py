import json
import shutil

import numpy as np
import pytest
import torch

import tonggan
from space_scene import NEEDS_ENCODERS, SETTINGS, color_table
from tonggan.errors import ConfigError
from tonggan.progress import Progress
from tonggan.space.config import MatchRecipe
from tonggan.space.fitting import measure_space
from tonggan.space.linear_maps import fit_linear, lead_of, surely_better
from tonggan.space.matcher import STARTER, open_space
from tonggan.space.pairs import read_pairs
from tonggan.space.towers import Space

pytestmark = NEEDS_ENCODERS
LINEAR = {
    **SETTINGS,
    "space.weights.text": "minilm",
    "space.parts": "linear",
    **{f"columns.{name}.kind": "ignore" for name in ("red", "green", "blue")},
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return color_table(tmp_path_factory.mktemp("colors"), pictures=True)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    return tonggan.fit_space(table, test=table, out=tmp_path_factory.mktemp("run") / "space", settings=LINEAR)


def few(table, folder):
    """The first twelve rows."""
    lines = table.read_text(encoding="utf-8").splitlines()[:13]
    path = table.parent / f"{folder.name}.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_few_pairs_go_on_from_what_another_space_knows(run, table, tmp_path):
    rows = few(table, tmp_path)
    went_on, anew = (
        tonggan.fit_space(rows, test=table, out=tmp_path / name, settings={**LINEAR, "space.start": start})
        for name, start in (("on", str(run.folder)), ("anew", None))
    )
    scores = [each.results["metrics"]["test"]["mrr"] for each in (went_on, anew)]
    assert scores[0] > scores[1] + 0.05
    assert went_on.space.maps["text"].weight.equal(run.space.maps["text"].weight)


def test_the_regression_minimizes_its_error_and_the_way_from_where_it_starts(run, table):
    recipe = MatchRecipe.parse({"space": {"parts": "linear", "weights": {"text": "minilm"}, "start": None}}, who="test")
    columns = run.recipe.columns
    pairs = read_pairs(recipe.model_copy(update={"columns": columns}), {"train": str(table)}, progress=Progress())
    widths = {kind: pairs.features["train"][name].values.shape[1] for name, kind in pairs.kinds.items()}
    space = Space(widths, dim=0, hidden=0, linear_dim=widths["text"])
    for name, kind in pairs.kinds.items():
        space.standardize(kind, pairs.features["train"][name])
    valid = pairs.features["valid"]
    fitted = fit_linear(
        space,
        pairs,
        start=str(run.folder),
        score=lambda: 1 + measure_space(space, pairs.kinds, valid).score() / 100,
        num_rows=len(valid["name"]),
    )
    assert fitted.start == str(run.folder)
    train, before = pairs.features["train"], run.space.maps["image"].weight.double()
    inputs = space.standardized("image", torch.from_numpy(train["picture"].values)).double()
    targets = space.maps["text"](torch.from_numpy(train["name"].values)).double()
    rows = torch.cat([inputs, fitted.penalty**0.5 * torch.eye(len(before), dtype=torch.float64)])
    wanted = torch.cat([targets, fitted.penalty**0.5 * before])
    np.testing.assert_allclose(space.maps["image"].weight, torch.linalg.lstsq(rows, wanted).solution, atol=1e-4)


def test_a_start_of_other_encoders_is_refused_and_the_one_that_comes_along_passed_over(run, table, tmp_path):
    starter, identities = open_space(STARTER)
    assert (starter.linear_dim, set(identities)) == (384, {"image", "text", "audio"})
    assert run.recipe.space.start == STARTER  # of which the texts are read by another encoder
    copy = shutil.copytree(run.folder, tmp_path / "copy")
    index = json.loads((copy / "space.json").read_text(encoding="utf-8"))
    index["frozen"]["text"]["identity"] = "0" * 16
    (copy / "space.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"space\.start: got .*no linear map for the frozen encoder of .*'text'"):
        tonggan.fit_space(table, out=tmp_path / "run", settings={**LINEAR, "space.start": str(copy)})


def test_what_leads_and_what_is_sure():
    assert lead_of({"a": "table", "b": "audio", "c": "image"}) == "image"
    assert surely_better(25) == pytest.approx(0.1)
