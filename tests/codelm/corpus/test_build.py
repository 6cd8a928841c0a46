"""Corpora made of real repositories: what is in them, and that an interruption changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import forked
from pretrained_scene import pretrained_folder
from tonggan.codelm.corpus import Corpus, build, build_corpus
from tonggan.errors import ConfigError, DataError
from tonggan.progress import Progress

LICENSE = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software\n"


def git(folder: Path, *arguments: str, date: int = 1_700_000_000) -> None:
    environment = {**os.environ, "GIT_AUTHOR_DATE": f"@{date} +0000", "GIT_COMMITTER_DATE": f"@{date} +0000"}
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]
    subprocess.run([*command, "-C", folder, *arguments], check=True, capture_output=True, env=environment)


def function(name: str, seed: int) -> str:
    """A function like no other."""
    letters = np.random.default_rng(seed).integers(ord("a"), ord("z") + 1, size=(60, 5))
    words = ["".join(map(chr, word)) for word in letters]
    lines = [f"    {one} = {other} + 1" for one, other in zip(words[::2], words[1::2], strict=True)]
    return f"def {name}(value):\n" + "\n".join(lines) + "\n    return value\n"


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(pretrained_folder(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture
def shop(tmp_path) -> Path:
    """A repository with a submodule and one file of every kind that is awkward."""
    library, root = tmp_path / "library", tmp_path / "店 🙂" / "shop"
    for folder in (library, root):
        folder.mkdir(parents=True)
        git(folder, "init", "-q")
    write(library, {"COPYING": "GNU GENERAL PUBLIC LICENSE\nVersion 3\n", "core.py": function("core", 0)})
    git(library, "add", "--all")
    git(library, "commit", "-q", "-m", "first", date=1_600_000_000)
    write(
        root,
        {
            "LICENSE": LICENSE,
            ".gitignore": "ignored.py\n",
            "src/订单 page 🦄.py": function("order", 1),
            "src/windows.py": function("windows", 2).replace("\n", "\r\n"),
            "test/copy.py": function("order", 1),
            "test/near.py": function("order", 1).replace("value", "number"),
            "src/cafe.py": ("# " + "订单" * 20).encode() + b" caf\xe9\n" + function("cafe", 3).encode(),
            "src/book.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": function("cell", 4)}]}),
            "src/mail.py": function("mail", 5) + "# by ann.bee" + "@" + "bee-line.de\n",
            "src/blob.py": b"\0\1\2",
            "ignored.py": function("ignored", 6),
            "node_modules/x.js": "x\n",
            "vendor/six.py": function("six", 7),
            "word.min.js": "x\n",
        },
    )
    with (root / "src" / "huge.py").open("wb") as file:
        file.truncate(50_000_000)
    (root / "src" / "loop").symlink_to("..")
    git(root, "submodule", "add", "-q", str(library), "library")
    git(root, "add", "--all")
    git(root, "commit", "-q", "-m", "first")
    git(root, "mv", "src/windows.py", "src/renamed.py")
    git(root, "commit", "-q", "-m", "second", date=1_710_000_000)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a corpus but the report, which tells times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("report.")
    }


def test_a_corpus_of_a_repository(shop, model, tmp_path):
    report = build_corpus([shop], tmp_path / "out", tokenizer_of=model)
    corpus = Corpus.open(tmp_path / "out")
    names = {(document.repository, document.name) for document in corpus.documents}
    assert names == {
        ("shop", "src/订单 page 🦄.py"),
        ("shop", "src/renamed.py"),
        ("shop", "src/book.ipynb"),
        ("shop", "src/mail.py"),
        ("library", "core.py"),
    }
    texts = {document.name: corpus.text(index) for index, document in enumerate(corpus.documents)}
    assert texts["src/renamed.py"] == function("windows", 2)
    assert texts["src/book.ipynb"].rstrip() == function("cell", 4).rstrip()
    assert texts["src/mail.py"].endswith("# by <EMAIL>\n")
    by_name = {document.name: document for document in corpus.documents}
    assert by_name["core.py"].license == "GPL-3.0"
    assert by_name["src/mail.py"].license == "MIT"
    assert by_name["core.py"].modified == 1_600_000_000
    assert by_name["src/mail.py"].modified == 1_700_000_000
    assert by_name["src/renamed.py"].modified == 1_710_000_000
    assert {reason: entry["files"] for reason, entry in report.dropped.items()} == {
        "binary": 1,
        "duplicate": 1,
        "invalid UTF-8": 1,
        "minified": 1,
        "near-duplicate": 1,
        "too large": 1,
        "unknown language": 4,
        "vendored": 1,
    }
    assert report.dropped["duplicate"]["examples"][0].startswith("shop/test/copy.py (as shop/src/订单 page 🦄.py)")
    assert report.secrets == {"e-mail address": {"count": 1, "files": 1, "examples": ["shop/src/mail.py:33"]}}


def test_tokens_are_those_of_the_texts(shop, model, tmp_path):
    report = build_corpus([shop], tmp_path / "out", tokenizer_of=model, shard_tokens=700)
    corpus = Corpus.open(tmp_path / "out")
    assert len(corpus.manifest["shards"]) > 1
    start = 0
    for index, document in enumerate(corpus.documents):
        tokens = corpus.tokens(index)
        assert tokens.dtype == np.uint16
        assert document.start == start
        assert document.length == len(tokens)
        assert tokens.tolist() == corpus.tokenizer.encode(corpus.text(index))
        assert corpus.tokenizer.decode(tokens.tolist()) == corpus.text(index)
        start += len(tokens)
    assert report.kept["tokens"] == start == sum(shard["tokens"] for shard in corpus.manifest["shards"])
    assert report.kept["files"] == len(corpus.documents) == 5


class StopAfter(Progress):
    """Stops the build like Ctrl-C, after so many reports of progress."""

    def __init__(self, count: int) -> None:
        self.count = count

    def update(self, label, *, done, total, note=""):  # noqa: ARG002
        self._step()

    def track(self, items, *, label, total=None):  # noqa: ARG002
        for item in items:
            self._step()
            yield item

    def _step(self) -> None:
        self.count -= 1
        if self.count < 0:
            raise KeyboardInterrupt


@pytest.fixture
def many(tmp_path, monkeypatch) -> Path:
    """A folder of files that make several parts."""
    monkeypatch.setattr(build, "_PART_BYTES", 4000)
    write(tmp_path / "many", {f"{number:02}.py": function(f"f{number}", number) for number in range(30)})
    return tmp_path / "many"


def test_an_interrupted_build_ends_with_the_same_bytes(many, model, tmp_path):
    options = {"tokenizer_of": model, "shard_tokens": 5000}
    whole = build_corpus([many], tmp_path / "whole", **options)
    num_stops = 0
    for count in range(100):
        try:
            resumed = build_corpus([many], tmp_path / "parts", **options, progress=StopAfter(count))
            break
        except KeyboardInterrupt:
            num_stops += 1
            with pytest.raises(DataError, match="an unfinished one"):
                Corpus.open(tmp_path / "parts")
    assert num_stops >= 4
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    once = {"seconds": 0, "tokenized": 0}
    assert {**resumed.to_dict(), **once} == {**whole.to_dict(), **once}
    assert 0 < resumed.tokenized < whole.tokenized == pytest.approx(whole.kept["bytes"] / 1e6)


def test_processes_change_nothing(many, model, tmp_path):
    for processes in (1, 2):
        build_corpus([many], tmp_path / str(processes), tokenizer_of=model, num_processes=processes)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_a_killed_build_ends_with_the_same_bytes(many, model, tmp_path):
    code = (
        "import sys\nfrom tonggan.codelm.corpus import build, build_corpus\nbuild._PART_BYTES = 4000\n"
        "build_corpus([sys.argv[1]], sys.argv[2], tokenizer_of=sys.argv[3])"
    )
    out = tmp_path / "killed"
    process = forked.Process([sys.executable, "-c", code, str(many), str(out), str(model)])
    limit = time.monotonic() + 60
    while len(list(out.glob("work/*.npz"))) < 3 and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    build_corpus([many], out, tokenizer_of=model)
    build_corpus([many], tmp_path / "whole", tokenizer_of=model)
    assert contents(out) == contents(tmp_path / "whole")


def test_the_same_files_are_not_done_again_and_changed_ones_are(many, model, tmp_path):
    out = tmp_path / "out"
    first = build_corpus([many], out, tokenizer_of=model)
    before = contents(out)
    again = build_corpus([many], out, tokenizer_of=model)
    assert again.to_dict() == first.to_dict()
    write(many, {"00.py": function("changed", 99), "new.py": function("new", 100)})
    (many / "01.py").unlink()
    assert build_corpus([many], out, tokenizer_of=model).kept["files"] == 30
    after = contents(out)
    assert len(after) == len(before)  # The shards of the former one are gone.
    assert any("def changed" in Corpus.open(out).text(index) for index in range(30))


def test_files_that_vanish_or_change_while_it_runs(many, model, tmp_path):
    class Remove(Progress):
        def update(self, label, *, done, total, note=""):  # noqa: ARG002
            (many / "29.py").unlink(missing_ok=True)
            (many / "28.py").write_text(function("changed", 99))

    report = build_corpus([many], tmp_path / "out", tokenizer_of=model, progress=Remove())
    assert report.dropped["vanished"]["examples"] == ["many/29.py"]
    assert report.kept["files"] == 29


def test_choosing_licenses_and_benchmarks(shop, model, tmp_path):
    exam = tmp_path / "exam.py"
    exam.write_text(function("mail", 5))
    report = build_corpus([shop], tmp_path / "out", tokenizer_of=model, licenses=["permissive"], against=[str(exam)])
    corpus = Corpus.open(tmp_path / "out")
    assert {document.license for document in corpus.documents} == {"MIT"}
    assert report.dropped["license"]["examples"] == ["library/core.py (GPL-3.0)"]
    assert report.dropped["benchmark"]["examples"][0].startswith(f"shop/src/mail.py ({exam}: “def mail value")
    assert corpus.manifest["against"] == [str(exam)]


def test_installed_packages_are_repositories_with_their_licenses(model, tmp_path):
    packages = tmp_path / "site-packages"
    write(
        packages,
        {
            "one/a.py": function("a", 1),
            "one-1.0.dist-info/METADATA": "Name: one\nLicense: MIT\n",
            "one-1.0.dist-info/RECORD": "one/a.py,,\none-1.0.dist-info/RECORD,,\n../../bin/one,,\n",
            "two.py": function("b", 2),
            "two-2.0.dist-info/METADATA": "Name: two\nLicense-Expression: GPL-3.0-only\n",
            "two-2.0.dist-info/RECORD": "two.py,,\n",
        },
    )
    build_corpus([packages], tmp_path / "out", tokenizer_of=model)
    documents = Corpus.open(tmp_path / "out").documents
    assert [(document.repository, document.name, document.license) for document in documents] == [
        ("one", "one/a.py", "MIT"),
        ("two", "two.py", "GPL-3.0"),
    ]


def test_a_corpus_inside_its_repository_is_not_part_of_it(many, model):
    build_corpus([many], many / "corpus", tokenizer_of=model)
    report = build_corpus([many], many / "corpus", tokenizer_of=model)
    assert report.kept["files"] == 30
    assert report.dropped == {}


def test_nothing_to_learn_from(model, tmp_path):
    (tmp_path / "empty").mkdir()
    assert build_corpus([tmp_path / "empty"], tmp_path / "out", tokenizer_of=model).kept["files"] == 0
    assert len(Corpus.open(tmp_path / "out").documents) == 0


def test_wrong_input_is_named_before_any_work(many, model, tmp_path):
    def made(**options) -> None:
        build_corpus(**{"paths": [many], "out": tmp_path / "out", "tokenizer_of": model, **options})

    with pytest.raises(DataError, match="got no such folder"):
        made(paths=[tmp_path / "none"])
    with pytest.raises(ConfigError, match="got 'MTI'"):
        made(licenses=["MTI"])
    with pytest.raises(ConfigError, match="got 'none', which is no such file or folder"):
        made(tokenizer_of="none")
    with pytest.raises(DataError, match="got vanished"):
        made(against=["none.py"])
    with pytest.raises(DataError, match="got files that are no corpus"):
        made(out=many)
    assert len(list(many.iterdir())) == 30
    (many / "manifest.json").write_text('{"name": "an extension of a browser"}')
    with pytest.raises(DataError, match="got no manifest of a corpus"):
        made(out=many)
    assert len(list(many.iterdir())) == 31


def test_a_damaged_corpus_is_named(many, model, tmp_path):
    out = tmp_path / "out"
    build_corpus([many], out, tokenizer_of=model)
    with pytest.raises(DataError, match=r"got no file manifest\.json"):
        Corpus.open(many)
    (tokens,) = out.glob("*/00000.tokens")
    whole = tokens.read_bytes()
    tokens.write_bytes(whole[:-2])
    with pytest.raises(DataError, match=rf"got {len(whole) - 2:,} bytes instead of {len(whole):,}"):
        Corpus.open(out)
    tokens.unlink()
    with pytest.raises(DataError, match="got no such file"):
        Corpus.open(out)


def test_processes_that_clean_import_nothing_from_the_folder(tmp_path, model, monkeypatch):
    root = tmp_path / "shop"
    root.mkdir()
    for number in range(1001):
        (root / f"f{number}.py").write_text(function(f"f{number}", number))
    for name in ("multiprocessing", "sqlite3", "numpy", "detect_secrets", "sitecustomize"):
        (root / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", ":.")
    report = build_corpus(["."], tmp_path / "out", tokenizer_of=model, num_processes=2)
    assert report.kept["files"] >= 1001
    assert not (tmp_path / "ran").exists()
