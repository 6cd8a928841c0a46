"""How fast files are made fit to learn from, where the time goes, and whether more processes pay.

    python benchmarks/code_corpus.py                       # the standard library
    python benchmarks/code_corpus.py ~/projects --every 10 # a tenth of the files below a folder

Prints megabytes a second of processor time for each stage by itself, then of a whole build with one process and with
two. Tokenizing (SmolLM2's vocabulary) is a part of the build and is told apart from cleaning.
"""

from __future__ import annotations

import argparse
import sysconfig
import tempfile
import time
from pathlib import Path

from tonggan.codelm.corpus import build_corpus
from tonggan.codelm.corpus.decontaminate import Benchmarks
from tonggan.codelm.corpus.filters import why_dropped
from tonggan.codelm.corpus.near_duplicates import signature
from tonggan.codelm.corpus.secrets import find_secrets
from tonggan.codelm.corpus.shingles import hash_words, words_of
from tonggan.codelm.source_file import SourceFile, read_source
from tonggan.codelm.walk import walk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(sysconfig.get_paths()["stdlib"]))
    parser.add_argument("--every", type=int, default=1, help="take each so-many-th file for the single stages")
    parser.add_argument("--stages-only", action="store_true", help="leave the whole builds out")
    arguments = parser.parse_args()
    paths = list(walk(arguments.folder))[:: arguments.every]
    sources = timed("read", lambda: [read_source(path, root=arguments.folder) for path in paths])
    sources = [source for source in sources if isinstance(source, SourceFile)]
    kept = timed("filters", lambda: [source for source in sources if not why_dropped(source)], sources)
    timed("secrets", lambda: [find_secrets(source.text, language=source.language) for source in kept], kept)
    hashes = timed("words", lambda: [hash_words(words_of(source.text)) for source in kept], kept)
    timed("minhash", lambda: [signature(values) for values in hashes], kept)
    benchmarks = Benchmarks.of(["humaneval"])
    words = [words_of(source.text) for source in kept]
    found = timed(
        "benchmarks",
        lambda: [benchmarks.overlap(s.text, w, h) for s, w, h in zip(kept, words, hashes, strict=True)],
        kept,
    )
    print(f"{sum(1 for overlap in found if overlap)} of {len(found):,} files overlap with HumanEval")
    for processes in () if arguments.stages_only else (1, 2):
        with tempfile.TemporaryDirectory() as out:
            begin = time.perf_counter()
            report = build_corpus([arguments.folder], Path(out), against=["humaneval"], num_processes=processes)
            print(f"\n{processes} process(es): {time.perf_counter() - begin:.1f} s in all")
            print(*report.lines(), sep="\n")


def timed(name, stage, sources=()):
    begin = time.process_time()
    result = stage()
    seconds = time.process_time() - begin
    texts = [source for source in sources or result if isinstance(source, SourceFile)]
    megabytes = sum(len(source.text.encode("utf-8", "replace")) for source in texts) / 1e6
    print(f"{name:12} {seconds:7.2f} s {megabytes / seconds:8.1f} MB/s")
    return result


if __name__ == "__main__":
    main()
