"""Make the space that comes with Tonggan: pictures, texts in a hundred languages and spoken words, by linear maps.

    python benchmarks/starter_space.py --names imagenet_synset_to_lemma.txt --classes imagenet_synsets.txt --out FOLDER

It learns from two kinds of pairs, which count alike: drawings of OpenMoji with their English and Chinese names (the
training part of ``emoji_space``), and the 1,000 classes of ImageNet, for which stands what EfficientNet-Lite0's own
classifier weighs, with their names in WordNet. Both text files are in the package ``timm`` (``timm/data/_info``).
People ask in phrases, too: the directions of texts that differ most between a name and the same name in a phrase, or in
the other language, are taken away. Their number and the penalty are chosen on the validation part of ``emoji_space``,
with the names as they are and in phrases of which none was learned. Spoken names (the training part of
``emoji_speech``, two voices in each language) are led to the written ones in the same way, with a penalty that is
chosen on that set's validation part, which another voice speaks. What it prints is measured on the test parts of both
sets and, with ``--cifar10`` (which wants TONGGAN_MIRROR), on 1,000 training and 2,000 test pictures of CIFAR-10, of
which it has seen none, by the names of their classes and by phrases with them.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.encoders.efficientnet import load_efficientnet
from tonggan.modalities import AudioConfig
from tonggan.modalities.base import MediaModality
from tonggan.models.text_embedder import TextEmbedder
from tonggan.models.voice import Voice
from tonggan.progress import LineProgress, Progress
from tonggan.space.config import load_match_recipe
from tonggan.space.features import Features
from tonggan.space.fitting import measure_space
from tonggan.space.matcher import Matcher, load_matcher
from tonggan.space.pairs import Pairs, read_pairs
from tonggan.space.towers import LinearMap, Space, fitted_ridge
from tonggan.space.zero_shot import PHRASES as PHRASES_OF_CLASSES

PENALTIES = (300.0, 1_000.0, 3_000.0, 10_000.0)
NUMBERS_OF_DIRECTIONS = (0, 4, 8, 12, 16, 24)
EVERY = 15  # name of the training part is put into phrases
PHRASES = {
    "english": (
        "a drawing of {}",
        "a picture of {}",
        "a photo of a {}",
        "an icon that shows {}",
        "the {} emoji",
        "a sketch of the {}",
        "please find me a {}",
        "where is the {}?",
        "something like {}",
        "the sound of the word {}",
    ),
    "chinese": (
        "一幅{}的图画",
        "{}的图片",
        "一张{}的照片",
        "画着{}的图标",
        "{}表情符号",
        "{}的素描",
        "请帮我找{}",
        "哪里有{}？",
        "类似{}的东西",
        "读作{}的声音",
    ),
}
UNSEEN_PHRASES = {
    "english": ("{}", "an image showing {}", "show me {}", "I am looking for a {}"),
    "chinese": ("{}", "显示{}的图像", "给我看{}", "我想找一个{}"),
}
CLASSES = {
    "en": ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "zh": ("飞机", "汽车", "鸟", "猫", "鹿", "狗", "青蛙", "马", "船", "卡车"),
}


def class_names(names: Path, classes: Path) -> list[str]:
    """The first WordNet name of each ImageNet class, in the classifier's order."""
    with names.open(encoding="utf-8") as file:
        lemmas = {row[0]: row[1].split(",")[0] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    return [lemmas[each] for each in classes.read_text(encoding="utf-8").split()]


def learned(pairs: Pairs, names: list[str], *, audio_width: int) -> Space:
    """The space of pictures and texts with the best penalty; of recordings nothing is learned yet."""
    train = pairs.features["train"]
    widths = {"image": train["drawing"].values.shape[1], "text": train["english"].values.shape[1]}
    widths["audio"] = audio_width
    space = Space(widths, dim=0, hidden=0, linear_dim=widths["text"])
    space.standardize("image", train["drawing"])
    space.standardize("text", Features.cat([train[name] for name in ("english", "chinese")]))
    weights = load_efficientnet("efficientnet_lite0").classifier.weight.detach().numpy()  # type: ignore[union-attr, operator]
    classes = (weights - weights.mean(axis=0)) / weights.std(axis=0)
    texts = TextEmbedder.load("e5", precision="fp32").embed(names)

    def read(kind: str, values: np.ndarray) -> np.ndarray:
        return space.standardized(kind, torch.from_numpy(values)).numpy()

    drawings = read("image", train["drawing"].values)
    names_of = (read("text", train["english"].values) + read("text", train["chinese"].values)) / 2
    ridge = fitted_ridge([(drawings, names_of), (classes.astype(np.float32), read("text", texts))])
    axes, asked = phrase_axes(pairs, read), unseen_phrases(pairs)
    scores = {}
    for penalty, count in product(PENALTIES, NUMBERS_OF_DIRECTIONS):
        set_maps(space, ridge.weight(penalty), axes[:, :count])
        scores[penalty, count] = np.mean(
            [measure_space(space, pairs.kinds, features).score() for features in asked]
        ).item()
        print(f"penalty {penalty:g}, {count} directions: mrr {scores[penalty, count]:.4f}", flush=True)
    penalty, count = max(scores, key=lambda tried: scores[tried])
    set_maps(space, ridge.weight(penalty), axes[:, :count])
    return space.eval()


def hear(space: Space, spoken: Pairs) -> None:
    """Lead spoken names to the written ones, where the space has led these; with the best penalty."""
    train, columns = spoken.features["train"], ("spoken_english", "spoken_chinese")
    space.standardize("audio", Features.cat([train[name] for name in columns]))
    text, audio = space.maps["text"], space.maps["audio"]
    assert isinstance(text, LinearMap)
    assert isinstance(audio, LinearMap)
    sides = []
    for name in columns:
        written = torch.from_numpy(train[name.removeprefix("spoken_")].values)
        heard = space.standardized("audio", torch.from_numpy(train[name].values))
        sides.append((heard.numpy(), text(written).numpy()))
    ridge, scores = fitted_ridge(sides), {}
    for penalty in PENALTIES:
        audio.weight.copy_(torch.from_numpy(ridge.weight(penalty)))
        scores[penalty] = measure_space(space, spoken.kinds, spoken.features["valid"]).score()
        print(f"spoken names, penalty {penalty:g}: mrr {scores[penalty]:.4f}", flush=True)
    audio.weight.copy_(torch.from_numpy(ridge.weight(max(scores, key=lambda tried: scores[tried]))))


def phrase_axes(pairs: Pairs, read: Callable[[str, np.ndarray], np.ndarray]) -> np.ndarray:
    """Directions ``[D, D]`` of texts, first those by which a name differs most from its phrases and translation."""
    encoder, differences = TextEmbedder.load("e5", precision="fp32"), []
    train, table = pairs.features["train"], pairs.tables["train"]
    chosen = np.arange(0, len(table), EVERY)
    own = {language: read("text", train[language].values[chosen]) for language in PHRASES}
    for language, phrases in PHRASES.items():
        names = table.values(language, chosen)
        texts = [encoder.embed([phrase.format(name) for name in names]) for phrase in phrases]
        differences += [read("text", each) - own[language] for each in texts]
    differences.append(own["english"] - own["chinese"])
    joined = np.concatenate(differences).astype(np.float64)
    axes: np.ndarray = np.linalg.eigh(joined.T @ joined)[1][:, ::-1]
    return axes.astype(np.float32)


def unseen_phrases(pairs: Pairs) -> list[dict[str, Features]]:
    """The validation part with its names as they are, and in phrases."""
    encoder, valid, table = TextEmbedder.load("e5", precision="fp32"), pairs.features["valid"], pairs.tables["valid"]
    asked = []
    for place in range(len(UNSEEN_PHRASES["english"])):
        features = dict(valid)
        for language, phrases in UNSEEN_PHRASES.items():
            texts = [phrases[place].format(name) for name in table.values(language, np.arange(len(table)))]
            features[language] = replace(valid[language], values=encoder.embed(texts))
        asked.append(features)
    return asked


def set_maps(space: Space, weight: np.ndarray, axes: np.ndarray) -> None:
    """Lead pictures to texts by ``weight``, and both to what is orthogonal to ``axes`` ``[D, R]``."""
    image, text = space.maps["image"], space.maps["text"]
    assert isinstance(image, LinearMap)
    assert isinstance(text, LinearMap)
    kept = np.eye(len(axes), dtype=np.float32) - axes @ axes.T
    image.weight.copy_(torch.from_numpy(weight @ kept))
    text.weight.copy_(torch.from_numpy(kept))


def cifar10(folder: Path, part: str, count: int) -> dict[str, float]:
    """The share of pictures of CIFAR-10 whose class is nearest, by its name and by the mean of phrases with it."""
    table = open_table(find_set("cifar10").get(cache=cache_folder(), progress=Progress())[part], cache=cache_folder())
    rows = np.arange(0, len(table), max(1, len(table) // count))[:count]
    labels, results = np.array(table.values("label", rows)), {}
    for language, classes in CLASSES.items():
        matcher = load_matcher(folder)
        (image,) = (each for each in matcher.modalities.values() if isinstance(each, MediaModality))
        reader = matcher.reader()
        pictures = reader.read("drawing", [image.decode(cell["bytes"]) for cell in table.values("img", rows)])
        matcher.space.adapt("image", pictures)
        for way, phrases in (("names", ("{}",)), ("phrases", PHRASES_OF_CLASSES[language])):
            texts = [phrase.format(name) for name in classes for phrase in phrases]
            names = matcher.embed("text", reader.read("english", texts), as_query=True)
            means = names.reshape(len(classes), len(phrases), -1).mean(axis=1)
            found = (matcher.embed("image", pictures) @ means.T).argmax(axis=1)
            results[f"{part}, {language}, {way}"] = float((found == labels).mean())
    return results


def other_voice(folder: Path, spoken: Pairs) -> dict[str, float]:
    """How many English names of the test part find their recording by Hibari, read by their own means, and back."""
    matcher, voice = load_matcher(folder), Voice()
    names = [str(name) for name in spoken.tables["test"].values("english")]
    reader, audio = matcher.reader(), matcher.modalities["spoken"]
    assert isinstance(audio, MediaModality)
    recordings = reader.read("spoken", [audio.decode(voice.speak(name).encoded("wav")) for name in names])
    matcher.space.adapt("audio", recordings)
    written = matcher.embed("text", reader.read("english", names), as_query=True)
    scores, found = written @ matcher.embed("audio", recordings).T, {}
    for direction, each in (("english→hibari", scores), ("hibari→english", scores.T)):
        ranks = 1 + (each > np.diag(each)[:, None]).sum(axis=1)
        found |= {f"{direction} recall@{k}": float((ranks <= k).mean()) for k in (1, 5, 10)}
    return found


def main() -> None:
    """Make it, print what it is worth, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=Path, required=True)
    parser.add_argument("--classes", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cifar10", action="store_true")
    parser.add_argument("--hibari", action="store_true", help="also ask for recordings by this other synthesizer")
    arguments = parser.parse_args()
    recipe = load_match_recipe("emoji_space")
    pairs = read_pairs(recipe, {}, progress=LineProgress())
    spoken = read_pairs(load_match_recipe("emoji_speech"), {}, progress=LineProgress())
    with torch.no_grad():
        width = spoken.features["train"]["spoken_english"].values.shape[1]
        space = learned(pairs, class_names(arguments.names, arguments.classes), audio_width=width)
        hear(space, spoken)
    metrics = measure_space(space, spoken.kinds, spoken.features["test"]).metrics()
    metrics |= measure_space(space, pairs.kinds, pairs.features["test"]).metrics()
    weights = {kind: each["name"] for kind, each in spoken.reader.identities.items()}
    results = {"task": "match", "metrics": {"test": metrics}, "alignment": None}
    inputs = {**pairs.modalities, "spoken": AudioConfig().build()}
    made = Matcher(recipe, inputs, weights, space, results, arguments.out)
    made.save(arguments.out, in_half=True)
    print(json.dumps(results["metrics"], indent=1))
    if arguments.hibari:
        print(json.dumps(other_voice(arguments.out, spoken), indent=1, ensure_ascii=False))
    if arguments.cifar10:
        shares = cifar10(arguments.out, "train", 1_000) | cifar10(arguments.out, "test", 2_000)
        print(json.dumps(shares, indent=1))


if __name__ == "__main__":
    main()
