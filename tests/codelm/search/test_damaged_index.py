"""Whatever stands in the files of an index, a search finds what the repository holds, or an error names a remedy."""

import shutil
from pathlib import Path

import pytest

from damage_scene import bounded, cut_and_flipped, no_content
from embedder_scene import tiny_embedder
from tonggan.codelm.search import CodeIndex
from tonggan.codelm.search.opening import open_index
from tonggan.retrieval import live_vectors

pytest.importorskip("faiss")
pytest.importorskip("tantivy")
pytest.importorskip("tree_sitter")

QUESTION = "parse the date of an order"


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    names = ("date", "order", "price", "mail", "stock")
    return {
        f"{name}.py": f'def parse_{name}(text):\n    """Parse the {name} of an order."""\n    return len(text)\n'
        for name in names
    }


@pytest.fixture
def root(texts, tmp_path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    for name, text in texts.items():
        (root / name).write_text(text)
    return root


def found(root: Path, folder: Path, embedder) -> list[str]:
    with CodeIndex.open(root, folder=folder, embedder=embedder) as index:
        hits = index.search(QUESTION)
        hits += index.similar("date.py", 1)
        units = [*(hit.unit for hit in hits), *index.symbols("parse"), *index.definitions("parse_mail")]
        assert sum(index.count().values()) >= 0
        index.refresh()
        units += [hit.unit for hit in index.search(QUESTION)]
    return [unit.text for unit in units]


def test_cut_and_flipped_files(root, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(live_vectors, "_FEW", 0)  # so that vectors are in a file too
    embedder = tiny_embedder(texts.values())
    whole, folder = tmp_path / "whole", tmp_path / "index"
    with CodeIndex.open(root, folder=whole, embedder=embedder) as index:
        index.refresh()
    held = "\n".join(texts.values())
    assert len(found(root, whole, embedder)) > 10
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert {name.suffix for name in names} >= {".sqlite", ".faiss", ".store"}
    answered = 0
    for name in names:
        content = (whole / name).read_bytes()
        few = {} if name.suffix == ".sqlite" else {"cuts": 2, "flips": 3}  # the others are made anew from it
        for damaged in (*cut_and_flipped(content, **few), *list(no_content())[:: 1 if not few else 4]):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(whole, folder)
            (folder / name).write_bytes(damaged)
            with bounded(name):
                for text in found(root, folder, embedder):
                    assert all(line.strip() in held for line in text.split("\n"))
                answered += 1
    assert answered > 100


@pytest.mark.parametrize(
    ("content", "is_a_name"), [(b"", False), (b"\xff\xfe\0", False), (b"nowhere", True), (b"x" * 100_000, True)]
)
def test_a_damaged_name_of_the_embedder(root, tmp_path, content, is_a_name):
    """What is no name is as if there were none; another name is refused."""
    folder = tmp_path / "index"
    open_index(root, folder=folder, embedder="none").close()
    (folder / "embedder.txt").write_bytes(content)
    opened = False
    with bounded(folder / "embedder.txt"):
        open_index(root, folder=folder).close()
        opened = True
    assert opened != is_a_name
