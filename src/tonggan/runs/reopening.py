"""The rows that a finished run has learned from, read again as the run reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tonggan.errors import DataError
from tonggan.progress import Progress
from tonggan.runs.bundle import Bundle
from tonggan.runs.fitting import plan_and_data
from tonggan.runs.loading import Data
from tonggan.runs.plan import Plan
from tonggan.runs.start import Start


def with_data(original: Bundle, run: Path, source: Any, *, progress: Progress) -> tuple[Plan, Data]:
    """The rows that the run has learned from: others would be no lesson, and no fair measure."""
    recipe, sources = original.recipe, {}
    if source is not None:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"set": None, "train": None})})
        sources = {"train": source}
    elif recipe.data.set is None and recipe.data.train is None:
        raise DataError(
            f"data of {run}",
            got="a run trained on a table in memory",
            expected="that table",
            remedy="Name it with --data (in Python data=…)",
        )
    fitted = {name: modality.state() for name, modality in original.modalities.items()}
    plan, data = plan_and_data(recipe, sources, Start({}, {}), progress=progress, fitted=fitted)
    if data.fingerprint != original.info["fingerprint"] and not original.recipe.study.folds:
        raise DataError(
            f"data of {run}",
            got="other rows than the run was trained on",
            expected=f"the same table, fingerprint {original.info['fingerprint'][:16]}",
            remedy="Name the table that it was fitted to with --data",
        )
    return plan, data
