"""Which objects carry a phenotype marker, and where its light may come from the cell marker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fociquant.model import ChannelStats, PhenotypeRule
from fociquant.settings import GateSettings

COMPARTMENTS: dict[str, str] = {
    "peak": "p90", "nuclear": "nuclear_mean", "membrane": "edge_mean", "whole": "mean",
}  # fmt: skip
"""Compartment to the measure in which the marker is looked for."""

SPILL_BINS = 5
"""Cells are binned by marker; the slope is over the bins."""

SPILL_CELLS_PER_BIN = 8
"""Fewer cells in a bin have no lower quartile worth the name."""

SPILL_QUANTILE = 25.0
"""Cells without the phenotype are at least a quarter of every bin, or the slope is too steep."""

RANGE_QUANTILE = 0.75
"""The range of a batch is that of its brighter sections, in which cells have the phenotype; not of
the brightest, where a fibre may lie."""

FEWEST_CONTROL_CANDIDATES = 20
"""Fewer candidates in the controls have no upper end worth the name."""


ALIKE_NOISE = 2.0
"""Sections scanned alike have the same noise up to this factor: 1.8 at most where some hold far
more nuclei, and 2.7 at least between scans of other gain or depth, in simulated sections."""


@dataclass(frozen=True, slots=True)
class ChannelRange:
    """From the darkest to the brightest level of a channel in the sections of a batch.

    Parameters
    ----------
    counts : float
    noise : float
        Of the pixels, counts: tells sections that were scanned otherwise.
    """

    counts: float
    noise: float

    @classmethod
    def of_batch(cls, sections: Sequence[ChannelStats]) -> ChannelRange:
        """What stands for the sections of a batch; at least one.

        Those that were scanned otherwise than most are left out.
        """
        usual = cls(0.0, float(np.median([one.noise for one in sections])))
        alike = [one for one in sections if usual.holds_for(one)] or sections
        ranges = [one.high - one.low for one in alike]
        return cls(float(np.quantile(ranges, RANGE_QUANTILE, method="lower")), usual.noise)

    def holds_for(self, stats: ChannelStats) -> bool:
        """Whether a section was scanned like the batch, as far as its noise tells."""
        return self.noise / ALIKE_NOISE <= stats.noise <= self.noise * ALIKE_NOISE


@dataclass(frozen=True, slots=True)
class Judged:
    """One phenotype of the objects of a section.

    Parameters
    ----------
    strength : numpy.ndarray of float64, shape (n,)
        Above the surroundings and what spills over, in units of what the section asks for: the
        object is positive above 1, or above the threshold of the controls. NaN without channel.
    positive : numpy.ndarray of bool, or pandas.array of boolean
        All ``<NA>`` without the channel.
    spilled : numpy.ndarray of bool, shape (n,)
        Would be positive but for what spills over from the marker.
    spill_over : float
        Counts per count of marker; 0 if none was found, NaN where it could not be estimated.
    """

    strength: np.ndarray
    positive: np.ndarray | pd.api.extensions.ExtensionArray
    spilled: np.ndarray
    spill_over: float


def judge_phenotype(
    objects: pd.DataFrame,
    name: str,
    stats: ChannelStats | None,
    *,
    settings: GateSettings,
    rule: PhenotypeRule,
    threshold: float | None,
    batch_range: float | None,
    marker_excess: np.ndarray,
    counted: np.ndarray,
) -> Judged:
    """Whether each object's compartment stands out of its surroundings in this channel.

    Beyond the noise and the tissue's own texture, a share of the channel's range in the batch is
    asked for: a dim haze over a cell is no staining, and arms are asked for the same. What spills
    over from the marker is taken off.

    Parameters
    ----------
    objects : pandas.DataFrame
        Measured objects.
    name : str
        The phenotype.
    stats : ChannelStats or None
        None: the section has no such channel.
    settings : GateSettings
    rule : PhenotypeRule
        Its compartment.
    threshold : float or None
        Of controls, in units of `Judged.strength`; only raises.
    batch_range : float or None
        Of the channel, counts; None: the section's own.
    marker_excess : numpy.ndarray of float64, shape (n,)
        Counts.
    counted : numpy.ndarray of bool, shape (n,)
        Labelled cancer cells: on them the spill-over is estimated.

    Returns
    -------
    Judged
    """
    above = _above(objects, name, rule)
    if stats is None or above is None:
        unknown = pd.array([pd.NA] * len(objects), dtype="boolean")
        nothing = np.zeros(len(objects), bool)
        return Judged(np.full(len(objects), np.nan), unknown, nothing, np.nan)
    own_range = stats.high - stats.low
    needed = max(
        settings.phenotype_snr * stats.noise,
        settings.phenotype_fraction * (own_range if batch_range is None else batch_range),
        stats.spread,
    )
    spill = _spill(objects[counted], name, rule, above[counted], marker_excess[counted])
    spilled = np.nan_to_num(spill) * np.maximum(marker_excess, 0.0)
    strength = (above - spilled) / needed
    limit = max(1.0, threshold or 0.0)
    positive = strength > limit
    return Judged(strength, positive, (above / needed > limit) & ~positive, spill)


def _above(objects: pd.DataFrame, name: str, rule: PhenotypeRule) -> np.ndarray | None:
    """The compartment's mean above the surroundings, counts; None without the channel."""
    column = f"{name}_{COMPARTMENTS[rule.compartment]}"
    if column not in objects:  # no nuclear stain
        column = f"{name}_p90"
    if column not in objects:
        return None
    return objects[column].to_numpy(np.float64) - objects[f"{name}_ring"].to_numpy(np.float64)


