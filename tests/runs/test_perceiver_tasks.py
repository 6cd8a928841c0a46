"""The perceiver on every kind of task: it fits, answers rows that lack inputs, is audited, and comes back the same."""

import numpy as np
import pytest
import torch

import detection_scene
import tonggan
from small_data import png

SMALL = {
    "floor": None,
    "model.dim": 16,
    "model.fusion": {"kind": "perceiver", "num_latents": 4, "num_rounds": 1, "num_layers": 1, "num_queries": 2},
    "columns.photo": {"kind": "image", "size": 16},
    "columns.note": {"kind": "text", "vocab_size": 300, "max_tokens": 8},
    "training.epochs": 1,
    "training.batch_size": 16,
}


TAGS = ["dull; short", "dull; long", "bright; short", "bright; long"]


def rows(count=48):
    random = np.random.default_rng(0)
    bright, long = random.integers(2, size=(2, count))
    return {
        "photo": [png(*(200 * value + random.integers(50, size=3)).tolist()) for value in bright],
        "note": ["word " * (1 + 2 * value) for value in long],
        "size": random.normal(size=count).tolist(),
        "class": [["no", "yes"][value] for value in bright & long],
        "tags": [
            ["dull; short", "dull; long", "bright; short", "bright; long"][2 * b + s]
            for b, s in zip(bright, long, strict=True)
        ],
        "number": (bright + 0.5 * long + 0.01 * random.normal(size=count)).tolist(),
        "said": [["dark", "bright"][value] + " picture" for value in bright],
    }


TARGETS = {
    "class": {},
    "tags": {"task.kind": "multilabel"},
    "number": {},
    "said": {"task": {"kind": "caption", "max_tokens": 8, "vocab_size": 300}, "model.head.num_layers": 1},
}


@pytest.mark.parametrize("target", TARGETS)
def test_task(target, tmp_path):
    table = {name: values for name, values in rows().items() if name == target or name not in TARGETS}
    settings = {**SMALL, "audit_alone": target == "class", **TARGETS[target]}
    run = tonggan.fit(table, target=target, out=tmp_path / "run", settings=settings)
    model = run.bundle.network
    assert type(model.fusion).__name__ == "Perceiver"
    assert run.bundle.recipe.model.encoders["photo"].kind == "image_vit"
    assert set(run.results["inputs"]) == {"photo", "note", "table"}
    loaded = tonggan.load(run.folder)
    some = {name: values[:6] for name, values in table.items() if name != target}
    assert loaded.predict(some) == run.predict(some)
    # What stands under a missing input is not read: it may be anything.
    inputs = dict(run.bundle.collate([dict.fromkeys(some) | {"note": "word word"}]))
    with torch.inference_mode():
        one = model.embed(inputs)
        inputs["photo"] = type(inputs["photo"])(torch.full_like(inputs["photo"].values, 255), inputs["photo"].mask)
        torch.testing.assert_close(model.embed(inputs), one)
    if target == "class":
        assert len(run.results["audit"]) > 0


def test_boxes_that_a_text_asks_for(tmp_path):
    run = detection_scene.fit(
        tmp_path,
        "wanted",
        "color",
        settings={
            **{name: value for name, value in SMALL.items() if not name.startswith("columns")},
            "columns.photo": {"kind": "image", "size": 64},
            "columns.color": {"kind": "text", "vocab_size": 300, "max_tokens": 8},
            "audit_alone": False,
        },
    )
    assert run.bundle.task.kind == "detect"
    assert run.bundle.network.head.maps.modulation is not None
    assert "map_50" in run.results["metrics"]["valid"]
