"""What the cells of a batch that are beyond doubt say of the others; groups and days play no part.

Without an unstained channel: how they wear their marker. HER2 sits in the membrane; in a section
such a cell is a rim around a darker middle, while a macrophage glows all over. A protein that fills
cells, and their nuclei, is brightest in their middle, where a macrophage has its dark nucleus.

With one: how much they glow by themselves. Pigmented macrophages glow more than tissue; cancer
cells do not, unless they are full of mitochondria or their marker bleeds into that channel.
"""

from __future__ import annotations

import math

import numpy as np

CERTAIN_SCORE = 5.0
"""The network's score of cells beyond doubt: half of the true cells of simulated sections by three
authors reach it, and 1 of 20 macrophages that pass the gate without an unstained channel."""

PATTERN_SCORE, PATTERN_CELLS = 6.0, 30
"""So many with this score say how the marker is worn: of macrophages that pass the gate without an
unstained channel 1 in 30 has it, of true cells two in three."""

RIM, FULL = 0.2, 0.0
"""Rims are worn where the median ``ring`` of these is above `RIM`, cells are full of marker where
it is below `FULL`; between them nothing can be said."""

USUAL_SPREADS, USUAL_LEAST = 3.5, 0.3
"""The usual ``ring`` is within so many robust standard deviations, and always within so much, of
the median. Membranes, cytoplasm and brown stain of four generators have spreads of 0.06 to 0.13."""

ODD_FRACTION = 0.1
"""Where more of the most certain cells are unusual, they are cells of another kind, and nothing is
asked. Macrophages become rarer the more certain the network is; cells of another kind do not."""

GLOW_CELLS = 20
"""So many certain cells say how much cells of their batch glow."""

GLOW_QUANTILE, GLOW_MORE, GLOW_LEAST = 0.95, 3.0, 1.1
"""A cell may glow more than the median of the certain ones of its batch by `GLOW_MORE` times what
this quantile of them does, and `GLOW_LEAST` times as much as common tissue always."""

NUCLEUS_SPREADS, NUCLEUS_LEAST = 4.0, 0.2
"""In cells full of marker its share on the nucleus is within so many robust standard deviations,
and always within so much, of the median: 0.76 and more of the rest's, in macrophages half."""

ELSEWHERE_MORE = 4.0
"""As `GLOW_MORE`, for what shines in the channel of a nuclear phenotype outside the nucleus."""

EXPECTED_RIM, EXPECTED_NUCLEUS = 0.2, 0.7
"""What a cell has at least where the batch does not tell and the study says where its marker is."""

RIM_WORTH, RIM_SCORE = 5.0, 6.0
"""Without an unstained channel, where cells wear rims: `RIM_WORTH` times its ``ring`` added to the
score of an object must exceed `RIM_SCORE`. Of 2943 true cells in nine studies by three
authors 8 do not, of 2789 macrophages that pass otherwise 1156."""

FULL_SCORE = 7.5
"""With more than this an object is a cell though it is filled where others wear rims: in studies by
two of them 34 true cells and 5 false ones that are filled have more."""

LEAST_RING, MOST_RING = -0.5, 0.7
"""Beyond these values ``ring`` says no more."""

EXPECTED_ELSEWHERE = 1.0
"""What there has more light at its edge in the channel of a nuclear phenotype than in the marker's
is no labelled cell: such cells have 0.5 at most, macrophages 0.3 to 2.6."""


def score_with_rim(scores: np.ndarray, rings: np.ndarray) -> np.ndarray:
    """How sure it is that this is a cell, where cells wear rims.

    Parameters
    ----------
    scores, rings : numpy.ndarray of float64, shape (n,)

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
    """
    return np.asarray(scores + RIM_WORTH * np.clip(rings, LEAST_RING, MOST_RING))


