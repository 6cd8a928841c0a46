"""A trained bug detector: what it suspects in functions, how sure it may be, and its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tonggan.codelm.review.learned.examples import Example, Vocabulary, collate, read_example
from tonggan.codelm.review.learned.functions import Function
from tonggan.codelm.review.learned.game import held_out_example
from tonggan.codelm.review.learned.network import RewriteScorer, RewriteScorerConfig
from tonggan.codelm.review.learned.rewrites import Rewrite
from tonggan.errors import DataError
from tonggan.stored import named
from tonggan.training.checkpoint import load_checkpoint, save_checkpoint

STARTER = Path("starter")
"""Stands for the file of the detector that comes along; how it was made is in its folder."""
_FORMAT = 3
_AT_ONCE = 16  # functions that are looked at together
_MOST_TOKENS = 512  # of a function; longer ones are not looked at
_BUGGY = 0.01  # share of functions that are taken to have a bug that was not found yet
_LEVELS = 501  # of the scores that are kept for calibration


class Suspicion(NamedTuple):
    """A place where the detector would rather read something else.

    Attributes:
        function: in which it is.
        rewrite: that it would rather read.
        score: how much more speaks for the rewrite than for there being no bug, in nats.
        confidence: the chance that it is right where one function in a hundred has a bug.
    """

    function: Function
    rewrite: Rewrite
    score: float
    confidence: float


class BugDetector:
    """Points at what does not fit in a function.

    Args:
        scorer: the network.
        vocabulary: its words.
        config: its size.
        levels: scores of functions as they are and with a bug, float ``[2, 501]`` in rising order; None before
            ``calibrate``.
    """

    def __init__(
        self,
        scorer: RewriteScorer,
        vocabulary: Vocabulary,
        *,
        config: RewriteScorerConfig,
        levels: Tensor | None = None,
    ) -> None:
        self.scorer, self.vocabulary, self.config = scorer.eval(), vocabulary, config
        self.levels = torch.zeros(2, _LEVELS) if levels is None else levels

    @torch.inference_mode()
    def logits(self, examples: Sequence[Example]) -> Tensor:
        """Log-probabilities ``[B, 1 + R]``: of no bug, then of each rewrite."""
        logits: Tensor = self.scorer(collate(examples, self.vocabulary))
        return logits.log_softmax(dim=1)

    def suspicions(self, functions: Iterable[Function]) -> Iterator[Suspicion]:
        """What is suspected most in each function that has rewrites and is short enough, however little it be."""
        read = ((function, read_example(function, max_tokens=_MOST_TOKENS)) for function in functions)
        known = ((function, example) for function, example in read if example is not None)
        while chunk := list(islice(known, _AT_ONCE)):
            logits = self.logits([example for _, example in chunk])
            best, places = logits[:, 1:].max(dim=1)
            scores = (best - logits[:, 0]).tolist()
            for (function, example), place, score in zip(chunk, places.tolist(), scores, strict=True):
                yield Suspicion(function, example.rewrites[place], score, self.confidence(score))

    def confidence(self, score: float) -> float:
        """The chance that a suspicion of this score is right, by Bayes from the scores of calibration.

        It is that of all suspicions from some score on, this or a lower one: the highest are too few to be counted.
        """
        clean, found = self.levels.double()
        chances = [0.0]
        for level in found[found <= score].unique().tolist():
            finds = float((found >= level).double().mean())
            false_alarms = max(float((clean >= level).double().mean()), 0.5 / _LEVELS)
            chances.append(_BUGGY * finds / (_BUGGY * finds + (1 - _BUGGY) * false_alarms))
        return max(chances)

    def calibrate(self, functions: Sequence[Function]) -> None:
        """Keep how scores are spread over functions as they are, and over those whose bug is found and repaired.

        Args:
            functions: that the network did not learn from.
        """
        clean: list[float] = []
        found: list[float] = []
        for number, function in enumerate(functions):
            original = read_example(function, max_tokens=_MOST_TOKENS)
            changed, answer = held_out_example(function, seed=2 * number + 1)
            examples = [each for each in (original, changed if answer else None) if each is not None]
            for example in examples:
                row = self.logits([example])[0]
                place = int(row[1:].argmax())
                score = float(row[1 + place] - row[0])
                if example is original:
                    clean.append(score)
                else:
                    found.append(score if place + 1 == answer else -np.inf)
        levels = [
            np.quantile(scores or [-np.inf], np.linspace(0, 1, _LEVELS), method="lower") for scores in (clean, found)
        ]
        self.levels = torch.tensor(np.array(levels), dtype=torch.float32)

    def save(self, path: Path) -> None:
        """Write it to one file, its weights in half precision.

        Raises:
            TrainingError: the file cannot be written.
        """
        weights = {f"scorer.{name}": tensor.half() for name, tensor in self.scorer.state_dict().items()}
        state = {"format": _FORMAT, "words": self.vocabulary.words, "config": self.config.to_dict()}
        save_checkpoint(path, tensors={**weights, "levels": self.levels}, state=state)

    @classmethod
    def open(cls, path: Path) -> BugDetector:
        """The one that ``save`` wrote, or ``STARTER``.

        Raises:
            DataError: the file is missing, damaged or of another format.
        """
        if path == STARTER:
            path = Path(__file__).parent / "starter" / "detector.safetensors"
        who, remedy = f"bug detector {path}", "Train it again with 'tonggan code learn-bugs'"
        if not path.exists():
            expected = "a file of 'tonggan code learn-bugs', or 'starter'"
            raise DataError(who, got="no such file", expected=expected, remedy="Check the path")
        with named(who, expected="a file of 'tonggan code learn-bugs'", remedy=remedy, passing=()):
            tensors, state = load_checkpoint(path)
            return cls._opened(tensors, state)

    @classmethod
    def _opened(cls, tensors: dict[str, Tensor], state: dict[str, Any]) -> BugDetector:
        if state["format"] != _FORMAT:
            raise ValueError(f"format {state['format']} instead of {_FORMAT}")
        vocabulary = Vocabulary([str(word) for word in state["words"]])
        config = RewriteScorerConfig.parse(state["config"], who="the detector")
        scorer = RewriteScorer(len(vocabulary), config=config)
        scorer.load_state_dict(
            {name.removeprefix("scorer."): tensor.float() for name, tensor in tensors.items() if name != "levels"}
        )
        levels = tensors["levels"]
        if levels.shape != (2, _LEVELS):
            raise ValueError(f"levels of shape {tuple(levels.shape)} instead of (2, {_LEVELS})")
        return cls(scorer, vocabulary, config=config, levels=levels)
