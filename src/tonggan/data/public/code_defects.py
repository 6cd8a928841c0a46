"""Programs of students for five exercises, right or wrong (Refactory, Hu et al. 2019), cut 70/10/20 with seed 0.

Programs that are the same but for the names of variables are one row, and lie in one part; so do those of a row with
two answers, which is left out. A parser alone looks at the programs: nothing is run.
"""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public.writing import stratified_parts, write_csv
from tonggan.progress import Progress

FRACTIONS = {"train": 0.7, "valid": 0.1, "test": 0.2}
_NAME = re.compile(r"data/question_(\d)/code/(correct|wrong)/\w+\.py")
_ANSWERS = {"correct": "right", "wrong": "wrong"}


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv``, ``valid.csv`` and ``test.csv`` with the columns code, exercise, answer."""
    tables = {split: folder / f"{split}.csv" for split in FRACTIONS}
    if all(path.exists() for path in tables.values()):
        return tables
    with zipfile.ZipFile(files["refactory/data.zip"]) as archive:
        rows = read_rows({name: archive.read(name) for name in archive.namelist() if _NAME.fullmatch(name)})
    parts = stratified_parts([(row["exercise"], row["answer"]) for row in rows], fractions=FRACTIONS)
    columns = ("code", "exercise", "answer")
    return {
        split: write_csv(tables[split], (rows[row] for row in chosen), columns=columns)
        for split, chosen in parts.items()
    }


def read_rows(programs: Mapping[str, bytes]) -> list[dict[str, str]]:
    """One row for each program, by its path in the archive, that is not the same as one before it."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    both = set()
    for name in sorted(programs):
        match = _NAME.fullmatch(name)
        assert match is not None, name
        code = programs[name].decode("utf-8", "replace").replace("\r\n", "\n").strip("\n")
        key = (match[1], _without_names(code))
        row = {"code": code, "exercise": match[1], "answer": _ANSWERS[match[2]]}
        if found.setdefault(key, row)["answer"] != row["answer"]:
            both.add(key)
    return [row for key, row in found.items() if key not in both]


class _Renamed(ast.NodeTransformer):
    """Variables and parameters by the order in which they first stand in a program."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.names.setdefault(node.id, f"v{len(self.names)}"), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self.names.setdefault(node.arg, f"v{len(self.names)}"))


def _without_names(code: str) -> str:
    try:
        return ast.dump(_Renamed().visit(ast.parse(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
