import os
import subprocess
import sys
from pathlib import Path

import pytest

from retrieval_scene import fill, make_row, open_store
from tonggan.errors import StoreBusyError
from tonggan.retrieval.database import next_name, writer_lock

pytest.importorskip("faiss")
pytest.importorskip("tantivy")


def test_a_second_writer_is_told_who_writes(tmp_path):
    with open_store(tmp_path) as first, open_store(tmp_path) as second, first.writing() as writer:
        writer.put([make_row(1)])
        with pytest.raises(StoreBusyError, match=f"got process {os.getpid()} writing to it, expected no other writer"):
            fill(second, [make_row(2)])
        assert second.keys() == []
    with open_store(tmp_path) as store:
        fill(store, [make_row(2)])
        assert store.keys() == ["row1", "row2"]


def test_the_lock_of_a_dead_process_is_free(tmp_path):
    code = f"""
import os, sys
from pathlib import Path
from tonggan.retrieval.database import writer_lock
with writer_lock(Path({str(tmp_path)!r})):
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        holder = int(process.stdout.readline())
        with (
            pytest.raises(StoreBusyError, match=f"Wait until process {holder} is done, or end it"),
            writer_lock(tmp_path),
        ):
            pass
        process.kill()
    with writer_lock(tmp_path):
        assert int((tmp_path / "writer.lock").read_text()) == os.getpid()


def test_several_processes_may_create_a_store_at_once(tmp_path):
    code = """
import sys
from pathlib import Path
from retrieval_scene import open_store
sys.stdin.read()
for number in range(5):
    open_store(Path(sys.argv[1]) / str(number)).close()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    processes = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, env=environment)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in processes] == [0, 0, 0]
    for number in range(5):
        with open_store(tmp_path / str(number)) as store:
            fill(store, [make_row(1)])
            assert list(store.search_words("word1")) == ["row1"]


def test_names_are_not_used_twice(tmp_path):
    assert next_name(tmp_path, "words") == "words-1"
    for name in ("words-1", "words-9", "words-x", "vectors-3.faiss.partial"):
        (tmp_path / name).touch()
    assert next_name(tmp_path, "words") == "words-10"
    assert next_name(tmp_path, "vectors", suffix=".faiss") == "vectors-4.faiss"
