"""What translation costs nothing: two baselines beside the recipe ``zh_en``, in both directions.

``nearest`` answers with the target of the training sentence whose character n-grams are most alike (TF-IDF, cosine).
``words`` translates word by word with a dictionary learned by IBM model 1 (Brown et al. 1993). Each score is followed
by sacrebleu's signature. Run: python benchmarks/translation_baseline.py
"""

from __future__ import annotations

import argparse
import csv
import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sklearn.feature_extraction.text import TfidfVectorizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.progress import Progress

LANGUAGES = ("en", "zh")
SPLITS = ("valid", "test")
TOKENIZERS = {"en": "13a", "zh": "zh"}
VOCAB_SIZE = 12_000
EM_ROUNDS = 8
ROWS_AT_ONCE = 256


def read(path: Path, *, to: str) -> tuple[list[str], list[str]]:
    """The sources and targets of one direction."""
    with path.open(newline="", encoding="utf-8") as file:
        pairs = [(row["source"], row["target"]) for row in csv.DictReader(file) if row["to"] == to]
    sources, targets = zip(*pairs, strict=True)
    return list(sources), list(targets)


def nearest(train: tuple[list[str], list[str]], sources: Sequence[str]) -> list[str]:
    """The target of the most similar training source."""
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True, dtype=np.float32)
    known = vectorizer.fit_transform(train[0])
    asked = vectorizer.transform(sources)
    best: list[int] = []
    for start in range(0, len(sources), ROWS_AT_ONCE):
        similarity = (asked[start : start + ROWS_AT_ONCE] @ known.T).toarray()
        best.extend(similarity.argmax(axis=1))
    return [train[1][index] for index in best]


def learn_words(texts: Sequence[str]) -> Tokenizer:
    """Words and punctuation marks; of Chinese, which has no spaces, the sequences of characters that recur (BPE)."""
    tokenizer = Tokenizer(models.BPE(unk_token="<none>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE, special_tokens=["<none>"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def dictionary(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> dict[int, int]:
    """The likeliest target token of each source token, by IBM model 1 and expectation maximization.

    Source token 0 stands for none: it takes the target tokens that no source token explains.
    """
    links = [
        (number * 256 + place, source, target)
        for number, (given, wanted) in enumerate(zip(sources, targets, strict=True))
        for place, target in enumerate(wanted)
        for source in (0, *given)
    ]
    position, source, target = np.array(links, dtype=np.int64).T
    _, position = np.unique(position, return_inverse=True)
    pairs, pair = np.unique(source * VOCAB_SIZE + target, return_inverse=True)
    source_of = pairs // VOCAB_SIZE
    chance = np.ones(len(pairs))
    for _ in range(EM_ROUNDS):
        share = chance[pair] / np.bincount(position, chance[pair])[position]
        count = np.bincount(pair, share)
        chance = count / np.bincount(source_of, count)[source_of]
    order = np.argsort(chance, kind="stable")
    return dict(zip(source_of[order].tolist(), (pairs % VOCAB_SIZE)[order].tolist(), strict=True))


def words(train: tuple[list[str], list[str]], sources: Sequence[str], *, to: str) -> list[str]:
    """Each token's likeliest translation, in the order of the source."""
    source_words, target_words = learn_words(train[0]), learn_words(train[1])
    best = dictionary(
        [encoded.ids for encoded in source_words.encode_batch(train[0])],
        [encoded.ids for encoded in target_words.encode_batch(train[1])],
    )
    found = [
        [target_words.id_to_token(best[token]) for token in encoded.ids if token in best]
        for encoded in source_words.encode_batch(sources)
    ]
    if to == "zh":
        return ["".join(tokens) for tokens in found]
    return [re.sub(r" (?=[.,!?;:'])", "", " ".join(tokens)) for tokens in found]


def report(name: str, found: list[str], wanted: list[str], *, to: str) -> None:
    """One line for each metric."""
    for metric in (BLEU(tokenize=TOKENIZERS[to]), CHRF()):
        score = metric.corpus_score(found, [wanted])
        print(f"  {name:8} {score.name:6} {score.score:6.2f}   {metric.get_signature()}")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    tables = find_set("zh_en").get(cache=cache_folder(), progress=Progress())
    start = time.perf_counter()
    for to in LANGUAGES:
        train, *asked = (read(tables[split], to=to) for split in ("train", *SPLITS))
        sources = [source for part in asked for source in part[0]]
        answers = {"nearest": nearest(train, sources), "words": words(train, sources, to=to)}
        for split, (_, targets) in zip(SPLITS, asked, strict=True):
            print(f"to {to}, {split}, {len(targets):,} sentences")
            for name, found in answers.items():
                report(name, found[: len(targets)], targets, to=to)
                del found[: len(targets)]
    print(f"{time.perf_counter() - start:.0f} s for all")


if __name__ == "__main__":
    main()
