"""How well code is found: BM25, vectors, both together, and re-ranked, with one or several embedders.

    TONGGAN_MIRROR=MIRROR python benchmarks/code_search.py --work FOLDER [--embedder minilm] [--embedder TUNED] [--more]

Two sets, nothing of which is trained on:

- CoSQA dev (Huang et al. 2021; MIRROR/cosqa): 500 questions of real users, each with one right function of 6,267. Its
  annotators saw one function for each question, so other right ones count as wrong.
- Docstrings of the standard library and of installed packages: the first sentence finds its function, from which the
  docstring is taken out, among all functions of these packages. Packages are drawn by a checksum of their names, so
  that an embedder tuned on the others (`--held-out` prints the names) has never met them.

`--chinese` asks 100 of CoSQA's dev questions, drawn with seed 0, in English and in Chinese (cosqa_questions_zh.json, by
the questions' ids; CoSQA is MIT), by default with minilm and e5; `--more` compares word by word, too. Settings were
chosen on these 100, and the dictionary of terms was written by somebody who knew them, so 40 others are asked as well
that were translated afterwards.

With `--repository NAME=FOLDER` it asks the questions about httpx or click in repository_questions.json of a clone
with its tests, documents and history, and counts those whose right code, as a person judged it before any search, is
among the first three answers: of all, and of functions and classes alone.

    git clone https://github.com/encode/httpx /tmp/httpx
    python benchmarks/code_search.py --work FOLDER --repository httpx=/tmp/httpx

MRR and recall count every answer that has the same score as the right one as if it came before by half. `--more` adds
what was tried and left out. What was embedded is kept in FOLDER, so that the next run only asks; name a new one after
changing how words are made or units are written.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sysconfig
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import numpy as np

from tonggan.codelm.search import CodeIndex
from tonggan.codelm.search.code_index import Ranking
from tonggan.codelm.search.opening import open_index
from tonggan.codelm.search.unit_rows import rows_of, text_to_embed
from tonggan.codelm.search_pairs import without_docstring
from tonggan.codelm.source_file import SourceFile, read_source
from tonggan.codelm.units import Unit, units_of
from tonggan.codelm.words import code_words, question_words, split_identifier
from tonggan.models.text_embedder import TextEmbedder
from tonggan.retrieval.rankings import by_reciprocal_rank, by_weighted_score
from tonggan.retrieval.store import Store

DEPTH = 100


@dataclass
class Set:
    """Questions, the units to choose from, and which of them is right for each question."""

    name: str
    questions: list[str]
    units: list[Unit]
    right: list[int]
    ids: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is embedded")
    parser.add_argument("--embedder", action="append", help="minilm, e5 or a folder; may be repeated")
    parser.add_argument("--more", action="store_true", help="also what was tried and left out")
    parser.add_argument("--chinese", action="store_true", help="ask in English and in Chinese")
    parser.add_argument("--limit", type=int, help="only so many questions and twelve times as many functions")
    parser.add_argument("--repository", action="append", metavar="NAME=FOLDER", help="ask a whole repository instead")
    parser.add_argument("--held-out", action="store_true", help="only print the packages that are held out")
    arguments = parser.parse_args()
    if arguments.held_out:
        print("\n".join(name for name, _ in held_out_packages()))
        return
    if arguments.chinese:
        chinese(arguments)
        return
    for given in arguments.repository or ():
        name, _, folder = given.partition("=")
        repository(name, Path(folder), arguments)
    if arguments.repository:
        return
    for make in (cosqa, docstrings):
        data = make()
        if data is None:
            print("CoSQA: skipped, TONGGAN_MIRROR names no folder with cosqa")
            continue
        measure(cut(data, arguments.limit), arguments)


def repository(name: str, root: Path, arguments: argparse.Namespace) -> None:
    """How many questions find their code among the first three answers of the repository's own index."""
    questions = json.loads((Path(__file__).parent / "repository_questions.json").read_text())[name]
    for embedder in arguments.embedder or ["minilm"]:
        index = open_index(root, folder=arguments.work / f"{name}-{Path(embedder).name}", embedder=embedder)
        started, before = time.perf_counter(), time.process_time()
        done = index.refresh()
        used = f"{time.perf_counter() - started:.0f} s, {time.process_time() - before:.0f} CPU seconds"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"\n{name} with {embedder}: {done.num_changed} files read, {done.num_embedded} units embedded")
        print(f"  in {used}, at most {peak} MiB")
        counts = {"all kinds": 0, "functions and classes": 0}
        for question, right in questions.items():
            for label, kinds in (("all kinds", None), ("functions and classes", ("function", "class"))):
                found = [hit.unit.qualified_name for hit in index.search(question, kinds=kinds)[:3]]
                counts[label] += bool({*found} & {*right})
        for label, count in counts.items():
            print(f"  right code among the first three of {label}: {count} of {len(questions)}")


