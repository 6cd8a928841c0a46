"""Adapters have names, one is in use, and there is a way back."""

import pytest
import torch

from tonggan.codelm.training.adapters import AdapterManifest, AdapterRegistry
from tonggan.errors import BundleError, ConfigError


def manifest(name, **changes):
    given = {"method": "lora", "base": "smollm2", "base_sha256": "ab", "rank": 2, "sentinels": None,
             "sentinel_ids": None, "corpus_sha256": "cd"}  # fmt: skip
    return AdapterManifest(name=name, **{**given, **changes})


@pytest.fixture
def registry(tmp_path):
    registry = AdapterRegistry(tmp_path)
    for name in ("first", "second"):
        registry.save(manifest(name), {"weight": torch.ones(2)})
    return registry


def test_promoted_adapters_are_rolled_back_one_by_one(registry):
    assert registry.names() == ["first", "second"]
    assert registry.promoted is None
    registry.promote("first")
    registry.promote("second")
    assert AdapterRegistry(registry.run).promoted == "second"
    assert registry.rollback() == "first"
    assert registry.rollback() is None
    with pytest.raises(ConfigError, match="the base is in use"):
        registry.rollback()


def test_names_are_checked(registry):
    with pytest.raises(ConfigError, match="adapter 'third', expected one of first, second"):
        registry.promote("third")
    with pytest.raises(ConfigError, match="the first a letter or digit"):
        registry.save(manifest("../away"), {})


def test_damage_is_told(registry):
    file = registry.folder / "first" / "manifest.json"
    file.write_text("{")
    with pytest.raises(BundleError, match="JSON"):
        registry.manifest("first")


def test_another_base_is_refused(registry, tmp_path):
    from code_training_scene import base_folder

    base = base_folder(tmp_path / "base")
    registry.save(manifest("third", base=str(base)), {"weight": torch.ones(2)})
    with pytest.raises(BundleError, match="expected the weights it was trained on, ab…"):
        registry.load("third")


@pytest.mark.parametrize("content", ["[5]", '{"first": 1}', "7"])
def test_a_damaged_list_of_promotions_is_named(content, tmp_path):
    registry = AdapterRegistry(tmp_path)
    registry.folder.mkdir()
    (registry.folder / "promoted.json").write_text(content)
    with pytest.raises(BundleError, match=r"promoted.json: got .*, expected a list of names of adapters"):
        _ = registry.promoted
