"""What the cells of a batch that are beyond doubt say of the others; groups and days play no part.

Without an unstained channel: how they wear their marker. HER2 sits in the membrane; in a section
such a cell is a rim around a darker middle, while a macrophage glows all over. A marker inside the
cell fills it, too; so nothing is asked of a batch unless its certain cells wear rims.

With one: how much they glow by themselves. Pigmented macrophages glow more than tissue; cancer
cells do not, unless they are full of mitochondria or their marker bleeds into that channel.
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


GLOW_CELLS = 20
"""So many certain cells say how much cells of their batch glow."""

GLOW_QUANTILE, GLOW_MORE, GLOW_LEAST = 0.95, 0.3, 1.3
"""A cell may glow by `GLOW_MORE` more than this share of the certain ones of its batch, in
multiples of common tissue, and `GLOW_LEAST` always."""


def glow_allowed(scores: np.ndarray, glows: np.ndarray) -> float:
    """How much a cell of this batch glows at most by itself.

    Parameters
    ----------
    scores, glows : numpy.ndarray of float64, shape (n,)
        Of what passes the gate in a batch; glows in multiples of common tissue.

    Returns
    -------
    float
        In the same multiples; infinite where too few are certain.
    """
    certain = np.asarray(glows)[np.asarray(scores) >= CERTAIN_SCORE]
    if len(certain) < GLOW_CELLS:
        return math.inf
    return max(float(np.quantile(certain, GLOW_QUANTILE)) + GLOW_MORE, GLOW_LEAST)


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
