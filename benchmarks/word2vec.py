"""Word vectors by skip-gram with negative sampling: Tonggan's kernel beside gensim's, on the same texts and one thread.

The texts are AG News (titles and descriptions) and the English side of Tatoeba, in random order: 39,628 texts with
506,000 words. Both learn 100 numbers a word, from 5 words on each side, with 5 negatives, in 5 passes; each seed is
one repeat. Quality is Spearman's correlation of the vectors' cosines with

- the cosines of MiniLM's embeddings of pairs of frequent words (600 words, 179,700 pairs),
- people's judgments of likeness, from WordSim-353 and SimLex-999 in gensim's package, of words that both occur.

Needs a peer that Tonggan does not: an interpreter that has gensim (--peer). Run:
TONGGAN_MIRROR=… python benchmarks/word2vec.py --peer PYTHON [--repeats 4] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.encoders.word2vec import SkipGramConfig, learn_vectors, read_vectors, write_vectors
from tonggan.floor.frozen import open_frozen
from tonggan.modalities.text import Text, TextConfig
from tonggan.progress import Progress

PASSES, LEAST = 5, 2
_WORD = re.compile(r"\w+")
_PEER = f"""
import json, sys, time
from gensim.models import Word2Vec
texts = json.load(open(sys.argv[1]))
start = time.process_time()
model = Word2Vec(texts, vector_size=100, window=5, negative=5, sg=1, min_count={LEAST}, sample=1e-3, epochs={PASSES},
                 workers=1, seed=int(sys.argv[3]))
print(time.process_time() - start)
model.wv.save_word2vec_format(sys.argv[2])
"""
_WHERE = "import gensim, pathlib; print(pathlib.Path(gensim.__file__).parent / 'test' / 'test_data')"


def read_texts() -> list[list[str]]:
    """The words of each text."""
    texts = []
    for name, columns in {"ag_news": ("title", "description"), "tatoeba_zh_en": ("english",)}.items():
        for path in find_set(name).get(cache=cache_folder(), progress=Progress()).values():
            table = open_table(path, cache=cache_folder())
            cells = [table.values(column) for column in columns]
            texts += [_WORD.findall(" ".join(parts).lower()) for parts in zip(*cells, strict=True)]
    random.Random(0).shuffle(texts)
    return texts


def learn(texts: list[list[str]], path: Path, seed: int) -> float:
    """Seconds of the processor, on one thread, from lists of words to vectors."""
    start = time.process_time()
    counts = Counter(word for text in texts for word in text)
    known = {word: place for place, (word, count) in enumerate(counts.most_common()) if count >= LEAST}
    numbers = [[known[word] for word in text if word in known] for text in texts]
    words = np.fromiter((number for text in numbers for number in text), np.int32)
    starts = np.cumsum([0, *map(len, numbers)])
    config = SkipGramConfig(skip_gram_epochs=PASSES)
    vectors = learn_vectors(words, starts, num_words=len(known), config=config, seed=seed)
    seconds = time.process_time() - start
    write_vectors(path, dict(zip(known, vectors, strict=True)))
    return seconds


def judgments(folder: Path, counts: Counter[str]) -> dict[str, list[tuple[str, str, float]]]:
    """Pairs of words that both occur often enough, with people's judgments."""
    found = {}
    for name in ("wordsim353.tsv", "simlex999.txt"):
        lines = [line for line in (folder / name).read_text().splitlines() if line and not line.startswith("#")]
        pairs = [(one.lower(), other.lower(), float(score)) for one, other, score, *_ in (x.split("\t") for x in lines)]
        found[name.split(".")[0]] = [pair for pair in pairs if min(counts[pair[0]], counts[pair[1]]) >= 5]
    return found


def quality(path: Path, words: list[str], like: np.ndarray, judged: dict) -> dict[str, float]:
    """Spearman's correlation with each yardstick."""
    from scipy.stats import spearmanr

    vectors = {word: vector / np.linalg.norm(vector) for word, vector in read_vectors(path).items()}
    chosen = np.stack([vectors[word] for word in words])
    upper = np.triu_indices(len(words), 1)
    found = {"minilm": spearmanr((chosen @ chosen.T)[upper], like[upper])[0]}
    for name, pairs in judged.items():
        cosines = [vectors[one] @ vectors[other] for one, other, _ in pairs]
        found[name] = spearmanr(cosines, [score for *_, score in pairs])[0]
    return {name: float(value) for name, value in found.items()}


def compare(texts: list[list[str]], peer: str | None, repeats: int) -> dict[str, list[dict[str, float]]]:
    """Seconds and quality of each contender by repeat."""
    counts = Counter(word for text in texts for word in text)
    words = [word for word, count in counts.most_common(1200) if len(word) > 2 and word.isalpha() and count >= 5]
    words = words[100:700]  # the first hundred say little
    embedded = open_frozen(Text(TextConfig()), "minilm").embed(words)
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    alone = {"env": {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, "text": True, "check": True}
    judged, found = {}, {"tonggan": []} | ({"gensim": []} if peer else {})
    if peer:
        where = subprocess.run([peer, "-c", _WHERE], capture_output=True, **alone).stdout.strip()
        judged = judgments(Path(where), counts)
    with tempfile.TemporaryDirectory() as folder:
        path, given = Path(folder) / "vectors.txt", Path(folder) / "texts.json"
        given.write_text(json.dumps(texts))
        for seed in range(repeats):
            for name in found:
                if name == "tonggan":
                    seconds = learn(texts, path, seed)
                else:
                    command = [peer, "-c", _PEER, str(given), str(path), str(seed)]
                    seconds = float(subprocess.run(command, capture_output=True, **alone).stdout)
                measured = quality(path, words, embedded @ embedded.T, judged)
                found[name].append({"seconds": seconds, **measured})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="an interpreter that has gensim")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--most", type=int, help="texts")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = compare(read_texts()[: options.most], options.peer, options.repeats)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, each in found.items():
        medians = {key: statistics.median(one[key] for one in each) for key in each[0]}
        spread = {key: max(one[key] for one in each) - min(one[key] for one in each) for key in each[0]}
        print(name, *(f"{key} {medians[key]:.4g} (spread {spread[key]:.2g})" for key in medians), sep="  ")


if __name__ == "__main__":
    main()
