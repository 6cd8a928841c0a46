"""What draws modalities together in one space: one file for each loss."""

from tonggan.alignment.base import Alignment, AlignmentConfig, Paired, PairShape
from tonggan.alignment.contrastive import Contrastive, ContrastiveConfig
from tonggan.parts import import_modules

import_modules(__name__)

__all__ = ["Alignment", "AlignmentConfig", "Contrastive", "ContrastiveConfig", "PairShape", "Paired"]
