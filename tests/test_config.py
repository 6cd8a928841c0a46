"""Configs: strict, frozen, and clear about what is wrong where."""

import pytest

from tonggan.config import apply_overrides, read_yaml
from tonggan.errors import ConfigError
from tonggan.runs.recipe import Recipe


def test_errors_name_the_path_the_value_and_what_is_allowed():
    with pytest.raises(ConfigError) as caught:
        Recipe.parse({"target": "y", "training": {"epochs": 0}, "model": {"fusion": {"kind": "fim"}}}, who="recipe r")
    assert caught.value.who == "recipe r"
    assert "training.epochs = 0" in caught.value.got
    assert "'film'" in caught.value.expected


def test_a_misspelled_field_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="the nearest is 'epochs'"):
        Recipe.parse({"target": "y", "training": {"epoch": 3}}, who="test")


def test_overrides_are_typed_and_leave_the_original_alone():
    data = {"training": {"epochs": 1}}
    made = apply_overrides(data, ["training.epochs=3", "data.where.class=[a, b]", "audit_alone=false", "name=x=y"])
    assert made == {
        "training": {"epochs": 3},
        "data": {"where": {"class": ["a", "b"]}},
        "audit_alone": False,
        "name": "x=y",
    }
    assert data == {"training": {"epochs": 1}}
    with pytest.raises(ConfigError, match="no key before '='"):
        apply_overrides({}, ["=3"])
    with pytest.raises(ConfigError, match="no '='"):
        apply_overrides(data, ["training.epochs"])
    with pytest.raises(ConfigError, match="a group of fields"):
        apply_overrides(data, ["training.epochs.more=1"])


def test_yaml_that_is_none(tmp_path):
    path = tmp_path / "recipe.yaml"
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(path)
    path.write_text("a: [1", encoding="utf-8")
    with pytest.raises(ConfigError, match="valid YAML"):
        read_yaml(path)
    path.write_text("[" * 100_000 + "]" * 100_000, encoding="utf-8")
    with pytest.raises(ConfigError, match="values more than 64 deep"):
        read_yaml(path)
    path.write_text("- 1", encoding="utf-8")
    with pytest.raises(ConfigError, match="a mapping"):
        read_yaml(path)


def test_a_kind_that_was_left_out_is_inferred_from_the_fields():
    recipe = Recipe.parse({"target": "y", "columns": {"photo": {"size": 32}, "title": {"vocab_size": 500}}}, who="test")
    assert (recipe.columns["photo"].kind, recipe.columns["title"].kind) == ("image", "text")
    assert recipe.columns["photo"].size == 32
    rare = Recipe.parse({"target": "y", "columns": {"plan": {"max_keypoints": 32, "size": 99}}}, who="test")
    assert rare.columns["plan"].kind == "keypoints"
    deeper = Recipe.parse({"target": "y", "model": {"fusion": {"num_layers": 3}}}, who="test")
    assert (deeper.model.fusion.kind, deeper.model.fusion.num_layers) == ("film", 3)


def test_a_kind_that_cannot_be_inferred_is_asked_for():
    with pytest.raises(ConfigError, match="name its kind, one of audio, image"):
        Recipe.parse({"target": "y", "columns": {"x": {"augment": None}}}, who="test")
    with pytest.raises(ConfigError, match=r"name its kind, one of .*audio_transformer, .*table, .*text_transformer"):
        Recipe.parse({"target": "y", "model": {"encoders": {"x": {"num_layers": 1}}}}, who="test")


def test_another_kind_starts_from_its_own_defaults():
    data = {"model": {"fusion": {"kind": "film", "num_layers": 1}}}
    assert apply_overrides(data, ["model.fusion.kind=gated"]) == {"model": {"fusion": {"kind": "gated"}}}
    assert apply_overrides(data, ["model.fusion.kind=film"]) == data
