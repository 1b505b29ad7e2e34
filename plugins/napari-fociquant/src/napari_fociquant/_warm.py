"""What is slow the first time is done before somebody waits for it."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from napari_fociquant._layers import UNITS


def warm_up() -> None:
    """Load what opening a section needs: lazy arrays, and napari's table of units.

    Together they take one to two seconds of the first section that is opened.
    """
    from napari.layers import Image

    # The first thing that Dask computes loads all of its schedulers.
    import_module("dask.array").zeros(1).compute()
    Image(np.zeros((2, 2), np.uint8), units=UNITS)