def section_spill_over(gated: pd.DataFrame, name: str, rule: PhenotypeRule) -> float:
    """:func:`spill_over` of one phenotype in one section.

    Parameters
    ----------
    gated : pandas.DataFrame
        From :func:`~fociquant.gate.gate_objects`.
    name : str
    rule : PhenotypeRule

    Returns
    -------
    float
        NaN where there is no such channel, or too few cells.
    """
    above = _above(gated, name, rule)
    if above is None:
        return float("nan")
    counted = gated["positive"].to_numpy(bool)
    excess = gated["marker_excess"].to_numpy(np.float64)
    counted = counted & np.isfinite(above) & np.isfinite(excess)  # not what was added by hand
    return _spill(gated[counted], name, rule, above[counted], excess[counted])


def _spill(
    cells: pd.DataFrame, name: str, rule: PhenotypeRule, above: np.ndarray, marker: np.ndarray
) -> float:
    """Spill-over on counted cells: for a nuclear phenotype the less of two estimates.

    From cell to cell both channels are brighter where the surroundings are darker, which in dim
    channels looks like spill-over. Within a cell they share these: there, what the edge has more
    of the phenotype than the nucleus goes with what it has more of the marker. A nucleus that has
    the phenotype lowers that, so the upper quartile stands for those that do not.
    """
    between = spill_over(above, marker)
    columns = (f"{name}_edge_mean", f"{name}_nuclear_mean", "marker_edge_mean", "marker_on_nucleus")
    if rule.compartment != "nuclear" or not set(columns) <= set(cells):
        return between
    edge, nuclear, marker_edge, marker_nuclear = (cells[c].to_numpy(np.float64) for c in columns)
    more, more_marker = edge - nuclear, marker_edge - marker_nuclear
    known = np.isfinite(more) & np.isfinite(more_marker)
    within = spill_over(more[known], more_marker[known], quantile=100.0 - SPILL_QUANTILE)
    return within if within < between else between


def spill_over(
    phenotype: np.ndarray, marker: np.ndarray, *, quantile: float = SPILL_QUANTILE
) -> float:
    """How much of the marker's light is seen in the phenotype's channel.

    Cells are put into bins of equal number by their marker; in each the lower quartile of the
    phenotype stands for the cells that do not have it. What rises with the marker there, from
    the dimmest to the brightest bin, has come from the marker (median of the slopes between
    bins). A phenotype that nearly all cells have and that grows with them is taken for
    spill-over too: compare with a single-stained control where it matters.

    Parameters
    ----------
    phenotype, marker : numpy.ndarray of float64, shape (n,)
        Counts above the surroundings, of labelled cells.
    quantile : float
        Which quantile of a bin stands for cells without the phenotype, percent.

    Returns
    -------
    float
        Counts per count, >= 0; NaN with fewer than 40 cells.
    """
    if len(marker) < SPILL_BINS * SPILL_CELLS_PER_BIN:
        return float("nan")
    parts = np.array_split(np.argsort(marker, kind="stable"), SPILL_BINS)
    x = np.array([np.median(marker[part]) for part in parts])
    y = np.array([np.percentile(phenotype[part], quantile) for part in parts])
    i, j = np.triu_indices(SPILL_BINS, 1)
    apart = x[j] > x[i]
    if not apart.any():
        return float("nan")
    return max(0.0, float(np.median((y[j] - y[i])[apart] / (x[j] - x[i])[apart])))


def control_threshold(strengths: np.ndarray, settings: GateSettings) -> float | None:
    """Strength above which hardly a candidate of the negative controls has the phenotype.

    Parameters
    ----------
    strengths : numpy.ndarray of float64, shape (n,)
        `Judged.strength` of the candidates in control sections; NaN is left out.
    settings : GateSettings
        ``control_phenotype_fraction``.

    Returns
    -------
    float or None
        In units of `Judged.strength`; None with fewer than `FEWEST_CONTROL_CANDIDATES`.
    """
    known = strengths[np.isfinite(strengths)]
    if len(known) < FEWEST_CONTROL_CANDIDATES:
        return None
    share = 1.0 - settings.control_phenotype_fraction
    return float(np.quantile(known, share, method="higher"))
