"""Line completion on packages that nothing was trained on: what does each step of the code model add?

Python's standard library and the installed packages are split by package with a seed. From the held-out ones lines of
real code are drawn, half of the cursors at a line's first character and half inside it; what follows on the line is
taken away, what follows below stays. Every contender completes the same lines: an n-gram model with backoff over the
other packages and the file itself, the model plain, + retrieval from the rest of the line's own package, + the scope
check, and + training where --run names a run of ``tonggan code train`` on a corpus of the packages that --list-train
prints. Silence is off, so that all answer all lines. Each step must pay, or it is off by default.

Told are exact match, edit similarity, the share of answers after which the file parses no worse, the share whose names
are known in the file, in the package or in Python, and the time of an answer with cold caches (p50, p95).
Run: python benchmarks/code_completion.py [--lines 200] [--run runs/open] [--out completion.json]
"""

from __future__ import annotations

import argparse
import ast
import builtins
import json
import keyword
import re
import sysconfig
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from tonggan.codelm.completion.completer import Completer
from tonggan.codelm.completion.config import CompletionConfig
from tonggan.codelm.completion.document import Document
from tonggan.codelm.search.code_index import CodeIndex
from tonggan.codelm.training.adapters import open_code_model
from tonggan.codelm.training.evaluate import Line, completed, draw_lines, edit_similarity
from tonggan.codelm.workspace import Workspace

WORD = re.compile(r"\w+|[^\w\s]|\s+")
NAME = re.compile(r"[^\W\d]\w*")
LONGEST, MOST_BYTES = 5, 200_000
BUILT_IN = {*dir(builtins), *keyword.kwlist, *keyword.softkwlist, "self", "cls"}

Answer = Callable[[Line, Path], str]


@dataclass
class Package:
    name: str
    paths: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def files(self) -> dict[str, str]:
        """Texts by name, read when they are first asked for; neither very long ones nor other encodings."""
        texts = {}
        for name, path in self.paths.items():
            content = path.read_bytes()
            try:
                if len(content) <= MOST_BYTES:
                    texts[name] = content.decode("utf-8").replace("\r\n", "\n")
            except UnicodeDecodeError:
                continue
        return texts


def packages() -> list[Package]:
    """Packages with Python files, top level modules of the standard library each by itself."""
    found: dict[str, Package] = {}
    for root in (Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))):
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).parts
            if not {"site-packages", "dist-packages", "test", "tests", "idlelib", "_vendor"} & set(parts):
                name = parts[0].removesuffix(".py")
                found.setdefault(name, Package(name)).paths["/".join(parts)] = path
    return [found[name] for name in sorted(found)]


class NGram:
    """The next word, mark or space after the longest known beginning, counted over other files and this one."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for text in texts:
            self.read(text, self.counts)

    def read(self, text: str, counts: dict[tuple[str, ...], Counter[str]]) -> None:
        words = WORD.findall(text)
        for place in range(len(words)):
            for size in range(1, min(LONGEST, place) + 1):
                counts[tuple(words[place - size : place])][words[place]] += 1

    def complete(self, line: Line, _root: Path) -> str:
        own: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        self.read(line.text[: line.offset], own)
        words, answer = WORD.findall(line.text[: line.offset]), ""
        for _ in range(40):
            word = self.next(words, own)
            if word is None or "\n" in word:
                break
            answer += word
            words.append(word)
        return answer.rstrip()

    def next(self, words: list[str], own: dict[tuple[str, ...], Counter[str]]) -> str | None:
        for size in range(min(LONGEST, len(words)), 0, -1):
            for counts in (own, self.counts):
                known = counts.get(tuple(words[-size:]))
                if known:
                    return known.most_common(1)[0][0]
        return None


def by_model(completers: dict[Path, Completer], line: Line, root: Path) -> str:
    """The answer of the completer of the line's own package."""
    found = completers[root].complete(Document(root / line.name, line.text, line.language), line.offset)
    return completed(line, text=found[0].text, start=found[0].start, end=found[0].end) if found else ""


def model_contender(name: str, config: CompletionConfig, workspaces: dict[Path, Workspace]) -> Answer:
    model, infill = open_code_model(name)
    # Made here and not when first asked, for an editor's user does not wait for that either.
    completers = {
        root: Completer(model, workspace=workspace, config=config, infill=infill)
        for root, workspace in workspaces.items()
    }
    return partial(by_model, completers)


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def is_valid(line: Line, answer: str) -> bool:
    """With the answer the file parses, or it did not parse with the true line either."""
    before, after = line.text[: line.offset], line.text[line.offset :]
    return bool(answer) and (parses(before + answer + after) or not parses(before + line.target + after))


def resolves(line: Line, answer: str, known: set[str]) -> bool:
    """Whether all names of the answer stand elsewhere in the file, in the package, or in Python."""
    code = re.sub(r"""("[^"]*"|'[^']*'|#.*)""", "", answer)
    before = NAME.findall(line.text[max(0, line.offset - 80) : line.offset] + code)
    wholes = before[len(before) - len(NAME.findall(code)) :]  # a name that the cursor cuts counts whole
    bound = set(re.findall(r"(\w+)\s*(?::[^=]*)?=(?!=)|(?:def|class|for|as|import)\s+(\w+)", code)[:1])
    new = {name for pair in bound for name in pair}
    return bool(answer) and all(name in known or name in new for name in wholes)


