"""Adapters have names, one is in use, and there is a way back."""

import json

import pytest
import torch

from damage_scene import bounded, cut_and_flipped, no_content, with_wrong_values
from generation_scene import tokenizer
from tonggan.codelm.training.adapters import AdapterManifest, AdapterRegistry
from tonggan.errors import BundleError, ConfigError
from tonggan.language.causal_transformer import CausalTransformerConfig


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


def test_damaged_files_of_an_adapter_from_scratch(tmp_path):
    registry = AdapterRegistry(tmp_path)
    shape = CausalTransformerConfig(vocab_size=tokenizer().size, hidden_size=16, intermediate_size=16,
                                    num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)  # fmt: skip
    given = manifest("first", method="full", base=None, base_sha256=None, shape=shape.to_dict())
    tensors = {f"model.{name}": weight for name, weight in shape.build().state_dict().items()}
    registry.save(given, tensors, tokenizer=tokenizer())
    registry.load("first")
    folder = registry.folder / "first"
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        values = with_wrong_values(json.loads(content)) if path.name == "manifest.json" else ()
        refused = 0
        for damaged in (*cut_and_flipped(content), *no_content(), *(json.dumps(value).encode() for value in values)):
            path.write_bytes(damaged)
            refused += 1
            with bounded(path):
                registry.load("first")
                refused -= 1
        path.write_bytes(content)
        assert refused >= 15, path
    registry.load("first")
