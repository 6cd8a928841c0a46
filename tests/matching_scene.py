"""One step of each way to match, on nine pairs of which some lack a side: losses and gradients, for tests.

``python matching_scene.py FILE`` writes what the main of several processes has of them, by name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tonggan.alignment import AlignmentConfig
from tonggan.alignment.token_sets import SETS, Matching
from tonggan.data.dataset import Dataset
from tonggan.modalities import Image, ImageConfig
from tonggan.space.features import Features, TokenSets
from tonggan.space.objective import FeatureBatches
from tonggan.space.objective import Matching as MatchingObjective
from tonggan.space.towers import Space
from tonggan.tokens import Arrays, Tokens
from tonggan.training import TrainingConfig
from tonggan.training.stepper import Stepper
from tonggan.training.world import world
from training_scene import MemorySource

ROWS = 9
KINDS = {"picture": "image", "name": "text", "other": "text"}
WAYS: list[tuple[str, Matching]] = [
    *((kind, "pooled") for kind in sorted(AlignmentConfig.family())),
    *(("contrastive", matching) for matching in SETS),
]


class Squares(nn.Module):
    """Pictures ``[B, 3, 8, 8]`` to a token for each of four pixels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(3, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        values = self.layer(arrays.values[:, :, ::4, ::4].flatten(2).transpose(1, 2) / 255)
        return Tokens(values, arrays.mask[:, None].expand(values.shape[:2]))


def scene(
    alignment: str, matching: Matching, *, learns: bool, at_once: int = 64
) -> tuple[MatchingObjective, FeatureBatches]:
    """An objective, and all pairs in one batch; with ``learns`` pictures go through an encoder, ``at_once`` of them."""
    random = np.random.default_rng(0)
    pictures = list(random.integers(0, 255, size=(ROWS, 3, 8, 8), dtype=np.uint8))
    present = {name: np.ones(ROWS, bool) for name in KINDS}
    present["name"][[0, 4]] = present["other"][7] = False
    features = {}
    for name in KINDS:
        sets = TokenSets.of([random.normal(size=(count, 4)) for count in random.integers(1, 4, size=ROWS)])
        sets.mask[~present[name]] = False
        values = random.normal(size=(ROWS, 5)).astype(np.float32)
        content = np.arange(ROWS) % 8  # the last says the same as the first
        features[name] = Features(values, present[name], content, None if matching == "pooled" else sets)
    torch.manual_seed(0)
    widths, tokens = {"image": 5, "text": 5}, {"image": 4, "text": 4} if matching != "pooled" else {}
    encoders = {"image": Squares(6)} if learns else {}
    space = Space(widths, dim=6, hidden=8, matching=matching, token_widths=tokens, encoders=encoders)
    config = AlignmentConfig.parse({"kind": alignment}, who="alignment")
    objective = MatchingObjective(space, KINDS, config, num_labels=2, at_once=at_once)
    raw = Dataset({"picture": MemorySource(Image(ImageConfig(size=8)), pictures)}, np.arange(ROWS)) if learns else None
    labels = np.arange(ROWS) % 3 - 1
    return objective, FeatureBatches(features, labels=labels, batch_size=ROWS, seed=0, shuffle=False, raw=raw)


def stepped(alignment: str, matching: Matching, *, learns: bool, at_once: int = 64) -> dict[str, Tensor]:
    """The losses of a step and the gradients of all that learns, summed over the processes."""
    objective, batches = scene(alignment, matching, learns=learns, at_once=at_once)
    config = TrainingConfig(precision="fp32", clip_norm=None)
    with world() as processes:
        stepper = Stepper(objective, config=config, world=processes, seed=0)
        losses = stepper.step(0, list(batches.epoch(0)), learning_rate=0.0)
        processes.add([losses])
    found = {"losses": losses}
    return found | {name: each.grad for name, each in objective.named_parameters() if each.grad is not None}


def every_step() -> dict[str, Tensor]:
    """Those of all ways, of towers and, where it can learn, of an encoder that reads two pictures at a time."""
    found = {}
    with world():
        for alignment, matching in WAYS:
            for learns in (False, True):
                if not (learns and alignment == "likelihood"):
                    made = stepped(alignment, matching, learns=learns, at_once=2)
                    found |= {f"{alignment} {matching} {learns} {name}": each for name, each in made.items()}
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    with world() as processes:
        found = every_step()
        if processes.is_main:
            save_file({name: each.contiguous() for name, each in found.items()}, Path(sys.argv[1]))
