"""Whatever stands in the files of a corpus, reading it gives what was written or an error that names a remedy."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from damage_scene import bounded, cut_and_flipped, no_content, with_wrong_values
from pretrained_scene import pretrained_folder
from tonggan.codelm.corpus.build import build_corpus
from tonggan.codelm.corpus.cleaning import Cleaned, load, save
from tonggan.codelm.corpus.corpus import MANIFEST, Corpus
from tonggan.codelm.corpus.report import REPORT_JSON, CorpusReport
from tonggan.errors import DataError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    source = folder / "shop"
    source.mkdir()
    for number in range(6):
        lines = "".join(f"    value = value * {number * 10 + line}\n" for line in range(8))
        (source / f"f{number}.py").write_text(f"def f{number}(value):\n{lines}    return value\n")
    model = str(pretrained_folder(folder / "model"))
    build_corpus([source], folder / "out", tokenizer_of=model, shard_tokens=500)
    return folder / "out"


@pytest.fixture
def copied(corpus, tmp_path) -> Path:
    return Path(shutil.copytree(corpus, tmp_path / "copy"))


def content_of(folder: Path) -> list[object]:
    """All that a training reads."""
    corpus = Corpus.open(folder)
    numbers = range(len(corpus.documents))
    return [
        *corpus.documents,
        *(corpus.tokens(number).tolist() for number in numbers),
        *(corpus.text(number) for number in numbers),
        corpus.tokenizer.state(),
    ]


def test_there_are_several_shards(corpus):
    assert len(list(corpus.glob("*/*.tokens"))) > 1


def test_cut_and_flipped_files(copied):
    written = content_of(copied)
    names = sorted(path.relative_to(copied) for path in copied.rglob("*") if path.suffix not in (".html", ""))
    refused = 0
    for name in (name for name in names if name.name not in (REPORT_JSON, "dropped.jsonl")):
        content = (copied / name).read_bytes()
        for damaged in (*cut_and_flipped(content), *no_content()):
            (copied / name).write_bytes(damaged)
            refused += 1
            with bounded(name):
                assert content_of(copied) == written
                refused -= 1
        (copied / name).write_bytes(content)
    assert refused > 100
    assert content_of(copied) == written


def test_every_value_of_the_manifest_may_be_any_other(copied):
    written = content_of(copied)
    for manifest in with_wrong_values(json.loads((copied / MANIFEST).read_bytes())):
        (copied / MANIFEST).write_text(json.dumps(manifest))
        with bounded(copied / MANIFEST):
            assert content_of(copied) == written


def test_a_flipped_byte_of_tokens_or_texts_is_named(copied):
    for path in (*copied.glob("*/*.tokens"), *copied.glob("*/*.texts")):
        content = path.read_bytes()
        path.write_bytes(content[:5] + bytes([content[5] ^ 1]) + content[6:])
        with pytest.raises(DataError, match=rf"{re.escape(str(path))}: got SHA-256 .*Delete the corpus and build it"):
            content_of(copied)
        path.write_bytes(content)


def test_a_damaged_report_is_named(copied):
    path = copied / REPORT_JSON
    content = path.read_bytes()
    variants = [json.dumps(value).encode() for value in with_wrong_values(json.loads(content))]
    for damaged in (*cut_and_flipped(content), *no_content(), *variants):
        path.write_bytes(damaged)
        with bounded(path):
            assert list(CorpusReport.read(copied).lines())
    path.write_bytes(content[:-5])
    with pytest.raises(DataError, match=r"report\.json"):
        CorpusReport.read(copied)


def test_a_damaged_part_of_a_stopped_build_is_named(tmp_path):
    path = tmp_path / "part.npz"
    one = Cleaned("shop", "a.py", "python", "MIT", 5, 9, text="x = 1\n", secrets=(("key", 3),),
                  signature=np.arange(256, dtype=np.uint32))  # fmt: skip
    save([one], path, seconds=1.5)
    assert load(path) == ([one], 1.5)
    content = path.read_bytes()
    refused = 0
    for damaged in (*cut_and_flipped(content), *no_content()):
        path.write_bytes(damaged)
        refused += 1
        with bounded(path):
            assert load(path)[0] == [one]
            refused -= 1
    assert refused > 20
