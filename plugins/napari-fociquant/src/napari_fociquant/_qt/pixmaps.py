"""Pixels as Qt draws them."""

from __future__ import annotations

import numpy as np
from qtpy.QtGui import QImage, QPixmap


def to_pixmap(pixels: np.ndarray) -> QPixmap:
    """A pixmap of pixels (h, w, 3), uint8."""
    height, width, _ = pixels.shape
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())
