import csv

import pytest

from command_line import SMALL, tonggan
from tonggan.encoders.word2vec import read_vectors


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    with (folder / "train.csv").open("w", newline="") as file:
        rows = [(f"the {'cat' if row % 2 else 'dog'} number {row} sat here", "ab"[row % 2]) for row in range(60)]
        csv.writer(file).writerows([("note", "label"), *rows])
    encoder = "model.encoders.note={kind: text_word2vec, vector_size: 12}"
    declared = ("--set", "columns.note={kind: text}", "--set", encoder)
    done = tonggan("fit", folder / "train.csv", "--target", "label", *SMALL, *declared, "--out", folder / "run")
    assert done.code == 0, done.err
    return folder / "run"


def test_vectors_of_a_run(run, tmp_path):
    done = tonggan("vectors", run, "--out", tmp_path / "vectors.txt", "--json")
    assert done.code == 0, done.err
    assert done.json["input"] == "note"
    assert done.json["width"] == 12
    found = read_vectors(tmp_path / "vectors.txt")
    assert len(found) == done.json["words"]
    assert {"cat", "dog", "the"} <= set(found)
    told = tonggan("vectors", run, "--input", "note", "--out", tmp_path / "vectors.txt")
    assert "words of 'note', 12 dimensions each" in told.out


def test_an_input_without_vectors(run, tmp_path):
    done = tonggan("vectors", run, "--input", "title", "--out", tmp_path / "vectors.txt")
    assert done.code == 2
    assert "word vectors of note" in done.err
    assert not (tmp_path / "vectors.txt").exists()


def test_a_run_starts_from_the_vectors_of_another(run, tmp_path):
    path = tmp_path / "vectors.txt"
    assert tonggan("vectors", run, "--out", path).code == 0
    encoder = f"model.encoders.note={{kind: text_word2vec, vector_size: 12, tune: frozen, vectors: {path}}}"
    declared = ("--set", "columns.note={kind: text}", "--set", encoder)
    table = run.parent / "train.csv"
    done = tonggan("fit", table, "--target", "label", *SMALL, *declared, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert tonggan("vectors", tmp_path / "run", "--out", tmp_path / "again.txt").code == 0
    assert (tmp_path / "again.txt").read_text() == path.read_text()
