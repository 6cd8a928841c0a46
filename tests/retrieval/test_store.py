import json
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from retrieval_scene import DIM, fill, make_row, open_store, vector_of
from tonggan.codelm.words import analyze
from tonggan.errors import CacheError, DataError
from tonggan.retrieval.store import Row, Store

pytest.importorskip("faiss")
pytest.importorskip("tantivy")


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "store") as opened:
        yield opened


def test_rows_come_back_as_they_were_put(store: Store):
    rows = [make_row(1, lang="zh", size=3), Row("键 🙂", "路径/文件.py", "h2", "数据", {"weight": 0.5})]
    fill(store, rows)
    again = store.rows(["键 🙂", "absent", "row1"])
    assert [row.key for row in again] == ["键 🙂", "row1"]
    for row, wanted in zip(again, reversed(rows), strict=True):
        assert (row.group, row.content_hash, row.text, row.fields) == (
            wanted.group,
            wanted.content_hash,
            wanted.text,
            wanted.fields,
        )
    assert again[0].vector is None
    np.testing.assert_array_equal(again[1].vector, vector_of(1).astype(np.float16).astype(np.float32))
    assert store.groups() == {"g": "hash of g", "路径/文件.py": "h2"}
    assert store.keys() == ["row1", "键 🙂"]
    assert store.keys_without_vector() == ["键 🙂"]


def test_tokens_come_back_and_go_with_their_row(store: Store):
    tokens = np.arange(6, dtype=np.float32).reshape(3, 2) / 7
    fill(store, [make_row(1), Row("parts", "g2", "h", vector=vector_of(2), tokens=tokens)])
    found = store.token_sets(["row1", "parts", "absent"])
    assert list(found) == ["parts"]
    np.testing.assert_array_equal(found["parts"], tokens.astype(np.float16))
    assert set(store.search_vectors(vector_of(2))) == {"row1", "parts"}  # found by its vector alone
    fill(store, [Row("parts", "g2", "h", vector=vector_of(2), tokens=tokens[:1])])
    np.testing.assert_array_equal(store.token_sets(["parts"])["parts"], tokens[:1].astype(np.float16))
    with store.writing() as writer:
        writer.delete_group("g2")
    assert not store.token_sets(["parts"])


def test_searches_find_by_words_vectors_and_fields(store: Store):
    fill(store, [make_row(number, kind="ab"[number % 2], size=number) for number in range(20)])
    assert store.search_words("word7") == {"row7": pytest.approx(2.57, abs=0.1)}
    assert len(store.search_words(["common"], limit=30)) == 20
    assert list(store.search_words("common word7 word8", where={"kind": "a"}, limit=1)) == ["row8"]
    found = store.search_vectors(vector_of(7), limit=3)
    assert next(iter(found.items())) == ("row7", pytest.approx(1.0, abs=1e-3))
    keys, vectors = store.vectors_of()
    even = np.array([int(key.removeprefix("row")) % 2 == 0 for key in keys])
    best = np.argsort(-(vectors @ vector_of(7)) + 10 * ~even)[:3]
    assert list(store.search_vectors(vector_of(7), limit=3, where={"kind": "a"})) == [keys[row] for row in best]
    assert store.count() == 20
    assert store.count({"kind": "a", "size": [2, 3, 4]}) == 2
    assert store.keys({"size": [4, 2, 3], "kind": "a"}) == ["row2", "row4"]
    assert store.count({"group": "g", "key": ["row1", "x"]}) == 1
    assert store.count({"absent": 1}) == 0
    assert list(store.search_words("common", where={"key": ["row3", "row4"], "group": "g", "kind": "b"})) == ["row3"]
    assert store.vectors_of(["row3", "none"])[0] == ["row3"]


def test_an_empty_store_finds_nothing(store: Store):
    assert store.search_words("x") == store.search_vectors(vector_of(0)) == {} == store.groups()
    assert store.rows([]) == store.keys() == []
    assert store.vectors_of()[1].shape == (0, DIM)