def tells(scores: np.ndarray) -> bool:
    """Whether a batch has enough certain cells for their pattern."""
    return bool(np.count_nonzero(np.asarray(scores) >= PATTERN_SCORE) >= PATTERN_CELLS)


def glow_allowed(scores: np.ndarray, glows: np.ndarray) -> float:
    """How much a cell of this batch glows at most by itself.

    Parameters
    ----------
    scores, glows : numpy.ndarray of float64, shape (n,)
        Of what passes the gate in a batch; glows in multiples of common tissue, NaN: not known.

    Returns
    -------
    float
        In the same multiples; infinite where too few are certain.
    """
    certain = np.asarray(glows)[(np.asarray(scores) >= CERTAIN_SCORE) & np.isfinite(glows)]
    if len(certain) < GLOW_CELLS:
        return math.inf
    return max(_beyond(certain, GLOW_MORE), GLOW_LEAST)


def nucleus_asked(scores: np.ndarray, rings: np.ndarray, on_nucleus: np.ndarray) -> float:
    """How much of the marker a cell of the batch has on its nucleus at least.

    Parameters
    ----------
    scores, rings, on_nucleus : numpy.ndarray of float64, shape (n,)
        Of what passes the gate in a batch; the last in multiples of what the rest of the cell has.

    Returns
    -------
    float
        In the same multiples; -inf where cells are not full of marker or the batch does not tell.
    """
    chosen = (np.asarray(scores) >= PATTERN_SCORE) & np.isfinite(on_nucleus)
    certain = np.asarray(on_nucleus)[chosen]
    if len(certain) < PATTERN_CELLS or float(np.median(np.asarray(rings)[chosen])) >= FULL:
        return -math.inf
    middle, spread = _middle(certain)
    least = middle - max(NUCLEUS_SPREADS * spread, NUCLEUS_LEAST)
    return least if np.mean(certain < least) <= ODD_FRACTION else -math.inf


def elsewhere_allowed(scores: np.ndarray, elsewhere: np.ndarray) -> float:
    """How much a cell shines in the channel of a nuclear phenotype outside the nucleus, at most.

    Parameters
    ----------
    scores, elsewhere : numpy.ndarray of float64, shape (n,)
        Of what passes the gate in a batch; the second in multiples of the marker there.

    Returns
    -------
    float
        In the same multiples; infinite where the batch does not tell.
    """
    certain = np.asarray(elsewhere)[(np.asarray(scores) >= PATTERN_SCORE) & np.isfinite(elsewhere)]
    if len(certain) < PATTERN_CELLS:
        return math.inf
    return _beyond(certain, ELSEWHERE_MORE)


def _beyond(certain: np.ndarray, times: float) -> float:
    """More than the median by so many times what the upper quantile is."""
    middle, upper = np.quantile(certain, (0.5, GLOW_QUANTILE))
    return float(middle + times * (upper - middle))


def _middle(values: np.ndarray) -> tuple[float, float]:
    """Median, and robust standard deviation."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))


def usual_ring(scores: np.ndarray, rings: np.ndarray) -> tuple[float, float]:
    """Between which ``ring`` a cell of the batch has.

    Parameters
    ----------
    scores, rings : numpy.ndarray of float64, shape (n,)
        Of what passes the gate in a batch.

    Returns
    -------
    (float, float)
        The lower one where cells wear rims, the upper one where they are full of marker; the
        other, and both where the batch does not tell, infinite.
    """
    nothing = -math.inf, math.inf
    certain = np.asarray(rings)[np.asarray(scores) >= PATTERN_SCORE]
    if len(certain) < PATTERN_CELLS:
        return nothing
    middle, spread = _middle(certain)
    within = max(USUAL_SPREADS * spread, USUAL_LEAST)
    if middle > RIM and np.mean(certain <= middle - within) <= ODD_FRACTION:
        return middle - within, math.inf
    if middle < FULL and np.mean(certain >= middle + within) <= ODD_FRACTION:
        return -math.inf, middle + within
    return nothing
