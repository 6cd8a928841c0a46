"""CoSQA (Huang et al. 2021), dev part: web queries with Python functions. For choosing settings, never for training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public.writing import write_csv
from tonggan.progress import Progress


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``valid`` (query, code, label), ``queries`` (query, the id of its function) and ``functions`` (id, code)."""
    pairs = json.loads(files["cosqa/cosqa-dev.json"].read_text(encoding="utf-8"))
    queries = json.loads(files["cosqa/cosqa-retrieval-dev-500.json"].read_text(encoding="utf-8"))
    functions = json.loads(files["cosqa/code_idx_map.txt"].read_text(encoding="utf-8"))
    return {
        "valid": write_csv(
            folder / "valid.csv",
            ({"query": pair["doc"], "code": pair["code"], "label": pair["label"]} for pair in pairs),
            columns=("query", "code", "label"),
        ),
        "queries": write_csv(
            folder / "queries.csv",
            ({"query": query["doc"], "function": query["retrieval_idx"]} for query in queries),
            columns=("query", "function"),
        ),
        "functions": write_csv(
            folder / "functions.csv",
            ({"function": number, "code": code} for code, number in functions.items()),
            columns=("function", "code"),
        ),
    }
