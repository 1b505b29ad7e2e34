"""How much a candidate looks like pigment beside the cells of its batch that are beyond doubt.

One sign alone tells little: a true cell can glow, be dim, be full of marker, or have a grain like
autofluorescence's. Together they tell nearly all macrophages that a network is not sure of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fociquant.gate.autofluorescence import SAME_GRAIN
from fociquant.gate.looks import (
    EXPLAINED,
    GLOW,
    GLOW_HERE,
    GRAIN,
    STRENGTH,
    fills_its_nucleus,
)
from fociquant.gate.pattern import GLOW_CELLS, ODD_FRACTION, PATTERN_SCORE

PER_GRAIN, PER_EXPLAINED, PER_GLOW, PER_DIMNESS, PER_RING = 3.5, 5.0, 2.0, 0.5, 0.5
"""Score that an object must have for a grain like autofluorescence's (Pearson's r), for the part of
its marker that its autofluorescence explains, for glowing more than usual (as a share), for less
marker (per factor e) and for less of a rim (as a share). From logistic regressions on sections that
two authors simulated, rounded. Nearly all of it lies in the first two, which need no batch to
compare with: of 681 macrophages there 1 is asked for no more than it has, of 2927 true cells 2 are
asked for more."""

LEAST_USUAL_GLOW = 0.9
"""What glows less than tissue does, as a multiple of it, is not suspected for its glow, however
little cells of its batch glow."""

LEAST_GLOW, MOST_GLOW = 0.7, 1.8
"""Beyond these multiples of the usual glow more says no more."""

LEAST_MARKER, LEAST_RIM = 0.05, -0.5
"""Likewise for parts of the usual marker, and of the usual rim."""

EXPECTED_STRENGTH = 12.0
"""Unexplained marker where the batch does not tell, standard deviations of the pixel noise: in five
studies by these authors half of the cells have more than 15 to 37."""

RIMS = 0.4
"""Where rims are worn: the median ``ring`` of the certain cells is above this."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Medians of the certain cells of a batch.

    Parameters
    ----------
    glow : float
        Autofluorescence in multiples of common tissue; 1 where the batch does not tell.
    strength : float
        Unexplained marker, standard deviations of the pixel noise: sections of another bit depth
        may share a batch. `EXPECTED_STRENGTH` where the batch does not tell.
    ring : float
        1 - core / edge of the marker; NaN: not known, or cells do not wear rims alike.
    """

    glow: float = 1.0
    strength: float = EXPECTED_STRENGTH
    ring: float = math.nan

    @classmethod
    def of_batch(cls, scores: np.ndarray, rings: np.ndarray, looks: pd.DataFrame) -> Usual:
        """What the certain cells say, or what is expected where they are few.

        Parameters
        ----------
        scores, rings : numpy.ndarray of float64, shape (n,)
            Of what passes the gate in the batch.
        looks : pandas.DataFrame
            Of the same, from :func:`~fociquant.gate.looks.looks_of`.
        """
        certain = (scores >= PATTERN_SCORE) & np.isfinite(looks[GLOW].to_numpy())
        if np.count_nonzero(certain) < GLOW_CELLS:
            return cls()
        glow, strength = looks.loc[certain, [GLOW, STRENGTH]].median()
        ring = float(np.median(rings[certain]))
        odd = np.mean(rings[certain] < ring / 2)
        alike = ring > RIMS and odd <= ODD_FRACTION
        return cls(max(float(glow), LEAST_USUAL_GLOW), float(strength), ring if alike else math.nan)


def score_of_pigment(looks: pd.DataFrame, ring: np.ndarray, usual: Usual) -> np.ndarray:
    """The score that an object must exceed to be a cell in spite of its looks.

    Parameters
    ----------
    looks : pandas.DataFrame
        Of :func:`~fociquant.gate.looks.looks_of`.
    ring : numpy.ndarray of float64, shape (n,)
        1 - core / edge of the marker.
    usual : Usual
        Of the batch.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        -inf without an unstained channel, and for what is brightest on its nucleus.
    """
    grain = np.nan_to_num(looks[GRAIN].to_numpy())
    glow = looks[GLOW].to_numpy() / usual.glow
    # A cell in bright tissue glows as that does, unless it has the grain of autofluorescence.
    glow = np.where(grain > SAME_GRAIN, glow, np.fmin(glow, looks[GLOW_HERE].to_numpy()))
    asked = PER_GRAIN * grain + PER_EXPLAINED * looks[EXPLAINED].to_numpy()
    asked += PER_GLOW * (np.clip(glow, LEAST_GLOW, MOST_GLOW) - 1.0)
    share = looks[STRENGTH].to_numpy() / usual.strength
    asked -= PER_DIMNESS * np.log(np.clip(share, LEAST_MARKER, 1.0))
    if math.isfinite(usual.ring):
        asked += PER_RING * (1.0 - np.clip(ring / usual.ring, LEAST_RIM, 1.0))
    known = np.isfinite(glow) & ~fills_its_nucleus(looks, ring)
    return np.where(known, asked, -math.inf)
