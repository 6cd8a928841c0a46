import math
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tonggan.errors import DataError
from tonggan.retrieval.word_index import WordDocument, WordIndex

pytest.importorskip("tantivy")


def make_index(folder: Path, texts: list[str], **parts: list[str]) -> WordIndex:
    index = WordIndex(folder / "words", parts=("text", *parts), new=True)
    columns = {"text": texts, **parts}
    index.update(
        removed=[],
        added=[
            WordDocument(row, {part: column[row].split() for part, column in columns.items()}, {"odd": row % 2})
            for row in range(len(texts))
        ],
    )
    return index


def bm25(texts: list[str], query: list[str]) -> list[float]:
    """Robertson's formula with k1 1.2 and b 0.75, by hand."""
    documents = [Counter(text.split()) for text in texts]
    mean = sum(document.total() for document in documents) / len(documents)
    scores = np.zeros(len(texts))
    for word in query:
        holders = sum(word in document for document in documents)
        idf = math.log(1 + (len(documents) - holders + 0.5) / (holders + 0.5))
        for row, document in enumerate(documents):
            norm = 1.2 * (1 - 0.75 + 0.75 * document.total() / mean)
            scores[row] += idf * document[word] * 2.2 / (document[word] + norm)
    return scores.tolist()


def some_texts(count: int = 60) -> list[str]:
    rng = np.random.default_rng(0)
    # Up to 39 words, which the index counts exactly; longer rows it rounds.
    return [" ".join(f"w{word}" for word in rng.zipf(1.5, rng.integers(1, 39)) % 50) for _ in range(count)]


def test_scores_are_bm25_as_by_hand(tmp_path):
    texts = some_texts()
    query = ["w1", "w3", "w7", "w7", "unheard"]
    wanted = bm25(texts, query)
    ids, scores = make_index(tmp_path, texts).search(query, limit=len(texts))
    assert len(ids) == sum(score > 0 for score in wanted)
    assert scores == pytest.approx([wanted[row] for row in ids], rel=1e-4)
    assert scores == sorted(scores, reverse=True)


def test_order_is_that_of_bm25s(tmp_path):
    bm25s = pytest.importorskip("bm25s", reason="bm25s, the reference, is not installed")
    texts = some_texts()
    reference = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    reference.index([text.split() for text in texts], show_progress=False)
    wanted, _ = reference.retrieve([["w2", "w5"]], k=5, show_progress=False)
    assert make_index(tmp_path, texts).search(["w2", "w5"], limit=5)[0] == wanted[0].tolist()


def test_parts_are_weighed(tmp_path):
    texts, names = ["alpha beta", "beta beta", "gamma"], ["x", "alpha", "alpha"]
    index = make_index(tmp_path, texts, name=names)
    text, name = bm25(texts, ["alpha"]), bm25(names, ["alpha"])
    ids, scores = index.search(["alpha"], limit=3, weights={"text": 1.0, "name": 3.0})
    assert dict(zip(ids, scores, strict=True)) == pytest.approx({r: text[r] + 3 * name[r] for r in range(3)}, rel=1e-4)
    assert index.search(["alpha"], limit=3, weights={"text": 1.0})[0] == [0]
    with pytest.raises(DataError, match="expected one of text, name"):
        index.search(["alpha"], limit=3, weights={"title": 1.0})


def test_filters_do_not_change_scores(tmp_path):
    index = make_index(tmp_path, some_texts())
    every = dict(zip(*index.search(["w1"], limit=60), strict=True))
    odd = dict(zip(*index.search(["w1"], limit=60, where={"odd": 1.0}), strict=True))
    assert odd == {row: score for row, score in every.items() if row % 2}
    assert dict(zip(*index.search(["w1"], limit=60, where={"odd": [0, 1, 2]}), strict=True)) == every
    assert index.search(["w1"], limit=60, where={"odd": []}) == ([], [])
    assert index.search(["w1"], limit=60, where={"odd": "1"}) == ([], [])


def test_updates_replace_and_remove_and_stay(tmp_path):
    index = make_index(tmp_path, ["one", "two", "three"])
    reader = WordIndex(index.folder, parts=("text",))
    index.update(removed=[0, 99], added=[WordDocument(1, {"text": ["new"]}, {})])
    assert [len(index), len(reader)] == [2, 3]
    assert reader.search(["one"], limit=5)[0] == [0]
    reader.reload()
    for each in (index, reader, WordIndex(index.folder, parts=("text",))):
        found = {word: each.search([word], limit=5)[0] for word in ("one", "two", "three", "new")}
        assert found == {"one": [], "two": [], "three": [2], "new": [1]}


def test_odd_queries_and_tokens(tmp_path):
    index = make_index(tmp_path, ["a b"])
    assert index.search([], limit=5) == ([], [])
    assert index.search(["a"], limit=0) == ([], [])
    assert index.search(["", " ", "\x00", '"', "a AND (", "x" * 100_000], limit=5)[0] == [0]  # holds the token "a"
    index.update(removed=[], added=[WordDocument(7, {"text": ["y" * 100_000, "數據", "🙂"]}, {})])
    assert index.search(["y" * 100_000], limit=5)[0] == [7]
    assert index.search(["🙂"], limit=5)[0] == [7]


@pytest.mark.parametrize("suffix", [".fast", ".pos", ".idx", ".term", ".store", ".fieldnorm"])
def test_a_damaged_file_opens_or_is_an_error_of_files(tmp_path, suffix):
    texts = some_texts()
    make_index(tmp_path, texts)
    (path,) = (tmp_path / "words").glob(f"*{suffix}")
    content = path.read_bytes()
    for place in range(max(0, len(content) - 200), len(content)):
        new = tmp_path / "new"  # what is mapped into memory must not be written to
        new.write_bytes(content[:place] + bytes([content[place] ^ 0x81]) + content[place + 1 :])
        new.replace(path)
        with suppress(OSError):
            assert len(WordIndex(tmp_path / "words", parts=("text",))) == len(texts)
