"""Training and fine-tuning of the compact network, and of Cellpose's own."""

from __future__ import annotations

from fociquant.segment.training.calibrate import calibrate
from fociquant.segment.training.images import Source, TrainingImage, training_image
from fociquant.segment.training.loop import TrainingPlan, train
from fociquant.segment.training.sources import ImagePool, ScenePool

__all__ = [
    "ImagePool",
    "ScenePool",
    "Source",
    "TrainingImage",
    "TrainingPlan",
    "calibrate",
    "train",
    "training_image",
]
