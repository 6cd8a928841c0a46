from pathlib import Path

import pytest
import yaml

import tonggan
from tonggan.errors import ConfigError
from tonggan.runs.recipe import Recipe, load_recipe, recipe_for_table, recipe_names


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_tables_of_a_yaml_file_are_looked_for_beside_it(tmp_path: Path) -> None:
    text = "data: {train: rows/train.csv, test: /data/test.csv}\ntarget: y\n"
    recipe = load_recipe(write(tmp_path / "deep" / "my.yaml", text))
    assert recipe.data.train == str(tmp_path / "deep" / "rows" / "train.csv")
    assert recipe.data.test == "/data/test.csv"
    assert recipe.data.valid is None
    assert recipe.target == ["y"]


def test_overrides_replace_single_fields(tmp_path: Path) -> None:
    path = write(tmp_path / "my.yaml", "target: [a, b]\ntraining: {epochs: 3, batch_size: 8}\n")
    recipe = load_recipe(path, overrides=["training.epochs=5", "columns.x.kind=text", "data.where.lang=[zh, en]"])
    assert (recipe.training.epochs, recipe.training.batch_size) == (5, 8)
    assert recipe.columns["x"].kind == "text"
    assert recipe.data.where == {"lang": ["zh", "en"]}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=5", r"training.epoch"),
        ("model.fusion.kind=summ", r"model.fusion"),
        ("training.epochs=0", "training.epochs: at least 1"),
        ("data.set=fsdd", r"exclude each other"),
        ("training", r"no '='"),
    ],
)
def test_a_wrong_override_names_the_field(tmp_path: Path, override: str, message: str) -> None:
    path = write(tmp_path / "my.yaml", "target: y\ndata: {train: a.csv}\n")
    with pytest.raises(ConfigError, match=message):
        load_recipe(path, overrides=[override])


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such recipe.*easy_vqa.*tonggan recipes"):
        load_recipe("easy_vqaa")
    with pytest.raises(ConfigError, match="no such file"):
        load_recipe(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_say_what_they_are_and_read_back_equal(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.description
    assert Recipe.parse(yaml.safe_load(recipe.to_yaml()), who=name) == recipe


def test_the_recipe_saved_by_a_run_has_every_choice_and_reads_back_equal(finished: tonggan.Predictor) -> None:
    saved = load_recipe(str(finished.folder / "recipe.yaml"))
    assert saved == finished.bundle.recipe
    assert {name: column.kind for name, column in saved.columns.items()} == {
        "size": "number", "weight": "number", "note": "text", "answer": "category",
    }  # fmt: skip
    assert saved.task is not None
    assert saved.task.kind == "binary"


def test_a_base_recipe_lends_its_settings_but_not_its_tables() -> None:
    recipe = recipe_for_table("mine.csv", target="answer", base="easy_vqa", overrides=["training.epochs=2"], seed=7)
    base = load_recipe("easy_vqa")
    assert (recipe.data.set, recipe.data.train, recipe.data.batch_by) == (None, "mine.csv", None)
    assert recipe.model == base.model
    assert recipe.columns == base.columns
    assert (recipe.training.epochs, recipe.training.batch_size) == (2, base.training.batch_size)
    assert recipe.seed == 7


def test_a_table_in_the_place_of_a_recipe_is_asked_for_its_target(tmp_path: Path) -> None:
    table = write(tmp_path / "num.csv", "a,y\n1,2\n")
    with pytest.raises(ConfigError, match=r"no recipe.*tonggan tune .*num\.csv --target COL"):
        load_recipe(table)
