"""The picture of a whole section."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fociquant.report import overview_png
from fociquant.units import PixelSize

NOTHING = np.zeros((4, 4), bool)


@pytest.mark.parametrize(
    ("pixel_size", "size"),
    [
        (PixelSize.square(0.65), (1280, 1600)),
        (PixelSize(0.5, 0.625), (1600, 1600)),
        (PixelSize(2.0, 1.0), (640, 1600)),
        (PixelSize(0.5, 1.0), (1600, 1000)),
    ],
)
def test_lengths_are_as_in_the_tissue(pixel_size, size):
    planes = {"marker": np.zeros((100, 80), np.uint16)}
    picture = overview_png(planes, outline=NOTHING, artefact=NOTHING, pixel_size=pixel_size)
    assert Image.open(io.BytesIO(picture)).size == size