def measure(answer: Answer, lines: list[tuple[Line, Path]], known: dict[Path, set[str]]) -> dict[str, float]:
    rows, seconds = [], []
    for line, root in lines:
        start = time.perf_counter()
        text = answer(line, root)
        seconds.append(time.perf_counter() - start)
        names = known[root] | {*NAME.findall(line.text)} | BUILT_IN
        rows.append(
            (text == line.target, edit_similarity(text, line.target), is_valid(line, text), resolves(line, text, names))
        )
    means = np.array(rows, dtype=float).mean(axis=0)
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    names = ("exact_match", "edit_similarity", "syntax_valid", "names_resolve", "p50_ms", "p95_ms")
    return {name: round(float(value), 4) for name, value in zip(names, (*means, p50, p95), strict=True)}


def draw(held_out: list[Package], *, count: int, generator: np.random.Generator) -> list[tuple[str, Line]]:
    """Lines of all packages alike, each with its package's name."""
    lines = []
    for package in held_out:
        names = sorted(package.files)
        chosen = [names[number] for number in generator.permutation(len(names))[:10]]
        files = [(name, "python", package.files[name]) for name in chosen]
        share = max(1, round(2 * count / len(held_out)))
        lines += [(package.name, line) for line in draw_lines(files, count=share, generator=generator)]
    return [lines[number] for number in generator.permutation(len(lines))[:count]]


def write_folders(
    held_out: list[Package], drawn: list[tuple[str, Line]], folder: Path
) -> tuple[list[tuple[Line, Path]], dict[Path, Workspace], dict[Path, set[str]]]:
    """Each package that has lines as a folder without the files that these are from, which all retrieval must miss."""
    workspaces, known = {}, {}
    asked = {name for name, _ in drawn}
    hidden = {line.name for _, line in drawn}
    for package in held_out:
        if package.name not in asked:
            continue
        root = (folder / package.name).resolve()
        root.mkdir(parents=True)
        shown = {name: text for name, text in package.files.items() if name not in hidden}
        for name, text in shown.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        index = CodeIndex.open(root, folder=folder / f"{package.name}.index")
        index.refresh()
        workspaces[root] = Workspace(root, index=index)
        known[root] = {name for text in shown.values() for name in NAME.findall(text)}
    return [(line, (folder / name).resolve()) for name, line in drawn], workspaces, known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--held-out", type=int, default=30, help="packages to measure on")
    parser.add_argument("--ngram-packages", type=int, default=60, help="of the others, for the n-gram model")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--run", help="of tonggan code train, for the last contender")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list-train", action="store_true", help="print the packages to train on, and end")
    parser.add_argument("--out", type=Path, help="file for the table as JSON")
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    every = packages()
    order = generator.permutation(len(every))
    held_out = [every[number] for number in order[: options.held_out]]
    others = [every[number] for number in order[options.held_out :]]
    if options.list_train:
        print("\n".join(package.name for package in others))
        return
    drawn = draw(held_out, count=options.lines, generator=generator)
    with tempfile.TemporaryDirectory() as folder:
        lines, workspaces, known = write_folders(held_out, drawn, Path(folder))
        plain = CompletionConfig(
            multiline="never", threshold=0.0, use_retrieval=False, check_scope=False, num_candidates=1
        )
        retrieving = plain.model_copy(update={"use_retrieval": True})
        checked = CompletionConfig(multiline="never", threshold=0.0)
        texts = [text for package in others[: options.ngram_packages] for text in package.files.values()]
        contenders: dict[str, Callable[[], Answer]] = {
            "n-gram": lambda: NGram(texts).complete,
            f"{options.model} plain": lambda: model_contender(options.model, plain, workspaces),
            "+ retrieval": lambda: model_contender(options.model, retrieving, workspaces),
            "+ scope check": lambda: model_contender(options.model, checked, workspaces),
        }
        if options.run:
            contenders["+ training"] = lambda: model_contender(options.run, checked, workspaces)
        print(f"{len(lines)} lines of {len(workspaces)} packages; seed {options.seed}")
        print(f"{'':20} exact  edit   syntax names     p50     p95", flush=True)
        table = {}
        for name, make in contenders.items():
            row = table[name] = measure(make(), lines, known)
            shares = " ".join(f"{row[key]:6.3f}" for key in list(row)[:4])
            print(f"{name:20} {shares} {row['p50_ms']:6.0f}ms {row['p95_ms']:6.0f}ms", flush=True)
    if options.out:
        result = {"seed": options.seed, "lines": len(lines), "packages": sorted(root.name for root in workspaces)}
        options.out.write_text(json.dumps({**result, "table": table}, indent=2))


if __name__ == "__main__":
    main()
