"""Pixels and outlines as Qt draws them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import QPointF, QRectF
from qtpy.QtGui import QImage, QPixmap, QPolygonF


def to_pixmap(pixels: np.ndarray) -> QPixmap:
    """A pixmap of pixels (h, w, 3), uint8."""
    height, width, _ = pixels.shape
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())


def placed(
    ring: Sequence[float] | np.ndarray, frame: tuple[float, float, float, float], square: QRectF
) -> QPolygonF:
    """A ring (``y0, x0, …``, µm) on the screen, where `frame` fills `square`."""
    y0, x0, y1, x1 = frame
    points = np.asarray(ring, np.float64).reshape(-1, 2)
    ys = square.top() + (points[:, 0] - y0) / (y1 - y0) * square.height()
    xs = square.left() + (points[:, 1] - x0) / (x1 - x0) * square.width()
    return QPolygonF([QPointF(x, y) for y, x in zip(ys.tolist(), xs.tolist(), strict=True)])
