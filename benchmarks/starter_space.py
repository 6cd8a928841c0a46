"""Make the space that comes with Tonggan: pictures and texts in about a hundred languages, by linear maps alone.

    python benchmarks/starter_space.py --names imagenet_synset_to_lemma.txt --classes imagenet_synsets.txt --out FOLDER

It learns from two kinds of pairs, which count alike: drawings of OpenMoji with their English and Chinese names (the
training part of ``emoji_space``), and the 1,000 classes of ImageNet, for which stands what EfficientNet-Lite0's own
classifier weighs, with their names in WordNet. Both text files are in the package ``timm`` (``timm/data/_info``). The
penalty is chosen on the validation part of ``emoji_space``. What it prints is measured on that set's test part and,
with ``--cifar10`` (which wants TONGGAN_MIRROR), on the test pictures of CIFAR-10, of which it has seen none, by the
names of their classes.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import torch

from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.encoders.efficientnet import load_efficientnet
from tonggan.models.text_embedder import TextEmbedder
from tonggan.progress import LineProgress, Progress
from tonggan.space.config import load_match_recipe
from tonggan.space.fitting import measure_space
from tonggan.space.matcher import Matcher
from tonggan.space.pairs import Pairs, read_pairs
from tonggan.space.towers import LinearMap, Space, fitted_ridge
from tonggan.space.zero_shot import classify

PENALTIES = (300.0, 1_000.0, 3_000.0, 10_000.0)
CLASSES = {
    "en": ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "zh": ("飞机", "汽车", "鸟", "猫", "鹿", "狗", "青蛙", "马", "船", "卡车"),
}


def class_names(names: Path, classes: Path) -> list[str]:
    """The first WordNet name of each ImageNet class, in the classifier's order."""
    with names.open(encoding="utf-8") as file:
        lemmas = {row[0]: row[1].split(",")[0] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    return [lemmas[each] for each in classes.read_text(encoding="utf-8").split()]


def learned(pairs: Pairs, names: list[str]) -> Space:
    """The space with the best penalty."""
    train = pairs.features["train"]
    widths = {"image": train["drawing"].values.shape[1], "text": train["english"].values.shape[1]}
    space = Space(widths, dim=0, hidden=0, linear_dim=widths["text"])
    space.standardize("image", train["drawing"].values)
    space.standardize("text", np.concatenate([train[name].values for name in ("english", "chinese")]))
    weights = load_efficientnet("efficientnet_lite0").classifier.weight.detach().numpy()  # type: ignore[union-attr, operator]
    classes = (weights - weights.mean(axis=0)) / weights.std(axis=0)
    texts = TextEmbedder.load("e5", precision="fp32").embed(names)

    def read(kind: str, values: np.ndarray) -> np.ndarray:
        return space.standardized(kind, torch.from_numpy(values)).numpy()

    drawings = read("image", train["drawing"].values)
    names_of = (read("text", train["english"].values) + read("text", train["chinese"].values)) / 2
    ridge = fitted_ridge([(drawings, names_of), (classes.astype(np.float32), read("text", texts))])
    scores = {}
    part = space.maps["image"]
    assert isinstance(part, LinearMap)
    for penalty in PENALTIES:
        part.weight.copy_(torch.from_numpy(ridge.weight(penalty)))
        scores[penalty] = measure_space(space, pairs.kinds, pairs.features["valid"]).score()
    best = max(scores, key=lambda penalty: scores[penalty])
    part.weight.copy_(torch.from_numpy(ridge.weight(best)))
    return space.eval()


def cifar10(folder: Path) -> dict[str, float]:
    """The share of test pictures of CIFAR-10 whose class name is nearest, in each language."""
    table = open_table(find_set("cifar10").get(cache=cache_folder(), progress=Progress())["test"], cache=cache_folder())
    labels, results = table.values("label"), {}
    for language, classes in CLASSES.items():
        found = classify(str(folder), {"img": table.values("img")}, classes=classes, progress=True)
        told = found["prediction"].to_pylist()
        results[language] = float(np.mean([classes[label] == name for label, name in zip(labels, told, strict=True)]))
    return results


def main() -> None:
    """Make it, print what it is worth, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=Path, required=True)
    parser.add_argument("--classes", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cifar10", action="store_true")
    arguments = parser.parse_args()
    recipe = load_match_recipe("emoji_space")
    pairs = read_pairs(recipe, {}, progress=LineProgress())
    with torch.no_grad():
        space = learned(pairs, class_names(arguments.names, arguments.classes))
    measure = measure_space(space, pairs.kinds, pairs.features["test"])
    weights = {kind: each["name"] for kind, each in pairs.reader.identities.items()}
    results = {"task": "match", "metrics": {"test": measure.metrics()}, "alignment": None}
    made = Matcher(recipe, pairs.modalities, weights, space, results, arguments.out)
    made.save(arguments.out, in_half=True)
    print(json.dumps(results["metrics"], indent=1))
    if arguments.cifar10:
        print(json.dumps(cifar10(arguments.out), indent=1))


if __name__ == "__main__":
    main()