def chinese(arguments: argparse.Namespace) -> None:
    """The same questions of CoSQA in English and in Chinese."""
    data = cosqa()
    if data is None:
        raise SystemExit("TONGGAN_MIRROR names no folder with cosqa")
    translated = json.loads((Path(__file__).parent / "cosqa_questions_zh.json").read_text("utf-8"))
    place = {id_: number for number, id_ in enumerate(data.ids)}
    for name in arguments.embedder or ["minilm", "e5"]:
        embedder = TextEmbedder.load(name)
        index = indexed(data, arguments.work / kept_as(data) / embedder.passage_identity, embedder)
        for part in ("questions", "later"):
            asked = [place[id_] for id_ in translated[part]]
            english = [data.questions[number] for number in asked]
            for language, questions in (("English", english), ("Chinese", [*translated[part].values()])):
                heading(f"{len(asked)} questions in {language}, {name}")
                some = replace(data, questions=questions, right=[data.right[number] for number in asked])
                for ranking in get_args(Ranking)[: None if arguments.more else 3]:
                    report(f"  {ranking}", some, ranked(index, ranking))


def cosqa() -> Set | None:
    folder = Path(os.environ.get("TONGGAN_MIRROR", "")) / "cosqa"
    if not folder.is_dir():
        return None
    numbers = json.loads((folder / "code_idx_map.txt").read_text())
    codes = {number: code for code, number in numbers.items()}
    questions = json.loads((folder / "cosqa-retrieval-dev-500.json").read_text())
    units = [first_unit(codes[number], name=f"{number}.py") for number in range(len(codes))]
    right = [row["retrieval_idx"] for row in questions]
    return Set("CoSQA dev", [row["doc"] for row in questions], units, right, [row["idx"] for row in questions])


def first_unit(code: str, *, name: str) -> Unit:
    file, *units = units_of(SourceFile(Path("/") / name, name, "python", code, "", "\n"))
    found = next((unit for unit in units if unit.kind in ("function", "class")), file)
    return replace(found, kind="function", text=code, path="")


def held_out_packages() -> Iterator[tuple[str, Path]]:
    """A quarter of the packages that are installed, and a quarter of the standard library's."""
    paths = sysconfig.get_paths()
    for root in (Path(paths["stdlib"]), Path(paths["purelib"])):
        for path in sorted(root.iterdir()):
            is_source = (path / "__init__.py").is_file() or path.suffix == ".py"
            if is_source and zlib.crc32(path.stem.encode()) % 4 == 0 and path.stem not in ("test", "tonggan"):
                yield path.stem, path


def docstrings(*, questions_of_each: int = 12, functions_of_each: int = 400) -> Set:
    rng = np.random.default_rng(0)
    data = Set("docstrings of held-out packages", [], [], [])
    for _, path in held_out_packages():
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        pairs: list[tuple[str, Unit]] = []
        for number in rng.permutation(len(files)).tolist():
            if len(pairs) < functions_of_each and "test" not in files[number].name:
                pairs += functions_in(files[number])
        asked = [number for number, (question, _) in enumerate(pairs) if 5 <= len(question.split()) <= 40]
        chosen = set(rng.permutation(asked)[:questions_of_each].tolist())
        for number, (question, unit) in enumerate(pairs[:functions_of_each]):
            if number in chosen:
                data.questions.append(question)
                data.right.append(len(data.units))
            data.units.append(unit)
    return data


def functions_in(path: Path) -> Iterator[tuple[str, Unit]]:
    """The first sentence of each function's docstring, and the function without it."""
    source = read_source(path, root=path.parent)
    if not isinstance(source, SourceFile):
        return
    for unit in units_of(source):
        if unit.kind == "function" and not unit.name.startswith("__") and len(unit.text) < 4000:
            sentence = re.split(r"(?<=[.!?])\s|\n\s*\n", unit.docstring.strip())[0].replace("\n", " ")
            yield sentence, replace(unit, text=without_docstring(unit), docstring="", path="")


def cut(data: Set, limit: int | None) -> Set:
    """The first questions, their answers and as many other units as make it twelve for each."""
    if limit is None:
        return data
    right = data.right[:limit]
    others = sorted({*range(len(data.units))} - {*right})[: 11 * len(right)]
    kept = sorted({*right, *others})
    place = {number: position for position, number in enumerate(kept)}
    return Set(data.name, data.questions[:limit], [data.units[n] for n in kept], [place[n] for n in right])


def measure(data: Set, arguments: argparse.Namespace) -> None:
    print(f"\n{data.name}: {len(data.questions):,} questions, {len(data.units):,} functions")
    heading("")
    folder = arguments.work / kept_as(data)
    report("BM25, words as they are", data, plain_bm25(data, folder / "plain"))
    for number, name in enumerate(arguments.embedder or ["minilm"]):
        embedder = TextEmbedder.load(name)
        index = indexed(data, folder / embedder.passage_identity, embedder)
        if number == 0:
            report("BM25, code-aware", data, ranked(index, "words"))
        print(f"with {name}:")
        report("  vectors", data, ranked(index, "vectors"))
        report("  both by reciprocal ranks", data, both(index, by_reciprocal_rank))
        report("  both by scores scaled to 0..1", data, both(index, by_weighted_score))
        report("  hybrid", data, ranked(index, "hybrid"))
        report("  hybrid, re-ranked", data, ranked(index, "reranked"))
        if arguments.more:
            report_views(data, embedder, folder / f"{embedder.passage_identity}.npz")


