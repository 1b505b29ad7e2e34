"""How the cells of a batch wear their marker, where no unstained channel tells macrophages apart.

HER2 sits in the membrane: in a section such a cell is a rim around a darker middle, while a
macrophage glows all over. A marker inside the cell fills it, too; so nothing is asked of a batch
unless its cells that are beyond doubt wear rims. Groups and days play no part in it.
"""

from __future__ import annotations

import math

import numpy as np

CERTAIN_SCORE = 5.0
"""The network's score of cells beyond doubt: half of the true cells of simulated sections by three
authors reach it, and 1 of 20 macrophages that pass the gate without an unstained channel."""

CERTAIN_CELLS = 30
"""So many of them say how the marker is worn."""

RIM, RIM_QUANTILE = 0.2, 0.05
"""Rims are worn where all but this share of them have more ``ring`` than this: membranes in the
generators of three authors have 0.28 to 0.50 there, cytoplasm -0.12 and -0.07."""

FILLED = 0.1
"""What then has no more ``ring`` than this is evenly filled."""


def ring_asked(scores: np.ndarray, rings: np.ndarray) -> float:
    """What an object's ``ring`` must exceed by the pattern of its batch.

    Parameters
    ----------
    scores, rings : numpy.ndarray of float64, shape (n,)
        Of what passes the gate in a batch.

    Returns
    -------
    float
        -inf where too few are certain, or they do not wear rims.
    """
    certain = np.asarray(rings)[np.asarray(scores) >= CERTAIN_SCORE]
    if len(certain) < CERTAIN_CELLS or np.quantile(certain, RIM_QUANTILE) <= RIM:
        return -math.inf
    return FILLED
