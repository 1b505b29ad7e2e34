"""Synthetic fluorescence sections of mouse lung, with truth."""

from fociquant.testing.lung.randomise import draw_recipe
from fociquant.testing.lung.recipe import (
    CHANNELS,
    Artefacts,
    Camera,
    CellLook,
    Light,
    LungRecipe,
    TissueLook,
    infect,
)
from fociquant.testing.lung.scene import SectionScene
from fociquant.testing.lung.training import TrainingScene, training_scene
from fociquant.testing.lung.truth import SectionTruth

__all__ = [
    "CHANNELS",
    "Artefacts",
    "Camera",
    "CellLook",
    "Light",
    "LungRecipe",
    "SectionScene",
    "SectionTruth",
    "TissueLook",
    "TrainingScene",
    "draw_recipe",
    "infect",
    "training_scene",
]
