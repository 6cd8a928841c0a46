"""Every way of seeing on the recipe ``cifar10_encoders``: accuracy, parameters and minutes in one table.

    python benchmarks/cifar10_encoders.py --out runs/encoders                   # all, 1.5 minutes of training each
    python benchmarks/cifar10_encoders.py --out runs/encoders vit sift          # some; the others keep their result
    python benchmarks/cifar10_encoders.py --out runs/encoders --rows 200 --minutes 0.05   # a try
    python benchmarks/cifar10_encoders.py --out runs/encoders --table [--json]  # what is there

All learn from the same rows, are chosen on the same validation rows (the epoch, and for frozen features the members),
and are measured once on rows of the official test split. So that other programs count less, minutes are those of the
processor on one thread: a training step is timed first, and there are as many epochs as fit. The detector that
``regions`` needs learns from the same rows, pasted into scenes; it takes half of the time. ``plain`` is logistic
regression of scikit-learn on what the frozen network says, its penalty chosen on the validation rows.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from image_encoders import least, training_step
from tonggan import api
from tonggan.data.places import cache_folder
from tonggan.modalities.base import MediaModality
from tonggan.progress import LineProgress, Progress
from tonggan.runs.recipe import load_recipe
from tonggan.runs.splits import open_splits
from tonggan.tokens import Arrays

RECIPE = "cifar10_encoders"
ENCODERS: dict[str, dict[str, Any]] = {
    "cnn": {
        "kind": "image_cnn",
        "channels": [32, 64, 128],
        "activation": "gelu",
        "whiten": True,
        "pool_first": True,
        "pool": "max",
    },
    "resnet": {"kind": "image_resnet", "stem_channels": 16, "channels": [32, 64, 128], "pool": "mean"},
    "inception": {"kind": "image_inception", "stem_channels": 16, "channels": [32, 64, 128], "pool": "mean"},
    "vit": {"kind": "image_vit", "num_layers": 3, "stem_channels": 32, "pool": "attention"},
    "sift": {"kind": "image_sift", "num_layers": 1},
    "regions": {"kind": "image_regions", "limit": 4},
    "perceiver": {"kind": "image_vit", "num_layers": 0},  # read by latents, which are a fusion
    "frozen": {},
    "plain": {},
}
FUSIONS = {"perceiver": {"kind": "perceiver"}}
WEIGHTS = "efficientnet_lite0"
NUM_TIMED, LEAST_EPOCHS = 128, 2
SCENE, SCENES_FOR_A_ROW = 64, 0.25
MAX_IN_SCENE = 3


def rows_of(split: str, *, rows: int) -> tuple[list[bytes], list[Any]]:
    """Files and labels of a part of the recipe."""
    recipe = load_recipe(RECIPE, overrides=[f"data.max_rows={rows}"])
    splits = open_splits(
        recipe.data, target=recipe.target, sources={}, seed=recipe.seed, cache=cache_folder(), progress=Progress()
    )
    files = splits[split].values("img")
    return [each["bytes"] if isinstance(each, dict) else each for each in files], splits[split].values("label")


def epochs_for(settings: dict[str, Any], *, seconds: float, files: list[bytes]) -> int:
    """How many epochs of training fit into ``seconds`` of the processor."""
    recipe = load_recipe(RECIPE, overrides=settings)
    config, column = recipe.model.encoders["img"], recipe.columns["img"]
    modality = config.prepare(column).build()  # type: ignore[arg-type]
    assert isinstance(modality, MediaModality)
    arrays = modality.collate_opened([modality.open(file) for file in files[:NUM_TIMED]])
    dim = recipe.model.dim

    class Mean(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = config.build(modality, dim=dim)
            self.fusion = recipe.model.fusion.build(("img",), dim=dim)

        def forward(self, given: Arrays) -> torch.Tensor:
            return self.fusion({"img": self.encoder(given)}).mean()

    step = least({"": training_step(Mean(), arrays)}, rounds=2)[""]
    return max(LEAST_EPOCHS, int(seconds * len(arrays) / (step * len(files))))


def scenes(folder: Path, *, rows: int) -> Path:
    """A table of scenes that show one to three pictures of the training part each, with a box around every one."""
    files, labels = rows_of("train", rows=rows)
    random = np.random.default_rng(0)
    (folder / "scenes").mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(max(24, round(SCENES_FOR_A_ROW * len(files)))):
        colors = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        scene = cv2.resize(colors, (SCENE, SCENE), interpolation=cv2.INTER_CUBIC)
        boxes: list[dict[str, Any]] = []
        for place in random.permutation(len(files))[: 1 + random.integers(MAX_IN_SCENE)].tolist():
            side = int(random.integers(20, SCENE + 1 if not boxes else 33))
            left, top = random.integers(0, SCENE - side + 1, 2).tolist()
            if any(
                abs(left + side / 2 - (a + c) / 2) < (side + c - a) / 2
                and abs(top + side / 2 - (b + d) / 2) < (side + d - b) / 2
                for a, b, c, d in (box["box"] for box in boxes)
            ):
                continue  # one lies there already
            picture = cv2.imdecode(np.frombuffer(files[place], np.uint8), cv2.IMREAD_COLOR)
            scene[top : top + side, left : left + side] = cv2.resize(picture, (side, side))
            boxes.append({"label": str(labels[place]), "box": [left, top, left + side, top + side]})
        cv2.imwrite(str(folder / "scenes" / f"{number}.png"), scene)
        lines.append(json.dumps({"scene": f"scenes/{number}.png", "objects": json.dumps(boxes)}))
    table = folder / "scenes.jsonl"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def detector(out: Path, *, rows: int, seconds: float) -> Path:
    """A run that finds pictures in scenes, within about ``seconds`` of the processor."""
    table = scenes(out / "regions_detector", rows=rows)
    encoder = {"kind": "image_resnet", "stem_channels": 16, "stem_stride": 2, "channels": [32, 64, 128], "pool": "mean"}
    recipe: dict[str, Any] = {
        "data": {"train": table.name},
        "target": "objects",
        "task": {"kind": "detect"},
        "columns": {"scene": {"kind": "image", "size": SCENE, "resize": "pad"}},
        "model": {"dim": 64, "encoders": {"scene": encoder}, "head": {"kind": "dense", "levels": 2, "width": 32}},
        "training": {"epochs": 1, "batch_size": 32, "learning_rate": 0.004},
        "audit_alone": False,
    }
    path = table.with_suffix(".yaml")
    run = out / "regions_detector" / "run"
    for _ in range(2):  # once to see how long an epoch takes
        path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
        started = time.process_time()
        api.run(str(path), out=run, overwrite=True, progress=False)
        took = time.process_time() - started
        recipe["training"]["epochs"] = max(LEAST_EPOCHS, int((seconds - took) / max(took, 1)))
    return run


def measured(name: str, out: Path, *, rows: int, minutes: float) -> dict[str, Any]:
    """Accuracy on validation and test, parameters and minutes of one way of seeing."""
    if name == "plain":
        return plain(rows=rows)
    files, _ = rows_of("train", rows=rows)
    started = time.process_time()
    settings: dict[str, Any] = {"data.max_rows": rows}
    if name == "frozen":
        settings |= {"floor": {"network": False, "weights": {"img": WEIGHTS}}}
    else:
        encoder, seconds = dict(ENCODERS[name]), 60 * minutes
        if name == "regions":
            encoder["run"] = str(detector(out, rows=rows, seconds=seconds / 2))
            settings |= {"columns.img.size": SCENE, "columns.img.resize": "pad"}
            seconds /= 2
        settings |= {"model.encoders.img": encoder}
        if name in FUSIONS:
            settings["model.fusion"] = FUSIONS[name]
        settings["training.epochs"] = epochs_for(settings, seconds=seconds, files=files)
    run = api.run(RECIPE, out=out / name, settings=settings, overwrite=True, progress=False)
    results = run.results
    return {
        "valid": results["metrics"]["valid"]["accuracy"],
        "test": results["metrics"]["test"]["accuracy"],
        "interval": results["intervals"]["test"]["accuracy"],
        "parameters": run.bundle.info["parameters"],
        "epochs": settings.get("training.epochs"),
        "minutes": (time.process_time() - started) / 60,
        "rows": results["rows"],
    }


def plain(*, rows: int) -> dict[str, Any]:
    """Frozen features and logistic regression, of scikit-learn alone."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from tonggan.models.image_embedder import ImageEmbedder

    started = time.process_time()
    embedder = ImageEmbedder.load(WEIGHTS)

    def vectors(files: list[bytes]) -> NDArray[np.float32]:
        pictures = [cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB) for file in files]
        return embedder.embed([np.ascontiguousarray(picture.transpose(2, 0, 1)) for picture in pictures])

    parts = {split: rows_of(split, rows=rows) for split in ("train", "valid", "test")}
    seen = {split: vectors(files) for split, (files, _) in parts.items()}
    labels = {split: np.array(values) for split, (_, values) in parts.items()}
    models = [
        make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=300)).fit(seen["train"], labels["train"])
        for penalty in (1e-4, 1e-3, 1e-2)
    ]
    model = max(models, key=lambda each: each.score(seen["valid"], labels["valid"]))
    right = model.predict(seen["test"]) == labels["test"]
    half = 1.96 * float(np.sqrt(right.mean() * (1 - right.mean()) / len(right)))
    return {
        "valid": float(model.score(seen["valid"], labels["valid"])),
        "test": float(right.mean()),
        "interval": [float(right.mean()) - half, float(right.mean()) + half],
        "parameters": int(model[-1].coef_.size + model[-1].intercept_.size),
        "epochs": None,
        "minutes": (time.process_time() - started) / 60,
        "rows": {split: len(files) for split, (files, _) in parts.items()},
    }


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """As the page of encoders shows it, the best on validation first."""
    lines = ["| encoder | validation | test | 95 % interval | parameters | epochs | minutes |", "| --- " * 7 + "|"]
    for name, row in sorted(found.items(), key=lambda each: -each[1]["valid"]):
        low, high = row["interval"]
        epochs = "–" if row["epochs"] is None else row["epochs"]
        lines.append(
            f"| {name} | {row['valid']:.3f} | {row['test']:.3f} | {low:.3f} – {high:.3f} | {row['parameters']:,} "
            f"| {epochs} | {row['minutes']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, write ``encoders.json`` into the folder, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="*", metavar="NAME", help=f"some of {', '.join(ENCODERS)}; all by default")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--rows", type=int, default=5_000, help="of each table (5000)")
    parser.add_argument("--minutes", type=float, default=1.5, help="of training, for each (1.5)")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    unknown = set(options.encoders) - set(ENCODERS)
    if unknown:
        parser.error(f"unknown encoder {', '.join(sorted(unknown))}; expected some of {', '.join(ENCODERS)}")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    path = options.out / "encoders.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    progress = LineProgress()
    for name in () if options.table else options.encoders or ENCODERS:
        torch.manual_seed(0)
        found[name] = measured(name, options.out, rows=options.rows, minutes=options.minutes)
        options.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        progress.say(f"{name}: {found[name]['test']:.3f} in {found[name]['minutes']:.1f} minutes")
    print(json.dumps(found) if options.json else table(found))


if __name__ == "__main__":
    main()
