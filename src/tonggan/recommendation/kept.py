"""What has been learned so far, kept in a run's folder, so that a run that was killed goes on where it was.

=======================  =====================================================================
NAME/tried.json          the score of each setting that was tried, seconds, which served best
NAME/N.safetensors       the member with that setting; its config and plain data are in the header
NAME/training/           checkpoints of a network at work
=======================  =====================================================================
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from tonggan.errors import BundleError
from tonggan.files import whole_file
from tonggan.floor.base import Stored
from tonggan.recommendation.base import Scorer, ScorerConfig
from tonggan.stored import Record, named, read_record

_DAMAGED = "Start the run from scratch: repeat its command with --overwrite"


class _Tried(Record):
    scores: list[float]
    seconds: float
    best: int


class KeptMember:
    """One member's settings as they are tried, each once, however often the run is stopped.

    Args:
        folder: of this member alone; it is made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.training = folder, folder / "training"
        self._path = folder / "tried.json"
        self._tried = _Tried(scores=[], seconds=0.0, best=-1)
        if self._path.exists():
            self._tried = read_record(_Tried, self._path, remedy=_DAMAGED, kind=BundleError)
        self._best: Scorer | None = None

    @property
    def scores(self) -> list[float]:
        """Of the settings that were tried, in their order."""
        return self._tried.scores

    @property
    def seconds(self) -> float:
        """That they took."""
        return self._tried.seconds

    def best(self) -> Scorer:
        """The member that served best, as it is read from its file: a resumed run has the same numbers."""
        if self._best is None:
            self._best = read_member(self._file(self._tried.best))
        return self._best

    def add(self, scorer: Scorer, score: Callable[[Scorer], float], *, seconds: float) -> None:
        """Keep what the next setting has given.

        Args:
            scorer: the fitted member.
            score: how good it is.
            seconds: that fitting it took.

        Raises:
            OSError: the folder cannot be written.
        """
        number, best = len(self.scores), self._tried.best
        write_member(self._file(number), scorer)
        read = read_member(self._file(number))
        found = score(read)
        if best < 0 or found > self.scores[best]:
            best, self._best = number, read
        self._tried = _Tried(scores=[*self.scores, found], seconds=self.seconds + seconds, best=best)
        with whole_file(self._path) as partial:
            partial.write_text(json.dumps(self._tried.model_dump()), encoding="utf-8")
        shutil.rmtree(self.training, ignore_errors=True)
        for other in range(number + 1):
            if other != best:
                self._file(other).unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.safetensors"


def write_member(path: Path, scorer: Scorer) -> None:
    """Write a fitted member to ``path``.

    Raises:
        OSError: it cannot be written.
    """
    stored = scorer.store()
    header = {"config": json.dumps(scorer.config.to_dict()), "plain": json.dumps(dict(stored.plain))}
    arrays = {name: np.ascontiguousarray(array) for name, array in stored.arrays.items()}
    with whole_file(path) as partial:
        partial.write_bytes(save(arrays, metadata=header))


def read_member(path: Path) -> Scorer:
    """The member that ``write_member`` has written.

    Raises:
        BundleError: the file is damaged.
    """
    with named(f"file {path}", expected="a member of a recommender", remedy=_DAMAGED, kind=BundleError, passing=()):
        with safe_open(path, framework="numpy") as file:
            header = file.metadata()
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        config = ScorerConfig.parse(json.loads(header["config"]), who="config")
        return config.load(Stored(json.loads(header["plain"]), arrays))
