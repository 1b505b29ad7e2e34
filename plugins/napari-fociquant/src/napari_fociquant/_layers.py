"""Layers of a section as napari takes them: (data, arguments, kind), in µm.

World coordinates are fociquant's: (y, x), µm from the top-left corner of the image. napari
puts the centre of pixel [0, 0] at the translation, hence half a pixel everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from skimage.measure import find_contours

from fociquant.io import SectionImage
from fociquant.model import Box, ChannelStats, SectionFacts
from fociquant.units import PixelSize
from napari_fociquant._colours import COLOURS, class_colour, role_colours
from napari_fociquant._picture import Outlines, pyramid

LayerData = tuple[Any, dict[str, Any], str]

UNITS = ("um", "um")
AXES = ("y", "x")

SHOWN_ROLES = ("marker", "nucleus")
"""Channels that are switched on at first; the others wait in the list."""

SAMPLE_PX = 512
"""Contrast of a channel nobody has measured comes from so many pixels along each edge."""

CELLS, FOCI, TISSUE, ARTEFACT, REGIONS = (
    "Cells", "Foci", "Outline of the lung", "Artefacts", "Excluded regions",
)  # fmt: skip
"""Names of layers."""


def placed(pixel: PixelSize) -> dict[str, Any]:
    """Arguments that put pixels of this size where they belong."""
    return {
        "scale": (pixel.y, pixel.x),
        "translate": (pixel.y / 2, pixel.x / 2),
        "units": UNITS,
        "axis_labels": AXES,
    }


def contrast(stats: ChannelStats) -> tuple[float, float]:
    """Limits between which a channel is shown: from tissue to what is bright in the section."""
    return float(stats.low), float(max(stats.high, stats.low + 1.0))


def sampled_contrast(image: SectionImage, channel: int) -> tuple[float, float]:
    """Limits from the coarsest level, at most 512 × 512 of its pixels."""
    level = len(image.pyramid) - 1
    _, height, width = image.pyramid[level].shape
    y0, x0 = max(0, (height - SAMPLE_PX) // 2), max(0, (width - SAMPLE_PX) // 2)
    box = Box(y0, x0, min(height, y0 + SAMPLE_PX), min(width, x0 + SAMPLE_PX))
    low, high = np.percentile(image.read(box, [channel], level), [20.0, 99.9])
    return float(low), float(max(high, low + 1.0))


def channel_layers(
    image: SectionImage,
    roles: Mapping[str, int],
    pixel: PixelSize,
    *,
    stats: Mapping[str, ChannelStats] | None = None,
) -> list[LayerData]:
    """One lazy layer per channel that has a role, coarse to fine.

    Parameters
    ----------
    image : SectionImage
    roles : mapping of str to int
        Role to index of its channel.
    pixel : PixelSize
        Of level 0.
    stats : mapping of str to ChannelStats, optional
        Intensity facts of the section; sampled where there are none.
    """
    colours = role_colours(roles)
    layers: list[LayerData] = []
    for role, channel in reversed(list(roles.items())):
        known = (stats or {}).get(role)
        limits = contrast(known) if known else sampled_contrast(image, channel)
        levels = [level[channel] for level in image.levels]
        arguments = {
            "name": image.channel_names[channel],
            "colormap": colours[role],
            "contrast_limits": limits,
            "blending": "additive",
            "multiscale": len(levels) > 1,
            "visible": role in SHOWN_ROLES,
            "metadata": {"fociquant": role},
            **placed(pixel),
        }
        layers.append((levels if len(levels) > 1 else levels[0], arguments, "image"))
    return layers


def outline_layer(
    outlines: Outlines,
    shape: tuple[int, int],
    pixel: PixelSize,
    *,
    name: str,
    colours: Sequence[str],
) -> LayerData:
    """A picture of outlines as a label layer that is painted where it is looked at.

    Parameters
    ----------
    outlines : Outlines
        Code ``i`` is drawn in the colour ``colours[i - 1]``.
    shape : (int, int)
        Of the image, px.
    pixel : PixelSize
    name : str
    colours : sequence of str
    """
    from napari.utils import DirectLabelColormap

    table: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    table |= dict(enumerate(colours, start=1))
    arguments = {
        "name": name,
        "multiscale": True,
        "colormap": DirectLabelColormap(color_dict=table),
        "opacity": 0.9,
        "blending": "translucent",
        "metadata": {"fociquant": name},
        **placed(pixel),
    }
    return pyramid(outlines, shape, (pixel.y, pixel.x)), arguments, "labels"


def state_colours() -> list[str]:
    """Colours of cells by state, for :func:`outline_layer`."""
    return [COLOURS[state] for state in sorted(COLOURS)]


def class_colours(classes: int) -> list[str]:
    """Colours of foci by class, from the smallest class."""
    return [class_colour(place) for place in range(classes)]


def overlay_layers(
    facts: SectionFacts, shape: tuple[int, int], pixel: PixelSize
) -> list[LayerData]:
    """Outline of the lung, and what was masked as an artefact, if anything was.

    Parameters
    ----------
    facts : SectionFacts
    shape : (int, int)
        Of the image, px.
    pixel : PixelSize
    """
    from napari.utils import DirectLabelColormap

    rings = contours(facts.outline, facts.overview_px)
    outlines = Outlines.of_lists(rings, [1] * len(rings))
    lung = outline_layer(outlines, shape, pixel, name=TISSUE, colours=["#B0B0B0"])
    table: dict[int | None, str] = {None: "transparent", 0: "transparent", 1: "#E69F00"}
    arguments = {
        "name": ARTEFACT,
        "colormap": DirectLabelColormap(color_dict=table),
        "opacity": 0.4,
        "metadata": {"fociquant": ARTEFACT},
        **placed(facts.overview_px),
    }
    masked: LayerData = (facts.artefact.astype(np.uint8), arguments, "labels")
    return [masked, lung] if facts.artefact.any() else [lung]


def contours(mask: np.ndarray, pixel: PixelSize) -> list[np.ndarray]:
    """Border lines of a mask, closed, each (n, 2) float32, (y, x) in µm."""
    # Padding closes what touches the border, and moves everything by one pixel.
    lines = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    return [((line[:-1] - 0.5) * (pixel.y, pixel.x)).astype(np.float32) for line in lines]
