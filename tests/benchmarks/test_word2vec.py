import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "word2vec.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("word2vec_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_vectors_of_a_few_texts_are_measured(benchmark, tmp_path):
    texts = [["a", "cat", "sat"], ["a", "dog", "sat"], ["the", "cat", "ran"], ["the", "dog", "ran"]] * 5
    assert benchmark.learn(texts, tmp_path / "vectors.txt", 0) > 0
    words = ["cat", "dog", "sat", "ran"]
    rows = ["# one\tother\tscore", "cat\tdog\t9", "cat\tsat\t2", "sat\tran\t8", "cat\tcow\t7"]
    (tmp_path / "wordsim353.tsv").write_text("\n".join(rows))
    (tmp_path / "simlex999.txt").write_text("# none\n")
    judged = benchmark.judgments(tmp_path, Counter(word for text in texts for word in text))
    assert judged["wordsim353"] == [("cat", "dog", 9.0), ("cat", "sat", 2.0), ("sat", "ran", 8.0)]
    like = np.random.default_rng(0).random((4, 4))
    found = benchmark.quality(tmp_path / "vectors.txt", words, like, {"wordsim353": judged["wordsim353"]})
    assert -1 <= found["wordsim353"] <= 1