def heading(name: str) -> None:
    print(f"{name:38}{'MRR':>7}{'R@1':>7}{'R@10':>7}{'R@50':>7}{'ms':>9}")


def kept_as(data: Set) -> str:
    """The name of the folder with what was embedded of these units."""
    content = json.dumps([data.name, *(unit.text for unit in data.units)])
    return f"{zlib.crc32(content.encode()):08x}"


def plain_bm25(data: Set, folder: Path) -> Callable[[str], dict[str, float]]:
    store = Store.open(folder, analyze=lambda text: re.findall(r"\w+", text.lower()), dim=None, version="plain")
    if not store.groups():
        with store.writing() as writer:
            for number, unit in enumerate(data.units):
                (row,) = rows_of([unit], group=str(number), content_hash="")
                writer.put([replace(row, text=unit.text)])
    return lambda question: store.search_words(question, limit=DEPTH)


def indexed(data: Set, folder: Path, embedder: TextEmbedder) -> CodeIndex:
    """The index as a repository with these functions would have it."""
    store = Store.open(
        folder, analyze=code_words, dim=embedder.dim, version="benchmark", vector_version=embedder.passage_identity
    )
    if not store.groups():
        with store.writing() as writer:
            for number, unit in enumerate(data.units):
                writer.put(rows_of([unit], group=str(number), content_hash=""))
    started = time.perf_counter()
    keys = store.keys_without_vector()
    for first in range(0, len(keys), 512):
        rows = store.rows(keys[first : first + 512])
        vectors = embedder.embed([text_to_embed(row) for row in rows], as_passages=True)
        with store.writing() as writer:
            writer.set_vectors(dict(zip((row.key for row in rows), vectors, strict=True)))
    if keys:
        print(f"embedded {len(keys):,} functions, {len(keys) / (time.perf_counter() - started):.0f} a second")
    return CodeIndex(folder, store, embedder=embedder)


def ranked(index: CodeIndex, ranking: Ranking) -> Callable[[str], dict[str, float]]:
    return lambda question: index.ranked(question, ranking=ranking)


def both(index: CodeIndex, fuse: Callable[..., dict[str, float]]) -> Callable[[str], dict[str, float]]:
    return lambda question: fuse([index.ranked(question, ranking=ranking) for ranking in ("words", "vectors")])


def report(name: str, data: Set, search: Callable[[str], dict[str, float]]) -> None:
    started = time.perf_counter()
    ranks = []
    for question, right in zip(data.questions, data.right, strict=True):
        scores = {int(key.partition("#")[0]): score for key, score in search(question).items()}
        ranks.append(rank_of(right, scores))
    show(name, ranks, (time.perf_counter() - started) / len(ranks))


def rank_of(right: int, scores: dict[int, float]) -> float:
    if right not in scores:
        return float("inf")
    better = sum(score > scores[right] for score in scores.values())
    return 1 + better + (sum(score == scores[right] for score in scores.values()) - 1) / 2


def show(name: str, ranks: Sequence[float], seconds: float) -> None:
    found = np.array(ranks)
    shares = "".join(f"{(found <= depth).mean():7.3f}" for depth in (1, 10, 50))
    print(f"{name:38}{(1 / found).mean():7.3f}{shares}{1000 * seconds:9.1f}", flush=True)


def report_views(data: Set, embedder: TextEmbedder, file: Path) -> None:
    """Vectors of parts of a unit, alone and together with the whole; and questions changed before they are embedded."""
    if not file.exists():
        views = {
            "whole": [unit.text for unit in data.units],
            "name": [" ".join(split_identifier(unit.name)) + ". " + unit.docstring[:400] for unit in data.units],
            "body": [without_docstring(unit) for unit in data.units],
        }
        np.savez(file, **{name: embedder.embed(texts, as_passages=True) for name, texts in views.items()})
    kept = np.load(file)
    whole, name, body = kept["whole"], kept["name"], kept["body"]
    asked = embedder.embed(data.questions)
    short = embedder.embed([" ".join(question_words(question)) for question in data.questions])
    fed_back = np.stack([query + 0.2 * whole[np.argsort(-(whole @ query))[:3]].mean(axis=0) for query in asked])
    tried = {
        "  view: name and docstring": asked @ name.T,
        "  view: without docstring": asked @ body.T,
        "  views: mean with the name's": asked @ (whole + name).T,
        "  views: mean with the body's": asked @ (whole + body).T,
        "  views: best of whole and name": np.maximum(asked @ whole.T, asked @ name.T),
        "  questions without empty words": short @ whole.T,
        "  questions moved to their best three": fed_back @ whole.T,
        "  vectors less their mean": (asked - whole.mean(axis=0)) @ (whole - whole.mean(axis=0)).T,
    }
    for label, scores in tried.items():
        of_right = scores[np.arange(len(data.right)), data.right][:, None]
        ranks = 1 + (scores > of_right).sum(axis=1) + ((scores == of_right).sum(axis=1) - 1) / 2
        show(label, ranks.tolist(), 0.0)


if __name__ == "__main__":
    main()
