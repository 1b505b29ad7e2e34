"""Training and fine-tuning of the compact network."""

from __future__ import annotations

from fociquant.segment.training.images import Source, TrainingImage
from fociquant.segment.training.loop import TrainingPlan, train

__all__ = ["Source", "TrainingImage", "TrainingPlan", "train"]
