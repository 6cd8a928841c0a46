"""Bugs that a selector puts where the detector finds them hardest (BugLab, Allamanis et al. 2021): both learn."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from tonggan.codelm.review.learned.examples import Example, Vocabulary, collate
from tonggan.codelm.review.learned.fixes import Fix
from tonggan.codelm.review.learned.functions import Function
from tonggan.codelm.review.learned.network import RewriteScorer, RewriteScorerConfig
from tonggan.codelm.review.learned.rewrites import Rewrite, apply_all
from tonggan.layers.precision import in_float32
from tonggan.tasks.measure import Floats, Measure, Reducer
from tonggan.tokens import Arrays, Batch, Prediction
from tonggan.training.config import TrainingConfig
from tonggan.training.objective import MeasuredObjective
from tonggan.training.optimizer import build_optimizer

FUNCTIONS = "functions"
"""The input of a batch: numbers of functions in the objective's ``pool``."""

_MOST_KEPT = 20_000  # functions that are read once, in some 500 MB
_NOISE = 1 / 8  # share of the places of a function with many bugs that are changed
_EXPLORED = 0.25  # share of the selector's draws that are random, so that it goes on learning of all


class Broken(NamedTuple):
    """A function with bugs.

    Attributes:
        example: as the detector reads it.
        repairs: numbers of the rewrites that undo the bugs; None for those that no rewrite undoes.
    """

    example: Example
    repairs: list[int | None]


def broken(original: Example, rewrites: Sequence[Rewrite]) -> Broken | None:
    """``original`` after rewrites that do not touch one another; None where it cannot be read any more."""
    text, undone = apply_all(rewrites, original.graph.text)
    try:
        example = Example.of(text, original.around)
    except (SyntaxError, RecursionError):
        return None
    numbers = {rewrite.edits: number for number, rewrite in enumerate(example.rewrites)}
    return Broken(example, [numbers.get(edits) for edits in undone])


def by_kind(rewrites: Sequence[Rewrite]) -> Tensor:
    """Probabilities ``[R]`` under which each kind that occurs is as likely as the others."""
    kinds = [rewrite.kind for rewrite in rewrites]
    sizes = torch.tensor([kinds.count(kind) for kind in kinds], dtype=torch.float32)
    return 1 / sizes / len(set(kinds))


