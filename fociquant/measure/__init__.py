"""Room ``measure``: labels and pixels become one row per cell.

The one function to call is :func:`measure_cells`; :func:`reach_px` says how far
around an object it looks, so that the caller can make the halo large enough.
"""

from __future__ import annotations

from fociquant.measure.cells import measure_cells
from fociquant.measure.rings import reach_px

__all__ = ["measure_cells", "reach_px"]
