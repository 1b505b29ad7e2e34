"""What must not be counted: blurred, saturated, folded, under a bubble, dirt.

Masked area leaves the denominator and its cells are rejected, so each rule asks for
more than a dense focus or inflamed lung can show; see the decision on artefacts in the docs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fociquant.model import ChannelStats
from fociquant.prepare.detail import Detail, Levels
from fociquant.prepare.focus import find_focus
from fociquant.prepare.folds import find_folds
from fociquant.prepare.grids import large_pieces
from fociquant.prepare.threads import both
from fociquant.settings import PrepareSettings
from fociquant.units import PixelSize

MIN_BLUR_UM2 = 5000.0
"""Smaller blurred patches are left: some 80 µm across."""

BLUR_RIM_UM = 20.0
"""Around a blurred patch so much is masked as well: the window averages its rim away, µm."""

SATURATED_SHARE = 0.97
"""An overview pixel with a mean of this share of the largest value is saturated all over."""

MIN_SATURATED_UM2 = 400.0
"""Smaller saturated places are single cells or their clumps."""

MIN_DEBRIS_UM2 = 120.0
"""Smaller bright places are single cells."""

DEBRIS_TISSUE = 4.0
"""Debris is so many times brighter than tissue where tissue glows by itself."""

DEBRIS_SHARE = 0.6
"""And all over an overview pixel at least this bright in marker and nuclear stain, 0 (darkest) to 1
(brightest level): membranes and nuclei of a dense focus fill pixels of 8 µm to about half."""

DEBRIS_PALE, DEBRIS_GAP_PX = 2.5, 3
"""Where it is out of focus, and at its ends, debris is followed down to the first, but no more
overview pixels than the second: elastin beside it glows as much."""

DEBRIS_LIGHT_PX = 2
"""Overview pixels around debris that its light reaches: they tell nothing of focus and folds."""

ROUND = 0.8
"""A blurred patch that fills so much of its enclosing ellipse, and has a rim, is a bubble."""

KINDS: dict[str, str] = {
    "out_of_focus": "is out of focus",
    "fold": "lies in folds",
    "bubble": "lies under bubbles",
    "saturated": "is saturated over more than single cells",
    "debris": "is covered by debris",
}
"""Kind to what a warning says of a share of the tissue."""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that the rules look at; masks and planes on the overview grid.

    Parameters
    ----------
    planes : mapping of str to numpy.ndarray of float32, shape (h, w)
        Role to mean raw counts.
    detail : Detail
        Of the same section.
    stats : mapping of str to ChannelStats
    levels : mapping of str to Levels
        Air and tissue of the channel that shows both; may be empty.
    tops : mapping of str to float
        Role to the largest value that pixels take, ``inf`` if none stands out.
    inside : numpy.ndarray of bool, shape (h, w)
        The lung's outline.
    pixel : PixelSize
        Of the overview.
    """

    planes: Mapping[str, np.ndarray]
    detail: Detail
    stats: Mapping[str, ChannelStats]
    levels: Mapping[str, Levels]
    tops: Mapping[str, float]
    inside: np.ndarray
    pixel: PixelSize


@dataclass(frozen=True, slots=True)
class Artefacts:
    """What must not be counted.

    Parameters
    ----------
    masks : mapping of str to numpy.ndarray of bool, shape (h, w)
        Kinds of :data:`KINDS`, in that order.
    blurred_everywhere : bool
        Whether the section as a whole seems out of focus.
    """

    masks: Mapping[str, np.ndarray]
    blurred_everywhere: bool


def find_artefacts(scene: Scene, settings: PrepareSettings) -> Artefacts:
    """Masks of the kinds that are switched on.

    Parameters
    ----------
    scene : Scene
    settings : PrepareSettings
        ``mask_<kind>`` switches each kind.

    Returns
    -------
    Artefacts
    """
    wanted = [kind for kind in KINDS if getattr(settings, f"mask_{kind}")]
    debris = _debris(scene)
    lit = grow(debris, DEBRIS_LIGHT_PX * scene.pixel.mean, scene.pixel)
    rules = {"fold": lambda: _folds(scene, lit), "saturated": lambda: _saturated(scene)}
    (blurred, bubbles, everywhere), others = both(
        lambda: _blurred(scene, lit),
        lambda: {kind: rule() for kind, rule in rules.items() if kind in wanted},
    )
    found = {"out_of_focus": blurred, "bubble": bubbles, "debris": debris} | others
    return Artefacts({kind: found[kind] for kind in wanted}, everywhere)


def artefact_warnings(artefacts: Artefacts, shares: np.ndarray) -> list[str]:
    """What the user should know of them.

    Parameters
    ----------
    artefacts : Artefacts
    shares : numpy.ndarray of float64, shape (h, w)
        Area of the lung in each overview pixel, any unit.

    Returns
    -------
    list of str
        Plain sentences.
    """
    found, whole = [], float(shares.sum())
    for kind, mask in artefacts.masks.items():
        share = float(shares[mask].sum()) / whole if whole > 0 else 0.0
        if share > 0:
            found.append(f"{_percent(share)} of the tissue {KINDS[kind]}; it was left out.")
    if artefacts.blurred_everywhere:
        found.append("The whole section seems out of focus; its cells may be missed.")
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.02 else f"{max(100 * share, 0.1):.1f} %"


