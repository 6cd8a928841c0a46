"""The adapters of a run are listed, and rolled back."""

import json

import torch

from doc_examples import run_tonggan
from tonggan.codelm.training.adapters import AdapterManifest, AdapterRegistry


def test_adapters_are_listed_and_rolled_back(tmp_path):
    registry = AdapterRegistry(tmp_path)
    manifest = AdapterManifest(
        name="first", method="lora", base="smollm2", base_sha256="ab", rank=2, sentinels=None, sentinel_ids=None,
        corpus_sha256="cd", training={"tokens": 1234},
    )  # fmt: skip
    registry.save(manifest, {"weight": torch.ones(1)})
    registry.promote("first")
    code, output, _ = run_tonggan(["tonggan", "code", "adapters", str(tmp_path)])
    assert (code, output) == (0, "* first: lora of smollm2, 1,234 tokens, not compared\nIn use: first\n")
    assert run_tonggan(["tonggan", "code", "rollback", str(tmp_path)])[1] == "In use: the base\n"
    listed = json.loads(run_tonggan(["tonggan", "code", "adapters", str(tmp_path), "--json"])[1])
    assert (listed["in_use"], listed["adapters"][0]["base_sha256"]) == (None, "ab")
    code, _, errors = run_tonggan(["tonggan", "code", "rollback", str(tmp_path)])
    assert code == 2
    assert "the base is in use" in errors


def test_a_folder_without_adapters_is_no_run(tmp_path):
    for command in ("adapters", "rollback"):
        code, output, errors = run_tonggan(["tonggan", "code", command, str(tmp_path / "nowhere")])
        assert (code, output) == (2, "")
        assert "no such folder" in errors
        assert "no adapters there" in run_tonggan(["tonggan", "code", command, str(tmp_path)])[2]


def test_a_misspelled_setting_is_answered_with_the_nearest(tmp_path):
    words = ["tonggan", "code", "train", str(tmp_path), "--out", str(tmp_path / "run"), "--set", "fim_rat=0.5"]
    code, _, errors = run_tonggan(words)
    assert code == 2
    assert "fim_rate" in errors