class BugGame(MeasuredObjective):
    """A detector that points at the bug of a function and at its repair, or says that there is none.

    Each function is learned as it is and with some bugs, each in a copy of its own. A selector is a second network that
    draws them and is rewarded by the detector's loss; without it each kind is as likely as another. One more copy has
    many bugs, of which each teaches: so a function says much more than by one bug alone (Clark et al., ELECTRA, 2020).

    Args:
        pool: functions that have rewrites.
        vocabulary: of words.
        config: size of the detector; the selector has half its layers.
        has_selector: whether the bugs are chosen or random.
        num_bugs: copies of each function in a step.
        fixes: real ones, numbered after the functions: each is learned as it was and as it is (He et al., On
            Distribution Shift in Learning-based Bug Detectors, 2022).
    """

    score_name = "accuracy"
    greater_is_better = True
    splits_batches = True

    def __init__(
        self,
        pool: Sequence[Function],
        vocabulary: Vocabulary,
        *,
        config: RewriteScorerConfig,
        has_selector: bool = True,
        num_bugs: int = 2,
        fixes: Sequence[Fix] = (),
    ) -> None:
        super().__init__()
        self.pool, self.vocabulary, self.num_bugs, self.fixes = pool, vocabulary, num_bugs, fixes
        self._originals: dict[int, Example] = {}
        self.detector = RewriteScorer(len(vocabulary), config=config)
        half = config.model_copy(update={"num_layers": max(1, config.num_layers // 2), "dropout": 0.0})
        self.selector = RewriteScorer(len(vocabulary), config=half) if has_selector else None

    def optimizers(self, config: TrainingConfig) -> dict[str, Optimizer]:
        optimizers: dict[str, Optimizer] = {"detector": build_optimizer(self.detector, config)}
        if self.selector is not None:
            optimizers["selector"] = build_optimizer(self.selector, config)
        return optimizers

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``detector/pointing``: the mean negative log-likelihood of the repair, or of there being none;
        ``detector/denoising``: that of all places of functions with many bugs, for each bug; ``selector``: less the
        detector's loss on the bugs that it prefers.
        """
        numbers = batch.inputs[FUNCTIONS].values.tolist()
        originals = [self._original(number) for number in numbers if number < len(self.pool)]
        fixes = [self.fixes[number - len(self.pool)] for number in numbers if number >= len(self.pool)]
        real = [fixed_example(fix, is_before=is_before) for fix in fixes for is_before in (True, False)]
        preferences = self._preferences(originals or [example for example, _ in real])
        rows: list[Example] = list(originals)
        answers = [0] * len(originals)
        owners: list[tuple[int, int]] = []  # of each row with a bug: its function, and the rewrite that made it
        for row, original in enumerate(originals):
            for number in self._draw(original, None if preferences is None else preferences[row]):
                made = broken(original, [original.rewrites[number]])
                if made is not None and made.repairs[0] is not None:
                    rows.append(made.example)
                    answers.append(1 + made.repairs[0])
                    owners.append((row, number))
        rows += [example for example, _ in real]
        answers += [answer for _, answer in real]
        noisy = [made for original in originals if (made := broken(original, _many(original))) is not None]
        whole = collate([*rows, *(made.example for made in noisy)], self.vocabulary)
        logits = self.detector(whole)
        with in_float32(logits.device):
            losses = F.cross_entropy(logits[: len(rows)], torch.tensor(answers), reduction="none")
            found = {"detector/pointing": losses.mean()}
            if noisy:
                found["detector/denoising"] = _denoising(logits[len(rows) :, 1:], noisy)
            if preferences is not None:
                injected = losses[len(originals) : len(originals) + len(owners)]
                found["selector"] = _regret(preferences, owners, injected.detach())
        return found

    def _original(self, number: int) -> Example:
        """A function as it is; the first that are asked for are kept."""
        found = self._originals.get(number)
        if found is None:
            found = Example.of(self.pool[number].text, self.pool[number].around)
            found = found._replace(graph=found.graph.without_tree())
            if len(self._originals) < _MOST_KEPT:
                self._originals[number] = found
        return found

    def _preferences(self, originals: Sequence[Example]) -> Tensor | None:
        """The selector's logits ``[B, R]``."""
        if self.selector is None:
            return None
        logits: Tensor = self.selector(collate(originals, self.vocabulary))[:, 1:]
        return logits

    def _draw(self, original: Example, preferences: Tensor | None) -> list[int]:
        """Numbers of the rewrites that become bugs, none twice."""
        chances = by_kind(original.rewrites)
        if preferences is not None:
            chosen = preferences[: len(chances)].detach().float().softmax(dim=0)
            chances = (1 - _EXPLORED) * chosen + _EXPLORED * chances
        drawn: list[int] = torch.multinomial(chances, min(self.num_bugs, len(chances))).tolist()
        return drawn

    def predict(self, batch: Batch) -> Prediction:
        """Of functions with a bug that their number decides, or with none: what the detector says of them."""
        made = [self._held_out(number) for number in batch.inputs[FUNCTIONS].values.tolist()]
        rows = [row for row, _ in made]
        logits = self.detector(collate(rows, self.vocabulary)).float()
        answers = torch.tensor([answer for _, answer in made])
        guesses = logits.argmax(dim=1)
        places = [
            [_place(row, answer) for row, answer in zip(rows, given.tolist(), strict=True)]
            for given in (answers, guesses)
        ]
        return Prediction(
            {
                "loss": F.cross_entropy(logits, answers, reduction="none"),
                "answer": answers,
                "guess": guesses,
                "found": torch.tensor(places[0]) == torch.tensor(places[1]),
            }
        )

    def _held_out(self, number: int) -> tuple[Example, int]:
        if number < len(self.pool):
            return held_out_example(self.pool[number], seed=number)
        number -= len(self.pool)
        return fixed_example(self.fixes[number], is_before=number % 2 == 0)

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> Measure:
        del targets
        rows = {name: prediction[name].numpy() for name in ("answer", "guess", "found")}
        return BugMeasure(rows, self.score_name, self.greater_is_better)


class BugMeasure(Measure):
    """How often the bug of a function is found and repaired, and how often one without is let be."""

    def make_reducers(self) -> Sequence[Reducer]:
        answer, guess, found = (self.rows[name] for name in ("answer", "guess", "found"))
        is_broken, is_right = answer > 0, answer == guess

        def shares(counts: Floats) -> Sequence[float]:
            return [
                _share(counts, is_right),
                _share(counts * is_broken, found),
                _share(counts * is_broken, is_right),
                _share(counts * ~is_broken, ~is_right),
            ]

        return [Reducer(("accuracy", "located", "repaired", "false_alarms"), shares)]

    def badness(self) -> Floats:
        badness: Floats = (self.rows["answer"] != self.rows["guess"]).astype(np.float64)
        return badness

    def differs(self, other: Self) -> NDArray[np.bool_]:
        differs: NDArray[np.bool_] = self.rows["guess"] != other.rows["guess"]
        return differs


def held_out_example(function: Function, *, seed: int) -> tuple[Example, int]:
    """A function as it is, in one of two cases, or with a random bug; the answer, 0 for none."""
    original, drawn = Example.of(function.text, function.around), random.Random(seed)
    if drawn.random() < 0.5:
        kinds = sorted({rewrite.kind for rewrite in original.rewrites})
        for kind in drawn.sample(kinds, len(kinds)):
            made = broken(original, [drawn.choice([each for each in original.rewrites if each.kind == kind])])
            if made is not None and made.repairs[0] is not None:
                return made.example, 1 + made.repairs[0]
    return original, 0


def fixed_example(fix: Fix, *, is_before: bool) -> tuple[Example, int]:
    """The function of a fix before it, or after it; the answer, 0 for none."""
    text, answer = (fix.before.text, 1 + fix.answer) if is_before else (fix.after, 0)
    return Example.of(text, fix.before.around), answer


def _many(original: Example) -> list[Rewrite]:
    """Random rewrites of about every eighth place, at least one, that do not touch one another."""
    places: dict[int, list[Rewrite]] = {}
    for rewrite in original.rewrites:
        places.setdefault(rewrite.token, []).append(rewrite)
    chosen: list[Rewrite] = []
    tokens = list(places)
    for place in torch.randperm(len(tokens)).tolist():
        several = places[tokens[place]]
        rewrite = several[int(torch.randint(len(several), ()))]
        if all(_are_apart(rewrite, other) for other in chosen):
            chosen.append(rewrite)
        if len(chosen) >= len(tokens) * _NOISE:
            break
    return chosen


def _are_apart(one: Rewrite, other: Rewrite) -> bool:
    return one.edits[-1][1] < other.edits[0][0] or other.edits[-1][1] < one.edits[0][0]


def _denoising(scores: Tensor, noisy: Sequence[Broken]) -> Tensor:
    """The negative log-likelihood of what every place should be, summed, for each bug; ``scores`` are ``[B, R]``.

    At a place the scores of its rewrites compete with 0, which stands for what is there.
    """
    total, num_bugs = scores.new_zeros(()), 0
    for row, made in zip(scores.clamp(-30, 30), noisy, strict=True):
        tokens = torch.tensor([rewrite.token for rewrite in made.example.rewrites])
        row = row[: len(tokens)]
        places, number = torch.unique(tokens, return_inverse=True)
        sums = row.new_zeros(len(places)).index_add(0, number, row.exp())
        repairs = torch.tensor([repair for repair in made.repairs if repair is not None], dtype=torch.int64)
        total = total + torch.log1p(sums).sum() - row[repairs].sum()
        num_bugs += len(repairs)
    return total / max(1, num_bugs)


def _place(example: Example, answer: int) -> int:
    """The token that an answer points at; -1 where it says that there is no bug."""
    return example.rewrites[answer - 1].token if answer else -1


def _regret(preferences: Tensor, owners: Sequence[tuple[int, int]], losses: Tensor) -> Tensor:
    """Less the loss of the detector that the selector's preference among the drawn bugs of each function expects."""
    if not owners:
        return preferences.sum() * 0
    functions, numbers = torch.tensor(owners, device=preferences.device).unbind(1)
    chosen = preferences[functions, numbers].float()
    same = functions[:, None] == functions[None]
    weight = torch.softmax(chosen[None].expand_as(same).masked_fill(~same, -torch.inf), dim=1)
    return -(weight.diagonal() * losses).sum() / len(preferences)


def _share(counts: Floats, holds: NDArray[np.bool_]) -> float:
    return float(counts @ holds / counts.sum()) if counts.sum() else float("nan")