def _blurred(scene: Scene, lit: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Patches out of focus, those among them that are bubbles, and whether all is blurred."""
    noises = {role: stats.noise for role, stats in scene.stats.items()}
    focus = find_focus(scene.detail, noises, scene.inside, lit, grid_um=scene.pixel.mean)
    core = large_pieces(ndimage.binary_fill_holes(focus.blurred), MIN_BLUR_UM2, scene.pixel)
    bubbles = np.zeros_like(core)
    pieces, count = ndimage.label(core)
    for number in range(1, count + 1):
        if _is_bubble(pieces == number, scene):
            bubbles |= pieces == number
    grown = [grow(mask, BLUR_RIM_UM, scene.pixel) for mask in (core & ~bubbles, bubbles)]
    return grown[0], grown[1], focus.everywhere


def _folds(scene: Scene, lit: np.ndarray) -> np.ndarray:
    cover = scene.detail.cover
    return find_folds(scene.planes, scene.levels, cover, scene.inside, lit, pixel=scene.pixel)


def _is_bubble(patch: np.ndarray, scene: Scene) -> bool:
    """Round, and with a rim that refracts: unlike both sides in every channel."""
    area = np.count_nonzero(patch) * scene.pixel.area_um2
    radius = np.sqrt(area / np.pi)
    rows, columns = np.nonzero(patch)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    if min(height, width) < 0.7 * max(height, width):
        return False
    ellipse = np.pi / 4 * height * width
    if np.count_nonzero(patch) < ROUND * ellipse:
        return False
    inner = patch & ~grow(~patch, 0.25 * radius, scene.pixel)
    rim = grow(patch, 0.25 * radius, scene.pixel) & ~(patch & inner)
    around = grow(patch, 0.6 * radius, scene.pixel) & ~grow(patch, 0.25 * radius, scene.pixel)
    if not (inner.any() and rim.any() and around.any()):
        return False
    return all(
        np.percentile(plane[rim], 90) > 1.3 * max(
            np.percentile(plane[inner], 90), np.percentile(plane[around], 90)
        )
        for plane in scene.planes.values()
    )  # fmt: skip


def _saturated(scene: Scene) -> np.ndarray:
    """Saturated all over in the marker and in another channel.

    The marker alone may be saturated in a dense focus, and nuclei are; but between
    nuclei the nuclear stain is dark, and no cancer cell saturates autofluorescence.
    """
    full = {
        role: plane >= SATURATED_SHARE * scene.tops[role]
        for role, plane in scene.planes.items()
        if role in ("marker", "nucleus", "autofluorescence")
    }
    marker = full.pop("marker", None)
    if marker is None or not full:
        return np.zeros(scene.inside.shape, bool)
    both = marker & np.any(list(full.values()), axis=0)
    both = large_pieces(both, MIN_SATURATED_UM2, scene.pixel)
    return grow(both, scene.pixel.mean, scene.pixel)


def _debris(scene: Scene) -> np.ndarray:
    """Brighter than any tissue and any cell in every channel, autofluorescence among them.

    Without an autofluorescence channel debris cannot be told from a focus and is left.
    """
    if not {"marker", "nucleus", "autofluorescence"} <= set(scene.planes):
        return np.zeros(scene.inside.shape, bool)
    # Where air and tissue are told by another channel: the darkest level, and tissue's median.
    stats = scene.stats["autofluorescence"]
    level = scene.levels.get("autofluorescence", Levels(stats.low, stats.background))
    if level.tissue <= level.air:
        return np.zeros(scene.inside.shape, bool)
    glow = (scene.planes["autofluorescence"] - level.air) / (level.tissue - level.air)
    bright = glow > DEBRIS_TISSUE
    for role in ("marker", "nucleus"):
        # Not above `high`: much debris is itself the brightest there is.
        low, high = scene.stats[role].low, scene.stats[role].high
        bright[bright] = scene.planes[role][bright] > low + DEBRIS_SHARE * (high - low)
    core = large_pieces(bright, MIN_DEBRIS_UM2, scene.pixel)
    if not core.any():
        return core
    pale = core | (glow > DEBRIS_PALE)
    whole = ndimage.binary_dilation(core, np.ones((3, 3)), iterations=DEBRIS_GAP_PX, mask=pale)
    return np.asarray(whole)


def grow(mask: np.ndarray, by_um: float, pixel: PixelSize) -> np.ndarray:
    """Everything at most this far from a mask."""
    if not mask.any():
        return mask
    distance = ndimage.distance_transform_edt(~mask, sampling=(pixel.y, pixel.x))
    return np.asarray(distance <= by_um)
