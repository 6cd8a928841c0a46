import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from retrieval_scene import fill, make_row, open_store, vector_of
from tonggan.errors import DataError
from tonggan.retrieval import live_vectors, live_words, writer
from tonggan.retrieval.store import Row, Store

pytest.importorskip("faiss")
pytest.importorskip("tantivy")


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path) as opened:
        yield opened


def test_an_error_takes_back_what_was_not_committed(store: Store):
    def fail_halfway() -> None:
        with store.writing() as changes:
            changes.put([make_row(1)])
            changes.commit()
            changes.put([make_row(2)])
            changes.delete_group("g")
            raise KeyError

    with pytest.raises(KeyError):
        fail_halfway()
    assert store.keys() == ["row1"]
    assert list(store.search_words("common")) == ["row1"]


def test_a_row_that_cannot_be_stored_takes_its_commit_with_it(store: Store):
    with pytest.raises(DataError, match="row 'bad'"), store.writing() as changes:
        changes.put([make_row(1), Row("bad", "g", "h", vector=np.zeros(3, np.float32))])
    assert store.keys() == []


def test_of_rows_with_one_key_the_last_stays(store: Store):
    fill(store, [Row("k", "g", "h", f"text{number}") for number in range(2_500)])
    assert [row.text for row in store.rows(["k"])] == ["text2499"]
    assert store.search_words("text7") == {}


def test_equal_text_keeps_its_vector_through_a_change_of_its_file(store: Store):
    fill(store, [make_row(1, group="old name"), make_row(2, group="old name")])
    with store.writing() as changes:
        changes.delete_group("old name")
        changes.put([Row("moved", "new name", "h", "common word1"), Row("changed", "new name", "h", "new text")])
    assert store.keys_without_vector() == ["changed"]
    assert list(store.search_vectors(vector_of(1))) == ["moved"]
    fill(store, [Row("copy", "g", "h", "common word1")])
    assert set(store.search_vectors(vector_of(1))) == {"moved", "copy"}
    with store.writing() as changes:
        changes.delete_group("new name")
        changes.delete_group("g")
    fill(store, [Row("later", "g", "h", "common word1")])
    assert store.keys_without_vector() == ["later"]  # Vectors are not kept beyond the commit that deletes them.


def test_rows_without_text_share_no_vector(store: Store):
    fill(store, [Row("picture1", "g", "h", vector=vector_of(1)), Row("picture2", "g", "h")])
    assert store.keys_without_vector() == ["picture2"]


def test_nothing_changed_is_no_commit(store: Store):
    fill(store, [make_row(1)])
    with store.writing() as changes:
        changes.commit()
    fill(store, [])
    with sqlite3.connect(store._settings.folder / "store.sqlite") as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone() == ("1",)


def test_the_log_of_deletions_does_not_grow_for_ever(store: Store, monkeypatch):
    monkeypatch.setattr(live_vectors, "_FEW", 5)
    for _ in range(6):
        fill(store, [make_row(number) for number in range(20)])
    with sqlite3.connect(store._settings.folder / "store.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM deleted").fetchone()[0] <= 20
    assert len(store.search_vectors(vector_of(1), limit=99)) == 20


class _Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (writer, "update_words"),  # before the index of words is touched
        (live_words, "write_meta"),  # after it is written, before that is recorded
        (live_vectors, "whole_file"),  # before the vectors are written
        (live_vectors, "write_meta"),  # after they are written, before that is recorded
    ],
)
def test_what_a_crash_left_undone_is_done_by_the_next(tmp_path, monkeypatch, module, function):
    monkeypatch.setattr(live_vectors, "_FEW", 10)

    def killed(*_: object) -> None:
        raise _Killed

    def change(store: Store, patch: pytest.MonkeyPatch) -> None:
        with store.writing() as changes:
            patch.setattr(module, function, killed)
            changes.delete_group("g0")
            changes.put(make_row(number, group="new") for number in range(20, 60))

    with open_store(tmp_path) as store:
        fill(store, [make_row(number, group=f"g{number // 10}") for number in range(30)])
        with monkeypatch.context() as patch, pytest.raises(_Killed):
            change(store, patch)
    with open_store(tmp_path) as store:
        assert store.search_words("word3") == {}
        assert len(store.search_words("common", limit=99)) == 50
        assert set(store.search_vectors(vector_of(3), limit=99)) == {f"row{number}" for number in range(10, 60)}
        for number in (10, 25, 59):
            assert list(store.search_words(f"word{number}")) == [f"row{number}"]
            assert next(iter(store.search_vectors(vector_of(number)))) == f"row{number}"


_WRITES_UNTIL_KILLED = """
import sys
from pathlib import Path
from retrieval_scene import make_row, open_store
from tonggan.retrieval import live_vectors
live_vectors._FEW = 10
with open_store(Path(sys.argv[1])) as store:
    step = 1 + max((int(text) for text in store.groups().values()), default=0)
    while True:
        with store.writing() as writer:
            for _ in range(3):
                group = f"g{step % 5}"
                writer.delete_group(group)
                rows = (make_row(1000 * step + place, group=group, step=step) for place in range(step % 12))
                for row in rows:
                    object.__setattr__(row, "content_hash", str(step))
                    writer.put([row])
                writer.commit()
                print(step, flush=True)
                step += 1
"""


def test_a_writer_killed_at_any_moment_loses_no_commit_and_breaks_nothing(tmp_path, monkeypatch):
    """kill -9 comes at random moments of four runs over one store; after each the store must be whole."""
    monkeypatch.setattr(live_vectors, "_FEW", 10)
    rng = np.random.default_rng(0)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    for _ in range(4):
        command = [sys.executable, "-c", _WRITES_UNTIL_KILLED, tmp_path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            told = [process.stdout.readline()]
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            told += process.stdout.readlines()
        last = int([line for line in told if line.endswith("\n")][-1])
        _check_whole(tmp_path, last=last)


def _check_whole(folder: Path, *, last: int) -> None:
    with sqlite3.connect(folder / "store.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with open_store(folder) as store:
        rows = store.rows(store.keys())
        steps = {group: {row.fields["step"] for row in rows if row.group == group} for group in store.groups()}
        for group, content_hash in store.groups().items():
            assert steps[group] == {int(content_hash)}
            assert sum(row.group == group for row in rows) == int(content_hash) % 12
        newest = max(int(text) for text in store.groups().values())
        assert newest >= last or (newest == last - 1 and last % 12 == 0)  # Step 12 leaves its group empty.
        assert store.keys_without_vector() == []
        assert set(store.search_words("common", limit=500)) == {row.key for row in rows}
        for row in rows:
            assert list(store.search_words(row.text.split()[1])) == [row.key]
            assert row.vector is not None
            assert next(iter(store.search_vectors(row.vector))) == row.key
        assert len(store.search_vectors(vector_of(0), limit=500)) == len(rows)
