"""Training: the loop, its optimizer, precision, budget and checkpoints. It knows no modality and no kind of task."""

from tonggan.training.budget import Budget
from tonggan.training.config import TrainingConfig
from tonggan.training.loop import train
from tonggan.training.pace import Following
from tonggan.training.result import TrainingResult

__all__ = ["Budget", "Following", "TrainingConfig", "TrainingResult", "train"]