def test_fields_can_be_searched_by_words_with_a_weight(tmp_path):
    rows = [
        Row("in name", "g", "h", "something", {"name": "parser tool"}),
        Row("in text", "g", "h", "parser of dates", {"name": "other"}),
    ]
    with open_store(tmp_path, dim=None, word_fields=("name",)) as store:
        fill(store, rows)
        assert next(iter(store.search_words("parser", weights={"text": 1, "name": 4}))) == "in name"
        assert next(iter(store.search_words("parser", weights={"text": 4, "name": 1}))) == "in text"
        assert store.rows(["in name"])[0].fields == {"name": "parser tool"}
        with pytest.raises(DataError, match="a search by words where 'name'"):
            store.search_words("parser", where={"name": "other"})


def test_english_and_chinese_are_found(tmp_path):
    pytest.importorskip("jieba")
    with open_store(tmp_path, dim=None, analyze=analyze) as store:
        fill(store, [Row("zh", "g", "h", "解析带时区的日期"), Row("en", "g", "h", "Parses dates with time zones")])
        assert list(store.search_words("时区")) == ["zh"]
        assert list(store.search_words("parse a date")) == ["en"]


def test_what_is_deleted_or_replaced_is_found_no_more(store: Store):
    fill(store, [make_row(number, group=f"g{number // 5}", kind="k") for number in range(20)])
    store.search_vectors(vector_of(3), where={"kind": "k"})  # so that there is something to forget
    with store.writing() as writer:
        writer.delete_group("g0")
        writer.delete_group("never was")
        writer.put([Row("row7", "g1", "new hash", "replaced", {"kind": "k"}, vector_of(100))])
    for where in (None, {"kind": "k"}):
        assert not {"row0", "row3"} & set(store.search_words("common word3 word0", limit=30, where=where))
        assert set(store.search_vectors(vector_of(3), limit=30, where=where)) == {f"row{n}" for n in range(5, 20)}
        assert next(iter(store.search_vectors(vector_of(100), where=where))) == "row7"
    assert store.search_words("word7") == {}
    assert list(store.search_words("replaced")) == ["row7"]
    assert store.groups() == {"g1": "new hash", "g2": "hash of g2", "g3": "hash of g3"}


def test_another_version_asks_for_vectors_anew_and_indexes_words_again(tmp_path):
    with open_store(tmp_path) as store:
        fill(store, [make_row(number) for number in range(5)])
        with open_store(tmp_path, version="2", analyze=lambda text: text.upper().split()) as newer:
            assert newer.keys_without_vector() == [f"row{number}" for number in range(5)]
            assert newer.search_vectors(vector_of(1)) == {}
            assert list(newer.search_words(["WORD3"])) == ["row3"]
            with newer.writing() as writer:
                writer.set_vectors({"row3": vector_of(3), "absent": vector_of(4)})
            assert list(newer.search_vectors(vector_of(3))) == ["row3"]
        with pytest.raises(CacheError, match="got vectors of '2 16', expected '1 16'"):
            store.search_vectors(vector_of(1))
        with pytest.raises(CacheError, match="words indexed as '2 text', expected '1 text'"):
            store.search_words("word3")
        assert store.count() == 5


def test_vectors_have_a_version_of_their_own_and_stay_where_they_are_not_used(tmp_path):
    with open_store(tmp_path, vector_version="v") as store:
        fill(store, [make_row(1)])
    with open_store(tmp_path, dim=None) as store:
        fill(store, [Row("other", "g", "h", "text")])
        with pytest.raises(DataError, match="expected no vector, because the store was opened without 'dim'"):
            store.search_vectors(vector_of(1))
    with open_store(tmp_path, vector_version="v", version="other words") as store:
        assert list(store.search_vectors(vector_of(1))) == ["row1"]
        assert store.keys_without_vector() == ["other"]
    with open_store(tmp_path, vector_version="w") as store:
        assert store.keys_without_vector() == ["row1", "other"]


