"""Search by the words of 50,000 functions, beside other indexes, and a whole store of 100,000 rows: speed.

    OMP_NUM_THREADS=1 python benchmarks/retrieval.py
    python benchmarks/retrieval.py --rows 5000 --functions 2000     # a quick trial

Prints one line for each way: median milliseconds for the top 10 of one query. Words are those of functions in the
installed packages; bm25s is measured where it is installed. Then the store: filling, opening, adding one row, and
searching while it is open. Its vectors are drawn around 1,000 centers with a seed, or read from ``--vectors FILE.npy``
[N, D]; queries are rows with noise. ``benchmarks/vectors.py`` compares searches by vectors.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tonggan.codelm.words import analyze
from tonggan.retrieval.store import Row, Store
from tonggan.retrieval.word_index import WordDocument, WordIndex

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
QUERIES = ("parse a date with timezone", "read csv file", "close", "matrix multiply of two arrays", "http get retry")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--functions", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--vectors", type=Path)
    arguments = parser.parse_args()
    vectors = np.load(arguments.vectors)[: arguments.rows] if arguments.vectors else clustered(arguments.rows)
    vectors = vectors.astype(np.float32)
    rng = np.random.default_rng(1)
    queries = vectors[rng.integers(0, len(vectors), arguments.queries)]
    queries = normalized(queries + 0.02 * rng.standard_normal(queries.shape, dtype=np.float32))
    functions = list(functions_of_packages(arguments.functions))
    compare_words(functions)
    measure_store(vectors, functions, queries)


def normalized(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clustered(rows: int, dim: int = 384) -> np.ndarray:
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((1_000, dim), dtype=np.float32)
    return normalized(centers[rng.integers(0, 1_000, rows)] + 0.7 * rng.standard_normal((rows, dim), dtype=np.float32))


def functions_of_packages(count: int) -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for function in re.split(r"\n(?=(?: {4})*(?:async )?def )", text)[1:]:
            yield function[:2_000]
            count -= 1
            if not count:
                return


def code_words(text: str) -> list[str]:
    return [word.lower() for word in WORD.findall(text)]


def median_ms(search: Callable[[object], object], queries: Sequence[object]) -> float:
    times = []
    for query in queries:
        start = time.perf_counter()
        search(query)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def line(name: str, ms: float, note: str = "") -> None:
    print(f"{name:<44}{ms:>10.3f} ms  {note}", flush=True)


def seconds(work: Callable[[], object]) -> tuple[object, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def compare_words(functions: Sequence[str]) -> None:
    tokens = [code_words(text) for text in functions]
    print(f"\nwords of {len(functions):,} functions, {sum(map(len, tokens)):,} in all, top 10")
    queries = [code_words(query) for query in QUERIES]
    long_query = tokens[len(tokens) // 2][:100]

    def compare(name: str, search: Callable[[Sequence[str]], object], note: str = "") -> None:
        line(name, median_ms(search, queries * 20), note)
        line(f"{name}, {len(long_query)} words", median_ms(search, [long_query] * 20))

    with tempfile.TemporaryDirectory() as folder:
        index = WordIndex(Path(folder) / "words", parts=("text",), new=True)
        documents = [WordDocument(row, {"text": words}, {}) for row, words in enumerate(tokens)]
        _, took = seconds(lambda: index.update(removed=[], added=documents))
        compare("this library's index", lambda query: index.search(query, limit=10), f"built in {took:.1f} s")
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
    database.executemany("INSERT INTO words VALUES (?)", ((" ".join(words),) for words in tokens))
    statement = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT 10"
    compare(
        "SQLite FTS5",
        lambda query: database.execute(statement, (" OR ".join(f'"{word}"' for word in query),)).fetchall(),
    )
    if not find_spec("bm25s"):
        print("bm25s is not installed: skipped")
        return
    import bm25s

    other = bm25s.BM25()
    _, took = seconds(lambda: other.index(tokens, show_progress=False))
    compare("bm25s", lambda query: other.retrieve([query], k=10, show_progress=False), f"built in {took:.1f} s")


def measure_store(vectors: np.ndarray, functions: Sequence[str], queries: np.ndarray) -> None:
    print(f"\na store of {len(vectors):,} rows with text and vector")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def opened() -> Store:
            return Store.open(folder, analyze=code_words, dim=vectors.shape[1], version="1")

        def row(number: int) -> Row:
            text = functions[number % len(functions)]
            return Row(f"{number}", f"{number // 10}", "", text, {"kind": f"{number % 3}"}, vectors[number])

        with opened() as store:
            start = time.perf_counter()
            with store.writing() as writer:
                for first in range(0, len(vectors), 10_000):
                    writer.put(row(number) for number in range(first, min(first + 10_000, len(vectors))))
                    writer.commit()
            line("filling", (time.perf_counter() - start) * 1e3)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        line("opening", median_ms(lambda _: opened().close(), range(20)), f"{size / 2**20:,.0f} MiB on disk")
        with opened() as store:
            line("first search by vector", median_ms(store.search_vectors, queries[:1]))
            line("search by vector", median_ms(store.search_vectors, queries))
            line("first filtered search by vector", median_ms(lambda q: filtered(store, q), queries[:1]))
            line("filtered search by vector", median_ms(lambda q: filtered(store, q), queries[:50]))
            line("search by words", median_ms(store.search_words, QUERIES * 20))
            line("adding one row", median_ms(lambda number: add(store, row(number)), range(5)))
            line("search by vector right after", median_ms(store.search_vectors, queries[:1]))
            line("search by vector, 5 rows later", median_ms(store.search_vectors, queries))
        start_of_process = seconds(lambda: subprocess.run([sys.executable, "-P", "-c", "import faiss"], check=True))[1]
        line("(importing faiss, in a process of its own)", start_of_process * 1e3)
    line("analyzing 1,000 functions as English", seconds(lambda: [analyze(text) for text in functions[:1000]])[1] * 1e3)


def filtered(store: Store, query: np.ndarray) -> dict[str, float]:
    return store.search_vectors(query, where={"kind": "1"})


def add(store: Store, row: Row) -> None:
    with store.writing() as writer:
        writer.put([row])


if __name__ == "__main__":
    main()