def test_a_store_without_words_has_vectors_only(tmp_path):
    with open_store(tmp_path, analyze=None) as store:
        fill(store, [make_row(1)])
        assert list(store.search_vectors(vector_of(1))) == ["row1"]
        with pytest.raises(DataError, match="Open the store with it"):
            store.search_words("x")
        assert not list(tmp_path.glob("words-*"))


@pytest.mark.parametrize("vector", [np.ones(3, np.float32), np.full(DIM, np.nan, np.float32)])
def test_a_wrong_query_vector_is_refused(store: Store, vector):
    with pytest.raises(DataError, match="a search by vector"):
        store.search_vectors(vector)


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CacheError, match="expected a folder that can be written"):
        open_store(tmp_path / "file")
    (tmp_path / "store.sqlite").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(CacheError, match="delete the folder and index again"):
        open_store(tmp_path)


def test_a_store_of_a_newer_format_is_refused(tmp_path):
    open_store(tmp_path).close()
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(CacheError, match="got format 2, expected format 1"):
        open_store(tmp_path)


def test_opening_takes_milliseconds_and_makes_nothing(tmp_path):
    with open_store(tmp_path) as store:
        fill(store, [make_row(number) for number in range(3_000)])
    files = [*tmp_path.glob("words-*/*"), *tmp_path.glob("vectors-*")]
    before = [path.stat().st_mtime_ns for path in files]
    times = []
    for _ in range(5):
        start = time.process_time()  # of this process alone, whatever else the machine does
        open_store(tmp_path).close()
        times.append(time.process_time() - start)
    assert min(times) < 0.02
    assert before == [path.stat().st_mtime_ns for path in files]


def test_readers_do_not_wait_for_what_is_not_committed(store: Store):
    def found() -> list[list[str]]:
        return [store.keys(), list(store.search_words("common")), list(store.search_vectors(vector_of(1)))]

    fill(store, [make_row(1)])
    with store.writing() as writer:
        writer.delete_group("g")
        writer.put([make_row(2)])
        assert found() == [["row1"]] * 3
        writer.commit()
        writer.put([make_row(3)])
        assert found() == [["row2"]] * 3


def test_readers_see_whole_commits(store: Store):
    """Each commit replaces all rows by those of its number, so a reader must meet one number only."""
    stop, seen, problems = threading.Event(), set(), []

    def read() -> None:
        while not stop.wait(0.001):
            numbers = {row.fields["commit"] for row in store.rows([f"row{row}" for row in range(10)])}
            found = {*store.search_words("common"), *store.search_vectors(vector_of(1))}
            seen.update(numbers)
            if len(numbers) > 1 or not found <= {f"row{row}" for row in range(10)}:
                problems.append((numbers, found))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(8):
            with store.writing() as writer:
                writer.delete_group("g")
                writer.put(make_row(row, commit=number) for row in range(10))
    finally:
        stop.set()
        reader.join()
    assert not problems
    assert len(seen) > 1


def test_another_process_sees_commits_while_it_has_the_store_open(store: Store, tmp_path):
    code = """
import sys
from pathlib import Path
from retrieval_scene import open_store, vector_of
with open_store(Path(sys.argv[1])) as store:
    for line in sys.stdin:
        number = int(line)
        words, vectors = store.search_words(f"word{number}"), store.search_vectors(vector_of(number), limit=1)
        print(*words, *vectors, store.count(), flush=True)
"""
    path = [str(Path(__file__).parents[1]), *sys.path]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {json.dumps(path)}\n{code}", tmp_path / "store"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(5):
            fill(store, [make_row(number)])
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
            assert process.stdout.readline().split() == [f"row{number}", f"row{number}", f"{number + 1}"]
        process.stdin.close()
    assert process.returncode == 0
